import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusion_pipeline.errors import GeographyError
from fusion_pipeline.geography.predictors import (
    attach_by_survey,
    attach_predictors,
    place_predictors,
    puma_predictors,
    usable_predictors,
    weighted_ranks,
)
from fusion_pipeline.geography.summaries import Summary, load_summaries, summarize
from fusion_pipeline.registry import load_registry
from fusion_pipeline.storage.tables import TableRef, categorical, write_table
from fusion_pipeline.surveys.codebook import load_codebook


@pytest.fixture
def households(tmp_path, categories):
    """Four households in two of the five PUMAs."""
    rented, owned = "Rented", "Owned free and clear"
    path = tmp_path / "households.parquet"
    table = pa.table(
        {
            "hid": pa.array([1, 2, 3, 4]),
            "weight": [1.0, 3.0, 2.0, 2.0],
            "state": categories(["10", "10", "24", "24"]),
            "puma10": categories(["00001", "00001", "00001", "00001"]),
            "hincp": pa.array([40_000, 80_000, 10_000, None], pa.int32()),
            "ten": categories([owned, rented, owned, owned]),
            "valp": pa.array([200_000, 0, 100_000, 300_000], pa.int32()),
            "grntp": pa.array([0, 900, 0, 0], pa.int16()),
        }
    )
    write_table(path, table)
    return TableRef(path)


def test_acs_summaries_are_weighted_and_about_the_households_meant(households, concordance):
    table = puma_predictors(households, concordance).to_pandas()
    assert table["puma10"].tolist() == ["00001", "00002", "00001", "00001", "00003"]
    assert table["weight"].tolist() == [4, 4, 8, 3, 1]
    assert table["acs..income"].tolist()[::2][:2] == [70_000, 10_000]
    assert table["acs..rented"].iloc[[0, 2]].tolist() == [0.75, 0]
    assert table["acs..home_value"].iloc[[0, 2]].tolist() == [200_000, 200_000]
    assert table["acs..gross_rent"].iloc[0] == 900
    assert np.isnan(table["acs..gross_rent"].iloc[2])


def test_pumas_without_households_have_no_acs_summary(households, concordance):
    table = puma_predictors(households, concordance).to_pandas()
    assert table.loc[[1, 3, 4], "acs..income"].isna().all()


def test_a_summary_is_left_out_when_the_year_has_not_its_column(households, concordance):
    assert "acs..rooms" not in puma_predictors(households, concordance).column_names


def test_a_household_in_an_unknown_puma_is_refused(households, concordance):
    with pytest.raises(GeographyError, match="state 10, puma10 00001: is not in the concordance"):
        puma_predictors(households, concordance.slice(1))


def test_rank_is_the_share_of_housing_units_below_and_half_of_those_beside():
    ranks = weighted_ranks(np.array([3.0, 1.0, np.nan, 1.0, 9.0]), np.array([2.0, 1.0, 5.0, 1.0, 4.0]))
    assert ranks[[0, 1, 3, 4]].tolist() == [3 / 8, 1 / 8, 1 / 8, 6 / 8]
    assert np.isnan(ranks[2])


@given(st.lists(st.tuples(st.integers(-50, 50), st.integers(1, 9)), min_size=1, max_size=30))
def test_ranks_keep_the_order_and_do_not_depend_on_the_unit(pairs):
    values, weight = (np.array(side, dtype=float) for side in zip(*pairs, strict=True))
    ranks = weighted_ranks(values, weight)
    assert ((ranks > 0) & (ranks < 1)).all()
    assert np.average(ranks, weights=weight) == pytest.approx(0.5)
    order = np.argsort(values)
    assert (np.diff(ranks[order]) >= 0).all()
    assert np.array_equal(ranks, weighted_ranks(1.07 * values + 3, weight))


@pytest.fixture
def datasets(tmp_path, categories):
    """Prices of two years for two PUMAs of 2010, normals for one of them."""

    def write(name, **columns):
        write_table(tmp_path / f"{name}.parquet", pa.table(columns))
        return TableRef(tmp_path / f"{name}.parquet")

    return {
        "eia": write(
            "eia",
            vintage=categories(["2013", "2013", "2015", "2015"]),
            state=categories(["10", "24", "10", "24"]),
            puma10=categories(["00001"] * 4),
            **{"eia..oil": pa.array([1.0, 2.0, 30.0, 20.0], pa.float32())},
        ),
        "noaa": write(
            "noaa",
            vintage=categories(["always"]),
            state=categories(["24"]),
            puma10=categories(["00001"]),
            **{"noaa..hdd": pa.array([5.0], pa.float32())},
        ),
    }


WINDOWS = {"eia": 1, "noaa": 2}


@pytest.fixture
def acs(categories):
    return pa.table(
        {
            "state": categories(["10", "24"]),
            "puma10": categories(["00001", "00001"]),
            "weight": [1.0, 3.0],
            "acs..income": pa.array([50_000, 40_000], pa.float32()),
        }
    )


def test_year_gets_the_ranks_of_its_vintages(acs, datasets):
    found = place_predictors(acs, datasets, WINDOWS, 2015)
    assert found.vintages == {"eia": "2015", "noaa": "always"}
    assert found.table.select(["acs..income", "eia..oil", "noaa..hdd"]).to_pydict() == {
        "acs..income": [0.875, 0.375],
        "eia..oil": [0.875, 0.375],
        "noaa..hdd": [None, 0.5],
    }
    assert place_predictors(acs, datasets, WINDOWS, 2013).table["eia..oil"].to_pylist() == [0.125, 0.625]


def test_a_dataset_by_pumas_of_the_other_definition_is_refused(acs, datasets):
    acs = acs.rename_columns(["state", "puma20", "weight", "acs..income"])
    with pytest.raises(GeographyError, match=r"eia table: has puma10 .* and the concordance puma20"):
        place_predictors(acs, datasets, WINDOWS, 2015)


def test_pooled_donors_get_the_predictors_of_their_own_years_in_their_order(acs, datasets, categories):
    donor = pa.table(
        {
            "survey": categories(["B", "A", "B"]),
            "hid": [1, 2, 3],
            "state": categories(["10", "10", "24"]),
            "puma10": categories(["00001"] * 3),
        }
    )
    tables = {
        name: place_predictors(acs, datasets, WINDOWS, y).table for name, y in (("A", 2015), ("B", 2013))
    }
    attached = attach_by_survey(donor, tables)
    assert attached["hid"].to_pylist() == [1, 2, 3]
    assert attached["eia..oil"].to_pylist() == [0.125, 0.875, 0.625]


def test_declared_levels_are_those_of_the_acs_codebook_or_refused(categories):
    summary = Summary(name="rented", column="ten", statistic="share", levels=("Rentd",))
    table = pa.table({"weight": [1.0], "ten": categories(["Rented"])})
    with pytest.raises(GeographyError, match=r"column ten: has none of the levels \['Rentd'\]"):
        summarize(table, np.array([0]), 1, summary)


@pytest.mark.parametrize("vintage", sorted({entry.codebook for entry in load_registry().recipients.values()}))
def test_no_dwelling_of_any_vintage_falls_out_of_the_years_built(vintage):
    variables = load_codebook(vintage).households.variables
    [name] = {"ybl", "yrblt"} & set(variables)
    levels = list(variables[name].labels)
    every = pa.table(
        {"weight": np.ones(len(levels)), name: categorical(np.arange(len(levels)), levels, ordered=True)}
    )
    declared = {summary.name: summary.of_columns(variables) for summary in load_summaries()}
    shares = {
        name: summarize(every, np.arange(len(levels)), len(levels), declared[name])
        for name in ("built_before_1960", "built_since_2000")
    }
    old, new = (shares[name] == 1 for name in shares)
    decades = [
        level for level, is_old, is_new in zip(levels, old, new, strict=True) if not is_old and not is_new
    ]
    assert decades == ["1960 to 1969", "1970 to 1979", "1980 to 1989", "1990 to 1999"]
    assert old[0]
    assert new[-1]


def test_a_range_of_levels_needs_its_bounds_and_an_order(categories):
    since = Summary(name="new", column="ybl", statistic="share", after="2000 to 2004")
    names = categorical(np.array([0, 1]), ["1990 to 1999", "2000 to 2009"], ordered=True)
    with pytest.raises(
        GeographyError, match="column ybl: has no level '2000 to 2004', which bounds the summary 'new'"
    ):
        summarize(pa.table({"weight": [1.0, 1.0], "ybl": names}), np.array([0, 0]), 1, since)
    with pytest.raises(GeographyError, match="column ybl: is no ordered category"):
        summarize(pa.table({"weight": [1.0], "ybl": categories(["2000 to 2004"])}), np.array([0]), 1, since)


@pytest.mark.parametrize(
    "given",
    [
        {"statistic": "share"},
        {"statistic": "mean", "after": "a"},
        {"statistic": "share", "levels": ("a",), "last": "a"},
    ],
)
def test_a_share_has_levels_or_bounds_and_a_mean_has_neither(given):
    with pytest.raises(ValueError, match="x: a share, and only a share"):
        Summary(name="x", column="ybl", **given)


def test_the_declared_summaries_have_names_of_their_own():
    names = [summary.name for summary in load_summaries()]
    assert len(names) == len(set(names)) > 20


@pytest.fixture
def places(categories):
    return pa.table(
        {
            "state": categories(["10", "24"]),
            "puma10": categories(["00001", "00001"]),
            "acs..income": pa.array([1.0, 2.0], pa.float32()),
            "eia..fuel_oil": pa.array([None, 3.0], pa.float32()),
            "noaa..hdd": pa.array([5.0, 5.0], pa.float32()),
        }
    )


def test_every_row_gets_the_predictors_of_its_puma(places, categories):
    rows = pa.table(
        {"hid": [1, 2, 3], "state": categories(["24", "10", "24"]), "puma10": categories(["00001"] * 3)}
    )
    assert attach_predictors(rows, places)["acs..income"].to_pylist() == [2, 1, 2]


def test_a_row_whose_puma_has_no_predictors_is_refused(places, categories):
    rows = pa.table({"state": categories(["24"]), "puma10": categories(["00002"])})
    with pytest.raises(GeographyError, match="state 24, puma10 00002"):
        attach_predictors(rows, places)


def test_constant_and_mostly_missing_predictors_are_dropped_with_the_reason(places):
    kept, dropped = usable_predictors(places, places)
    assert kept == ["acs..income"]
    assert dropped == {"eia..fuel_oil": "missing for 50% of donors", "noaa..hdd": "the same for all donors"}


def test_a_predictor_one_side_lacks_is_dropped(places):
    assert usable_predictors(places, places.drop_columns(["acs..income"]), max_missing=1)[1] == {
        "acs..income": "the recipients have it not",
        "eia..fuel_oil": "the same for all donors",
        "noaa..hdd": "the same for all donors",
    }
