"""Items of the accounts fall to categories in shares, and a table that would lose or double money is refused."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusion_pipeline.errors import RegistryError
from fusion_pipeline.storage.tables import categorical
from fusion_pipeline.surveys.allocating import CODES, load_shares
from fusion_pipeline.surveys.codebook import load_codebook
from fusion_pipeline.surveys.derive import LOOKUPS
from fusion_pipeline.surveys.summaries import summarize
from fusion_pipeline.surveys.variables import Share, Summary

HEADER = "code,label,category,share\n"
CEI = load_codebook("cei_2015")


def table(tmp_path: Path, rows: str, header: str = HEADER) -> str:
    (tmp_path / "made_up.csv").write_text(header + rows)
    load_shares.cache_clear()
    return "made_up"


@pytest.mark.parametrize(
    ("rows", "what"),
    [
        ("1,1 Tea,food,0.6\n1,1 Tea,drink,0.6\n", "add up to 1.2"),
        ("1,1 Tea,food,0.5\n1,1 Tea,food,0.5\n", "falls to 'food' twice"),
        ("1,Tea,food,1\n2,Tea,food,1\n", "stands for two codes"),
        ("1,1 Tea,food,all\n", "no number from -1 to 1"),
        ("1,1 Tea,food,0\n", "no number from -1 to 1"),
    ],
)
def test_table_that_would_lose_or_double_money_is_refused(tmp_path, rows, what) -> None:
    with pytest.raises(RegistryError, match=what):
        load_shares(table(tmp_path, rows), tmp_path)


def test_table_with_other_columns_is_refused(tmp_path) -> None:
    with pytest.raises(RegistryError, match="Use code, label, category, share"):
        load_shares(table(tmp_path, "1,Tea\n", header="code,label\n"), tmp_path)


def test_every_category_of_the_table_is_a_variable_of_the_codebook_and_none_is_made_up() -> None:
    shares = load_shares("cei_ucc")
    variables = {name for name, s in CEI.households.summaries.items() if s.share}
    assert set(shares) - {""} == variables
    assert len(variables) == 44


def test_trade_in_of_a_new_car_counts_as_its_price_and_against_used_ones() -> None:
    shares = load_shares("cei_ucc")
    [label] = [label for label in shares["vehnew"] if label.startswith("450116")]
    assert shares["vehnew"][label] == 1
    assert shares["vehusd"][label] == -1


@settings(max_examples=30)
@given(
    st.lists(
        st.tuples(st.integers(0, 4), st.sampled_from(["a", "b", "c"]), st.integers(-900, 900)), min_size=1
    )
)
def test_what_categories_get_is_what_was_spent(entries) -> None:
    """Item a falls to two categories, b to one, c to none."""
    load_shares.cache_clear()
    labels = ("410130 Infant underwear", "360110 Men's suits", "900002 Occupational expenses")
    household, item, cost = zip(*entries, strict=True)
    records = pa.table(
        {
            "hid": pa.array(household),
            "ucc": categorical(np.array(["abc".index(i) for i in item]), labels),
            "cost": pa.array([float(c) for c in cost]),
        }
    )
    made = {
        name: Summary(
            description=name,
            type="number",
            of="expenditures",
            statistic="sum",
            value="cost",
            share=Share(by="ucc", table="cei_ucc", category=name),
        )
        for name in ("cloftw", "hhpcp", "hhpcs")
    }
    found = summarize(records, np.arange(5), made)
    total = sum(column.to_numpy() for column in found.values())
    assert total == pytest.approx(np.bincount(household, cost, minlength=5), abs=1e-6)


def test_repayments_count_without_their_sign() -> None:
    records = pa.table(
        {
            "hid": pa.array([1, 1]),
            "ucc": categorical(np.zeros(2, dtype=int), [next(iter(load_shares("cei_ucc")["vehprn"]))]),
            "dollars": pa.array([-250.0, -250.0]),
        }
    )
    [column] = summarize(records, np.array([1]), {"vehprn": CEI.households.summaries["vehprn"]}).values()
    assert column.to_pylist() == [500.0]


def test_codes_that_fall_to_no_category_are_listed_so_that_unknown_ones_stand_out() -> None:
    with (CODES / "cei_ucc.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len({row["code"] for row in rows}) == 693
    assert sum(not row["category"] for row in rows) == 84


def test_months_of_the_price_index_average_to_the_published_years() -> None:
    """The publisher rounds annual averages to three decimals."""
    monthly = np.genfromtxt(LOOKUPS / "cpi_u_monthly.csv", delimiter=",", skip_header=3)
    annual = np.genfromtxt(LOOKUPS / "cpi_u.csv", delimiter=",", skip_header=2)
    for year in range(2014, 2020):
        months = monthly[monthly[:, 0] == year]
        assert months[:, 1].tolist() == list(range(1, 13))
        assert months[:, 2].mean() == pytest.approx(annual[annual[:, 0] == year, 1].item(), abs=6e-4)
