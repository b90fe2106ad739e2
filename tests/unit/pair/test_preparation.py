"""Training tables: prices, what the donors cannot give, several survey-years."""

import logging

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusion_pipeline.errors import TrainingError
from fusion_pipeline.preparation import (
    fusion_variables,
    training_table,
)
from fusion_pipeline.registry import PriceStep
from fusion_pipeline.storage.artefacts import PairTables
from fusion_pipeline.storage.tables import TableRef, categorical, levels_of, write_table

GAS = PriceStep(
    expenditure="bill",
    quantity="gas",
    predictors=("division", "building", "gas"),
    outliers_by="recs_division",
)


def survey(path, hid, levels=("Never", "Often"), **columns) -> TableRef:
    """Standardized households; `late` goes through the levels in turn."""
    late = categorical(np.arange(len(hid)) % len(levels), list(levels))
    write_table(path, pa.table({"hid": pa.array(hid, pa.int64()), "late": late, **columns}))
    return TableRef(path)


def keys(*rows: tuple[str, int]) -> pa.Table:
    surveys = sorted({name for name, _ in rows})
    codes = np.array([surveys.index(name) for name, _ in rows])
    return pa.table({"survey": categorical(codes, surveys), "hid": [hid for _, hid in rows]})


@pytest.fixture
def donors(tmp_path):
    return {
        "A_2015": survey(tmp_path / "a.parquet", [1, 2, 3], gas=[10.0, 0.0, 4.0], bill=[5.0, 0.0, 8.0]),
        "A_2016": survey(
            tmp_path / "b.parquet", [2, 1], ("Never", "Often", "Always"), gas=[1.0, 2.0], bill=[3.0, 1.0]
        ),
    }


def test_price_is_expenditure_per_unit_and_zero_where_nothing_is_used(donors) -> None:
    one = {"A_2015": donors["A_2015"]}
    made = fusion_variables(one, keys(("A_2015", 1), ("A_2015", 2), ("A_2015", 3)), ["gas"], [GAS]).table
    assert made.column_names == ["gas", "bill", "price_bill"]
    assert made["price_bill"].to_pylist() == [0.5, 0.0, 2.0]


@settings(max_examples=20)
@given(
    st.lists(
        st.tuples(st.floats(0.01, 1e6), st.one_of(st.just(0.0), st.floats(1e-6, 1e6))),
        min_size=1,
        max_size=20,
    )
)
def test_price_times_quantity_gives_the_expenditure_back(tmp_path_factory, uses) -> None:
    gas, bill = (np.array(column) for column in zip(*uses, strict=True))
    path = tmp_path_factory.mktemp("uses") / "a.parquet"
    donors = {"A_2015": survey(path, range(len(gas)), gas=gas, bill=bill)}
    wanted = keys(*(("A_2015", i) for i in range(len(gas))))
    made = fusion_variables(donors, wanted, ["gas"], [GAS]).table
    product = made["price_bill"].to_numpy() * made["gas"].to_numpy()
    np.testing.assert_allclose(product, bill, rtol=1e-12)


def test_survey_years_are_pooled_in_the_order_of_the_keys(donors) -> None:
    # Household 1 and 2 exist in both years, and are other households there.
    order = keys(("A_2016", 1), ("A_2015", 3), ("A_2015", 1), ("A_2016", 2), ("A_2015", 2))
    made = fusion_variables(donors, order, ["late", "gas"], [GAS]).table
    assert made["gas"].to_pylist() == [2.0, 4.0, 10.0, 1.0, 0.0]
    assert made["price_bill"].to_pylist() == [0.5, 2.0, 0.5, 3.0, 0.0]
    assert made["late"].to_pylist() == ["Often", "Never", "Never", "Never", "Often"]
    assert levels_of(made["late"]) == ["Never", "Often", "Always"]


def test_order_of_the_survey_years_does_not_matter(donors) -> None:
    order = keys(("A_2016", 1), ("A_2015", 3), ("A_2015", 1), ("A_2016", 2))
    turned = dict(reversed(donors.items()))
    values = [fusion_variables(d, order, ["gas", "late"], [GAS]).table.to_pydict() for d in (donors, turned)]
    assert values[0] == values[1]


def test_variable_that_one_survey_year_lacks_is_skipped_by_name(donors, tmp_path, caplog) -> None:
    donors["A_2017"] = survey(tmp_path / "c.parquet", [7], gas=[1.0])
    with caplog.at_level(logging.INFO, "fusion_pipeline"):
        made = fusion_variables(donors, keys(("A_2017", 7)), ["gas", "insulation"], [GAS])
    assert set(made.skipped) == {"bill", "insulation"}
    assert "A_2017" in made.skipped["bill"]
    assert made.table.column_names == ["gas"]
    assert all(f"{name} is skipped" in caplog.text for name in ("bill", "insulation"))


def test_donors_without_any_of_the_variables_are_an_error(donors) -> None:
    with pytest.raises(TrainingError, match=r"A_2015, A_2016: have none of .* insulation, solar"):
        fusion_variables(donors, keys(("A_2015", 1)), ["insulation", "solar"], [])


def test_expenditure_without_quantity_is_an_error_that_counts_the_households(tmp_path) -> None:
    contradictory = survey(tmp_path / "a.parquet", [1, 2, 3], gas=[0.0, 0.0, 2.0], bill=[5.0, 0.0, 1.0])
    wanted = keys(("A_2015", 1), ("A_2015", 2), ("A_2015", 3))
    with pytest.raises(TrainingError, match=r"variable bill: is not 0 in 1 households whose gas is 0"):
        fusion_variables({"A_2015": contradictory}, wanted, ["gas"], [GAS])


def test_household_that_is_not_in_the_survey_is_named(donors) -> None:
    with pytest.raises(TrainingError, match="donor household 99 of A_2015"):
        fusion_variables(donors, keys(("A_2015", 1), ("A_2015", 99)), ["gas"], [])


def test_draws_of_a_place_share_the_weight_of_their_household(tmp_path) -> None:
    donor = keys(("A_2015", 7), ("A_2015", 3), ("A_2016", 7))
    amount, rank = pa.array([1.0, 2.0, 3.0]), pa.array([0.1, 0.2, 0.3], pa.float32())
    donor = donor.append_column("weight", pa.array([4.0, 6.0, 8.0])).append_column("amount", amount)
    write_table(tmp_path / "donor.parquet", donor.append_column("acs..income", rank))
    others = donor.select(["survey", "hid"]).take(pa.array([2, 0, 1]))
    others = others.append_column("draw", pa.array([2, 2, 2], pa.int16()))
    others = others.append_column("acs..income", pa.array([0.9, 0.7, 0.8], pa.float32()))
    write_table(tmp_path / "draws.parquet", others)
    pair = PairTables(*(TableRef(tmp_path / f"{name}.parquet") for name in ("donor", "donor", "draws")))
    table = training_table(pair).to_pandas()
    assert table["household"].tolist() == [0, 1, 2, 2, 0, 1]
    assert table["weight"].tolist() == [2, 3, 4, 4, 2, 3]
    assert table["amount"].tolist() == [1, 2, 3, 3, 1, 2]
    assert table["acs..income"].round(1).tolist() == pytest.approx([0.1, 0.2, 0.3, 0.9, 0.7, 0.8])
    assert table["hid"].tolist() == [7, 3, 7, 7, 7, 3]
