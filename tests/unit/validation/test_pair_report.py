"""The report names what its pair's files cannot give."""

import pyarrow as pa
import pytest

from fusion_pipeline.registry import load_registry
from fusion_pipeline.storage.tables import LEFT_OUT, TableRef, write_table
from fusion_pipeline.validation.pair_report import estimate_by, left_out_section

PAIR = "RECS_2015__ACS_2013"


@pytest.fixture
def section(tmp_path):
    """Give the section of a pair whose tables lack what is named, and have the columns that are named."""

    def make(harmonies: dict[str, str], variables: dict[str, str], columns: list[str]):
        told = ({"harmony": harmonies}, {"fusion variable": variables, "spatial predictor": {}})
        tables = [tmp_path / "harmonized.parquet", tmp_path / "prepared.parquet"]
        for path, left_out in zip(tables, told, strict=True):
            write_table(path, pa.table({name: [1.0] for name in columns}), {LEFT_OUT: left_out})
        return left_out_section(PAIR, *(TableRef(path) for path in tables))

    return make


def asked_for() -> list[str]:
    pair = load_registry().pair(PAIR)
    prices = [f"price_{price.expenditure}" for price in pair.prices]
    return [
        *pair.forced,
        *prices,
        *(name for price in pair.prices for name in price.predictors),
        "recs_division",
    ]


def test_harmonies_and_variables_are_named_with_their_reasons(section) -> None:
    found = section(
        {"ngpay__gasfp": "the ACS has no gasfp"}, {"insec": "no SCALEG"}, [*dict.fromkeys(asked_for())]
    )
    assert found.table.to_numpy().tolist() == [
        ["harmony", "ngpay__gasfp", "the ACS has no gasfp"],
        ["fusion variable", "insec", "no SCALEG"],
    ]


def test_a_predictor_that_the_plan_asks_for_in_vain_is_named(section) -> None:
    absent, *there = dict.fromkeys(asked_for())
    assert section({}, {}, there).table["left out"].tolist() == [absent]


def test_the_report_says_so_if_nothing_is_left_out(section) -> None:
    found = section({}, {}, [*dict.fromkeys(asked_for())])
    assert found.table is None
    assert found.text.startswith("Nothing")


@pytest.mark.parametrize(
    ("states", "area"), [(["06", "10"], "division"), (["10", "11"], "state"), (["10", "10"], "puma10")]
)
def test_estimates_are_by_the_widest_area_that_differs(states, area, tmp_path) -> None:
    """PUMA codes are unique in a state only."""
    write_table(tmp_path / "households.parquet", pa.table({"state": states, "puma10": ["00100", "00100"]}))
    assert estimate_by(TableRef(tmp_path / "households.parquet")) == area
