"""`fusion downscale`: estimates by small area, and tables that are wrong."""

from io import StringIO

import pandas as pd
import pytest

import fusion_pipeline as fp
from tests.conftest import PAIR

SMALL = (
    "tract,state,puma10,variable,level,count\n"
    "001,10,00101,who,1,30\n001,10,00101,who,2,10\n002,10,00101,who,1,10\n002,10,00101,who,2,110\n"
)
"""Tracts of the PUMA that has both households, a quarter of the weight in the first."""


def test_downscale_prints_estimates_by_small_area_and_keeps_the_shares(run, fused, tmp_path) -> None:
    (tmp_path / "tables.csv").write_text(SMALL)
    request = ["downscale", PAIR, "-t", str(tmp_path / "tables.csv"), "-b", "tract", "-d", "who = hid"]
    result = run(*request, "-e", "sum(btuel)", "--shares", str(tmp_path / "shares"))
    assert result.exit_code == 0, result.output
    assert "2 areas of 1 PUMAs; 1 PUMAs converged" in result.output
    lines = [line for line in result.output.splitlines() if "sum(btuel)" in line]
    assert [line.split()[:4] for line in lines] == [
        ["10", "00101", "001", "sum(btuel)"],
        ["10", "00101", "002", "sum(btuel)"],
    ]
    assert "with shares taken as given" in result.output
    shares = fp.Downscaled.read(tmp_path / "shares")
    assert shares.shares.to_pandas().groupby("hid")["weight"].sum().to_dict() == pytest.approx(
        {1: 1.0, 2: 3.0}
    )


def test_downscale_writes_estimates_whose_sum_is_the_pumas(run, fused, tmp_path) -> None:
    codes = dict.fromkeys(["tract", "state", "puma10", "level"], "str")
    pd.read_csv(StringIO(SMALL), dtype=codes).to_parquet(tmp_path / "tables.parquet")
    request = ["downscale", PAIR, "-t", str(tmp_path / "tables.parquet"), "-b", "tract", "-d", "who = hid"]
    result = run(*request, "-e", "sum(btuel)", "--out", str(tmp_path / "tracts.csv"))
    assert result.exit_code == 0, result.output
    written = pd.read_csv(tmp_path / "tracts.csv", dtype={"tract": "str", "puma10": "str"})
    assert written["tract"].tolist() == ["001", "002"]
    assert written["estimate"].sum() == pytest.approx(1 * 15 + 3 * 23)


@pytest.mark.parametrize(
    ("text", "derive", "message"),
    [
        ("tract,variable,level,count\n001,who,1,30\n", "who = hid", "column state: is not there"),
        (SMALL.replace("30", "many"), "who = hid", "tract 001, who = 1: has the count nan"),
        (SMALL, "who = hids", "derived variable who = hids"),
        (SMALL, "other = hid", "variable who: is no column of the households"),
    ],
)
def test_downscale_names_what_is_wrong_with_its_tables(run, fused, tmp_path, text, derive, message) -> None:
    (tmp_path / "tables.csv").write_text(text)
    result = run("downscale", PAIR, "-t", str(tmp_path / "tables.csv"), "-b", "tract", "-d", derive)
    assert result.exit_code == 1
    assert message in result.output


def test_downscale_needs_a_file_of_tables(run, fused, tmp_path) -> None:
    result = run("downscale", PAIR, "-t", str(tmp_path / "none.csv"), "-b", "tract", "-e", "mean(btuel)")
    assert result.exit_code == 1
    assert "is no .csv or .parquet file" in result.output
