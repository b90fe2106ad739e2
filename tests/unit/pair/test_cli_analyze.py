"""`fusion analyze`: what it prints, what it writes, and what it refuses."""

import sys

import pandas as pd
import pyarrow as pa
import pytest

from fusion_pipeline import estimating
from fusion_pipeline.cli.root import console
from fusion_pipeline.storage.tables import read_table, write_table
from fusion_pipeline.text import as_text
from tests.conftest import PAIR


def test_analyze_prints_the_estimates(run, fused) -> None:
    result = run("analyze", PAIR, "-e", "mean(btuel)", "--by", "division")
    assert result.exit_code == 0
    assert "South Atlantic" in result.output
    # (20 + 22) / 2, weighted within the implicates
    assert " 21 " in result.output


def test_analyze_on_a_narrow_screen_cuts_no_number_and_no_word(run, fused, monkeypatch) -> None:
    monkeypatch.setattr(console, "_width", 45)
    result = run("analyze", PAIR, "-e", "mean(btuel)", "--by", "division", "--by", "puma10")
    assert result.exit_code == 0
    assert "…" not in result.output
    first, *lines = result.output.splitlines()
    assert first == f"{PAIR}, simulated data, 2 implicates; ± margin of error at 90 %"
    [numbers] = [line.split() for line in lines if "±" in line and "margin" not in line]
    frame = estimating.estimate_pair(PAIR, fused, ["mean(btuel)"], ["division", "puma10"]).table
    [row] = frame.itertuples()
    shown = [as_text(row.estimate), f"±{as_text(row.margin)}", "fused"]
    assert numbers[-3:] == shown


def test_analyze_says_what_is_fused_and_what_was_observed_or_imputed(run, fused) -> None:
    households = fused.table(("acs", "households"), "2015")
    table = read_table(households).append_column("hincp", pa.array([1.0, 2.0]))
    table = table.append_column("rooms", pa.array([3.0, 4.0]))
    write_table(households, table, {"imputed": {"hincp": 1, "rooms": 0}})
    result = run(
        "analyze", PAIR, *(part for x in ("btuel", "hincp", "rooms") for part in ("-e", f"mean({x})"))
    )
    lines = [line.split() for line in result.output.splitlines() if line.lstrip().startswith("mean(")]
    assert {line[0]: line[-1] for line in lines} == {
        "mean(btuel)": "fused",
        "mean(hincp)": "imputed",
        "mean(rooms)": "observed",
    }


@pytest.mark.parametrize(("name", "read"), [("e.csv", pd.read_csv), ("e.parquet", pd.read_parquet)])
def test_analyze_writes_the_estimates_to_a_file(run, fused, tmp_path, name, read) -> None:
    result = run("analyze", PAIR, "-e", "mean(btuel)", "--out", str(tmp_path / name))
    assert result.exit_code == 0
    assert name in result.output
    table = read(tmp_path / name)
    assert table["estimate"].tolist() == pytest.approx([21.0])
    assert table["M"].tolist() == [2]


def test_analyze_takes_conditions_derived_variables_and_totals(run, fused) -> None:
    arguments = [
        "-e",
        "median(double)",
        "-b",
        "hid",
        "-w",
        "hid > 1",
        "-d",
        "double = 2 * btuel",
        "--totals",
        "cube",
    ]
    result = run("analyze", PAIR, *arguments)
    assert result.exit_code == 0, result.output
    assert "(all)" in result.output
    assert " 46 " in result.output


def test_analyze_formats_and_totals_are_those_of_the_library() -> None:
    from fusion_pipeline.cli import analyze
    from fusion_pipeline.inference import cells, output
    from fusion_pipeline.mapping import writing

    module = sys.modules[analyze.callback.__module__]
    assert (module.FORMATS, module.TOTALS) == (output.FORMATS, cells.TOTALS)
    assert module.MAPS == writing.FORMATS


def test_analyze_draws_a_map_by_state_of_what_it_estimates(run, fused, tmp_path) -> None:
    result = run("analyze", PAIR, "-e", "mean(btuel)", "--map", str(tmp_path / "map.html"))
    assert result.exit_code == 0, result.output
    page = (tmp_path / "map.html").read_text()
    assert f"{PAIR}, simulated data, 2 implicates" in page
    assert '["Delaware", "21", "' in page
    # The unit is the codebook's.
    assert '"unit": "thousand Btu"' in page


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--map", "map.pdf"), "ends in none of .png, .html"),
        (("--map", "map.png", "-b", "tenure"), "Analyze by state, or by state and PUMA"),
        (("--map", "map.png", "-b", "puma10"), "which is unique within its state only"),
        (("--map", "map.png", "-e", "sum(btuel)"), "a map shows one estimate"),
    ],
)
def test_a_map_that_cannot_be_drawn_is_refused_before_anything_is_computed(run, arguments, message) -> None:
    result = run("analyze", PAIR, "-e", "mean(btuel)", *arguments)
    assert result.exit_code > 0
    assert message in " ".join(result.output.replace("│", " ").split())


def test_analyze_before_the_pair_is_made_says_how_to_make_it(run) -> None:
    result = run("analyze", PAIR, "-e", "mean(btuel)")
    assert result.exit_code == 1
    assert f"fusion run {PAIR}" in result.output


def test_analyze_makes_the_folder_of_its_file(run, fused, tmp_path) -> None:
    result = run("analyze", PAIR, "-e", "mean(btuel)", "--out", str(tmp_path / "new" / "e.csv"))
    assert result.exit_code == 0
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["e.csv"]


def test_analyze_refuses_a_kind_of_file_it_cannot_write(run, fused, tmp_path) -> None:
    result = run("analyze", PAIR, "-e", "mean(btuel)", "--out", str(tmp_path / "e.sas7bdat"))
    assert result.exit_code == 2
    assert "ends in none of" in result.output
    assert not (tmp_path / "e.sas7bdat").exists()
