"""The report names what its pair's files cannot give."""

import pandas as pd
import pyarrow as pa
import pytest

from fusion_pipeline.inference.analyze import analyze
from fusion_pipeline.registry import load_registry
from fusion_pipeline.storage.tables import LEFT_OUT, TableRef, write_table
from fusion_pipeline.validation.pair_report import (
    estimate_by,
    estimate_table,
    left_out_section,
    margins_sentence,
)

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
    ("replicates", "said"), [(["rep_1", "rep_2"], "2 replicate weights"), ([], "linearisation")]
)
def test_the_report_says_what_its_margins_rest_on(replicates, said) -> None:
    fused = pa.table({"implicate": [1, 1, 2, 2], "hid": [7, 8, 7, 8], "use": [1.0, 3.0, 2.0, 3.0]})
    static = pa.table({"hid": [7, 8], "weight": [1.0, 1.0], "rep_1": [0.5, 1.5], "rep_2": [1.5, 0.5]})
    found = analyze(fused, static, estimates=["mean(use)"], replicate_weights=replicates)
    sentence = margins_sentence(found)
    assert said in sentence
    assert "90 %" in sentence
    assert ("replicate" in sentence) == bool(replicates)


@pytest.mark.parametrize(
    ("states", "area"),
    [
        # Middle Atlantic and East South Central, whole.
        (["34", "36", "42", "01", "21", "28", "47"], "division"),
        # Of the second only Tennessee: a bar of that name would be of Tennessee.
        (["34", "36", "42", "47"], "state"),
        (["10", "11"], "state"),
        (["34", "36", "42"], "state"),
        (["10", "10"], "puma10"),
    ],
)
def test_estimates_are_by_the_widest_area_that_is_covered_whole(states, area, tmp_path) -> None:
    """PUMA codes are unique in a state only."""
    write_table(
        tmp_path / "households.parquet", pa.table({"state": states, "puma10": ["00100"] * len(states)})
    )
    assert estimate_by(TableRef(tmp_path / "households.parquet")) == area


def test_estimates_are_shown_in_the_unit_of_their_figure_with_two_figures_of_the_margin() -> None:
    rows = pd.DataFrame(
        {
            "division": ["Pacific", "Mountain"],
            "estimand": ["proportion(insec)"] * 2,
            "estimate": [0.28123, 0.0297],
            "margin": [0.0211, 0.00412],
            "standard_error": [0.0128, 0.0025],
            "df": [12.3, 9.9],
            "n": [100, 200],
        }
    )
    table = estimate_table(rows, "division", "")
    assert table.columns.tolist() == ["division", "estimate, %", "margin, %", "standard error, %", "df", "n"]
    assert table["estimate, %"].tolist() == [28.1, 3.0]
    assert table["margin, %"].tolist() == [2.1, 0.4]
