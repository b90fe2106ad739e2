"""Numbers and messages that the documents quote are those of the code."""

import re
from inspect import signature
from pathlib import Path

from fusion_pipeline.fusion.growing import MANY, Tuning
from fusion_pipeline.fusion.training import train
from fusion_pipeline.registry import load_registry

ROOT = Path(__file__).parents[3]
TEST = re.compile(r"`(test_\w+)`")


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


def cells(table: str) -> list[list[str]]:
    """Rows of a table of the page of operations, its head first; a bar within a cell is escaped."""
    text = (ROOT / "docs" / "operations.md").read_text()
    lines = text[text.index(f"| {table} |") :].split("\n\n")[0].splitlines()
    head, _, *rows = ([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines)
    return [head, *rows]


def not_there(cell: str, file: str = "") -> list[str]:
    """Tests that a cell names and that its file has not: the file named after them, else the given one."""
    *before, last = re.split(r"\(`(test_\w+\.py)`\)", cell)
    named = [
        (name, of) for text, of in zip(before[::2], before[1::2], strict=True) for name in TEST.findall(text)
    ]
    named += [(name, file) for name in TEST.findall(last)]
    return [f"{name} ({of})" for name, of in named if not has(of, name)]


def has(file: str, name: str) -> bool:
    return any(f"def {name}(" in path.read_text() for path in (ROOT / "tests").rglob(file or "-"))


def test_tests_behind_the_rows_of_backfills_are_where_the_table_says() -> None:
    head, *rows = cells("what changed")
    files = [re.findall(r"`(test_\w+\.py)`", title) for title in head]
    assert [len(named) for named in files] == [0, 0, 1, 1]
    assert len(rows) >= 8
    for row in rows:
        assert TEST.search(" ".join(row)), row
        for cell, named in zip(row[2:], files[2:], strict=True):
            assert not_there(cell, *named) == []


def test_every_row_of_what_goes_wrong_names_tests_that_are_there() -> None:
    _, *rows = cells("what happens")
    assert len(rows) >= 20
    for what, _, shown_by in rows:
        assert TEST.search(shown_by), what
        assert not_there(shown_by) == [], what


def test_coverage_that_the_method_tells_is_that_of_the_table() -> None:
    page = (ROOT / "docs" / "benchmarks.md").read_text()
    rows = re.findall(r"^\| (nation|division|state|PUMA) \| ([\d,]+) \| ([\d.]+) \|", page, re.M)
    estimates = {area: int(count.replace(",", "")) for area, count, _ in rows}
    covered = {area: share for area, _, share in rows}
    told = words("docs/method.md")
    nation = round(float(covered["nation"]) * estimates["nation"])
    assert f"cover {nation} of the nation's {estimates['nation']} estimates" in told
    for area in ("division", "state", "PUMA"):
        assert f"{covered[area].lstrip('0')} of the {area}s'" in told
