"""The draft of a survey's files is a codebook that ingests the very file it was drafted from."""

from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from fusion_pipeline.cli import main
from fusion_pipeline.errors import SettingsError
from fusion_pipeline.registry import load_registry
from fusion_pipeline.storage.tables import levels_of
from fusion_pipeline.surveys.codebook import load_codebook
from fusion_pipeline.surveys.drafting import draft_survey
from fusion_pipeline.surveys.ingest import RawPart, ingest

ROWS = 60


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A number, two codes with blanks, text, a constant, and a column named as a reserved one."""
    path = tmp_path / "households.csv"
    lines = ["KEY,WT,Spend $,HEAT,NOTE,CONST,Year"]
    lines += [f"{i},{1.5 + i},{i * 10},{('2', '10', '')[i % 3]},note {i},1,{2000 + i}" for i in range(ROWS)]
    path.write_text("\n".join(lines) + "\n")
    return path


def draft(file: Path, name: str = "MYSURVEY", **columns):
    return draft_survey(name, 2018, file, **{"id_column": "KEY", "weight": "WT", **columns})


def test_drafted_codebook_ingests_its_file(file, tmp_path) -> None:
    made = draft(file)
    (tmp_path / "mysurvey_2018.yaml").write_text(made.files["codebooks/mysurvey_2018.yaml"])
    table = ingest([RawPart(file)], load_codebook("mysurvey_2018", tmp_path), "households")
    assert table.num_rows == ROWS
    assert table["spend"].to_pylist() == [i * 10 for i in range(ROWS)]
    assert levels_of(table["heat"]) == ["2", "10"]
    assert table["heat"].null_count == ROWS // 3
    assert table["year"].to_pylist() == [2018] * ROWS
    assert table["year_raw"].to_pylist() == [2000 + i for i in range(ROWS)]


def test_what_cannot_be_a_variable_is_named_with_its_reason(file) -> None:
    assert draft(file).left_out == {
        "NOTE": f"holds text, {ROWS} different values",
        "CONST": "has one value, '1'",
    }


def test_drafted_registry_entries_fit_beside_those_there_are(file) -> None:
    drafted = yaml.safe_load(draft(file).files["registry.yaml"])
    registry = load_registry()
    plain = registry.model_dump(mode="json", exclude_none=True)
    survey = type(registry.surveys["RECS_2015"]).model_validate(drafted["surveys"]["MYSURVEY_2018"])
    assert survey.folder == "mysurvey_2018"
    [(pair, entry)] = drafted["pairs"].items()
    assert pair == "MYSURVEY_2018__ACS_2015"
    assert entry["recipient"] in plain["recipients"]


@pytest.mark.parametrize("name", ["my survey", "../X", "lower", ""])
def test_name_that_is_none_is_refused(file, name) -> None:
    with pytest.raises(SettingsError, match="is no name"):
        draft(file, name)


def test_column_that_is_not_there_is_named_with_those_that_are(file) -> None:
    with pytest.raises(SettingsError, match=r"column ID: is not there\. It has KEY, WT, Spend"):
        draft(file, id_column="ID")


def test_command_writes_the_drafts_once(file, tmp_path) -> None:
    words = ["--quiet", "new-survey", "MYSURVEY", "--year", "2018", "--file", str(file)]
    words += ["--id", "KEY", "--weight", "WT", "--out", str(tmp_path / "drafts")]
    first = CliRunner().invoke(main, words)
    assert first.exit_code == 0, first.output
    assert "NOTE is left out: it holds text" in first.output
    written = {str(p.relative_to(tmp_path / "drafts")) for p in (tmp_path / "drafts").rglob("*.yaml")}
    assert written == {"codebooks/mysurvey_2018.yaml", "harmonies/MYSURVEY.yaml", "registry.yaml"}
    second = CliRunner().invoke(main, words)
    assert second.exit_code == 1
    assert "is there already" in second.output


def test_key_that_is_none_is_refused_with_what_occurs_twice(file) -> None:
    with pytest.raises(SettingsError, match=r"column HEAT: is no key: 3 values occur more than once, one of"):
        draft(file, id_column="HEAT")


@pytest.mark.parametrize(("column", "rows"), [("NOTE", ROWS), ("HEAT", (ROWS - 1 + 2) // 3), ("Spend $", 1)])
def test_weight_that_is_text_blank_or_zero_is_refused_with_how_many_rows_are(file, column, rows) -> None:
    with pytest.raises(
        SettingsError, match=rf"is no weight: it is no positive number in {rows} of {ROWS} rows"
    ):
        draft(file, weight=column)


@pytest.mark.parametrize("name", ["RECS", "ACS", "CEI"])
def test_name_of_a_survey_that_is_there_is_refused_and_nothing_written(file, tmp_path, name) -> None:
    words = ["new-survey", name, "--year", "2015", "--file", str(file), "--id", "KEY", "--weight", "WT"]
    result = CliRunner().invoke(main, [*words, "--out", str(tmp_path / "drafts")])
    assert result.exit_code == 1
    assert f"survey {name}: is in the registry already" in result.output
    assert not (tmp_path / "drafts").exists()
