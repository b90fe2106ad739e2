"""Numbers and messages that the documents quote are those of the code."""

import re
from inspect import signature
from pathlib import Path

from fusion_pipeline.fusion.growing import MANY, Tuning
from fusion_pipeline.fusion.training import train
from fusion_pipeline.registry import load_registry

ROOT = Path(__file__).parents[3]


def words(name: str) -> str:
    return " ".join((ROOT / name).read_text().split())


def test_the_method_tells_the_settings_that_models_are_fitted_with() -> None:
    told = words("docs/method.md")
    given = {name: argument.default for name, argument in signature(train).parameters.items()}
    growth = {name: given[name] for name in ("leaves", "learning_rate", "class_learning_rate", "patience")}
    used, many = Tuning.for_donors(MANY - 1, 1, **growth), Tuning.for_donors(MANY, 1, **growth)
    folds = ["none", "one", "two"]
    assert f"({used.leaves[0]} to {used.leaves[-1]})" in told
    assert f"learning rate {used.learning_rate} (classes {used.class_learning_rate})" in told
    assert (
        f"{given['folds']} stratified (optionally grouped) folds choose size ({folds[used.size_folds]} of them)"
        in told
    )
    assert f"stopping after {used.patience} rounds without improvement" in told
    assert f"patience of {used.patience} rounds" in words("docs/weaknesses.md")
    assert f"From {MANY:,} donors on" in told
    assert f"learning rate {many.learning_rate}, {many.patience} rounds without a gain" in told
    assert (
        f"size chosen on {folds[many.size_folds]} fold and number of trees on {folds[many.round_folds]}"
        in told
    )


def test_messages_of_ingestion_that_are_explained_are_those_it_gives() -> None:
    explained = re.findall(r"`IngestError[^`]* in \d+ rows ([^`]+)`", words("docs/your-own-survey.md"))
    assert explained
    given = (ROOT / "fusion_pipeline" / "surveys" / "coding.py").read_text()
    assert [message for message in explained if f'"{message}"' not in given] == []


def test_tests_that_show_what_is_decided_about_places_exist() -> None:
    named = re.findall(r"`(\S+\.py)::(test_\w+)`", words("docs/geography.md"))
    assert len(named) > 25
    folder = ROOT / "tests" / "unit" / "geography"
    assert [name for file, name in named if f"def {name}(" not in (folder / file).read_text()] == []


def test_the_readme_counts_the_pairs_of_the_registry() -> None:
    assert f"{len(load_registry().pairs)} fusion pairs" in words("README.md")


def test_tests_behind_the_rows_of_backfills_exist_where_the_table_says() -> None:
    table = (ROOT / "docs" / "operations.md").read_text().split("| what changed |")[1].split("\n\n")[0]
    rows = table.splitlines()[2:]
    assert len(rows) >= 6
    for row in rows:
        files = re.findall(r"\(`(test_\w+\.py)`\)", row) or ["test_made_again.py", "test_backfills.py"]
        text = "".join(path.read_text() for file in files for path in (ROOT / "tests").rglob(file))
        named = re.findall(r"`(test_\w+)`", row)
        assert named, row
        assert [name for name in named if f"def {name}(" not in text] == []


def test_every_row_of_what_goes_wrong_names_tests_that_are_there() -> None:
    table = (ROOT / "docs" / "operations.md").read_text().split("| what happens |")[1].split("\n\n")[0]
    rows = table.splitlines()[2:]
    assert len(rows) >= 20
    for row in rows:
        named = re.findall(r"`([\w/]*(?:tests/|test_)[\w/]*(?:\.py|/)?)`", row.split("|")[3])
        assert named, row
        for name in named:
            there = (ROOT / name).exists() or (ROOT / "tests" / "integration" / name).is_file()
            assert there, f"{name} of {row}"
