import gzip

import numpy as np
import pyarrow as pa
import pytest

from fusion_pipeline.errors import GeographyError
from fusion_pipeline.geography.concordance import states
from fusion_pipeline.geography.predictors import attach_predictors, puma_predictors, usable_predictors
from fusion_pipeline.geography.sources import PRICES, degree_days, energy_prices
from fusion_pipeline.geography.summaries import Summary, load_summaries, summarize
from fusion_pipeline.registry import load_registry
from fusion_pipeline.storage.tables import TableRef, categorical, write_table
from fusion_pipeline.surveys.codebook import load_codebook


def seds(tmp_path, change=lambda lines: lines):
    lines = ['"Data_Status","State","MSN","2014","2015"']
    for state in states().values():
        for position, series in enumerate(PRICES.values()):
            price = 0 if (state.usps, series) == ("HI", "DFRCD") else int(state.fips) + position
            lines.append(f'"2019F","{state.usps}","{series}",1.00,{price:.2f}')
    path = tmp_path / "pr_all.csv"
    path.write_text("\n".join(change(lines)) + "\n")
    return path


def normals(tmp_path, change=lambda lines: lines, name="hdd.txt"):
    lines = ["AQW00061705           0C"]
    for number in sorted({state.noaa for state in states().values()}):
        lines += [f"USC00{number}{i:04d}{int(number) * 100 + i:12d}S" for i in (1, 2, 6)]
        lines.append(f"USC00{number}9999{-9999:12d}S")
    path = tmp_path / name
    path.write_text("\n".join(change(lines)) + "\n")
    return path


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


def collected(tmp_path, households, concordance):
    return puma_predictors(
        households, concordance, seds(tmp_path), normals(tmp_path), normals(tmp_path, name="cdd.txt"), 2015
    )


def test_acs_summaries_are_weighted_and_about_the_households_meant(tmp_path, households, concordance):
    table = collected(tmp_path, households, concordance).to_pandas()
    assert table["puma10"].tolist() == ["00001", "00002", "00001", "00001", "00003"]
    assert table["acs..income"].tolist()[::2][:2] == [70_000, 10_000]
    assert table["acs..rented"].iloc[[0, 2]].tolist() == [0.75, 0]
    assert table["acs..home_value"].iloc[[0, 2]].tolist() == [200_000, 200_000]
    assert table["acs..gross_rent"].iloc[0] == 900
    assert np.isnan(table["acs..gross_rent"].iloc[2])


def test_pumas_without_households_have_no_acs_summary_but_have_prices(tmp_path, households, concordance):
    table = collected(tmp_path, households, concordance).to_pandas()
    assert table.loc[[1, 3, 4], "acs..income"].isna().all()
    assert table["eia..electricity"].tolist() == [10, 10, 24, 41, 41]
    assert table["eia..fuel_oil"].tolist() == [13, 13, 27, 44, 44]
    assert table["noaa..hdd"].tolist() == [702, 702, 1802, 3502, 3502]


def test_a_summary_is_left_out_when_the_year_has_not_its_column(tmp_path, households, concordance):
    assert "acs..rooms" not in collected(tmp_path, households, concordance).column_names


def test_a_household_in_an_unknown_puma_is_refused(tmp_path, households, concordance):
    with pytest.raises(GeographyError, match="state 10, puma10 00001: is not in the concordance"):
        collected(tmp_path, households, concordance.slice(1))


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


def test_a_price_of_zero_means_that_none_is_sold(tmp_path):
    prices = energy_prices(seds(tmp_path), 2015)
    assert prices["fuel_oil"]["15"] is None
    assert prices["electricity"]["15"] == 15


@pytest.mark.parametrize(
    ("change", "year", "message"),
    [
        (lambda lines: lines, 2020, "has no column '2020'; its years are 2014-2015"),
        (lambda lines: lines[:-1], 2015, "series DFRCD, state WY, year 2015"),
        (lambda lines: [*lines[:-1], lines[-1][:-7]], 2015, "cannot be read as CSV"),
        (lambda lines: [*lines, lines[-1]], 2015, "more than once"),
        (lambda lines: [*lines[:-1], lines[-1] + "x"], 2015, "a price is expected"),
    ],
)
def test_a_damaged_price_file_is_refused(tmp_path, change, year, message):
    with pytest.raises(GeographyError, match=message):
        energy_prices(seds(tmp_path, change), year)


def test_degree_days_are_the_median_of_a_states_cooperative_stations(tmp_path):
    assert degree_days(normals(tmp_path))["01"] == 102
    assert degree_days(normals(tmp_path))["11"] == degree_days(normals(tmp_path))["24"] == 1802


def test_a_value_that_rounds_to_zero_is_zero(tmp_path):
    path = normals(tmp_path, lambda lines: [line.replace("         101S", "       -7777R") for line in lines])
    assert degree_days(path)["01"] == 102
    path = normals(tmp_path, lambda lines: [line.replace("         102S", "       -7777R") for line in lines])
    assert degree_days(path)["01"] == 101


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: [*lines[:-1], lines[-1][:-4]], "line 201 is not a station"),
        (lambda lines: [line.replace(" 101S", "10 1S") for line in lines], "line 2 is not a station"),
        (lambda lines: lines[:-4], "no cooperative station with a value in Hawaii"),
        (
            lambda lines: [line.replace("         101S", "       -1234S") for line in lines],
            "unknown code -1234",
        ),
    ],
)
def test_damaged_normals_are_refused(tmp_path, change, message):
    with pytest.raises(GeographyError, match=message):
        degree_days(normals(tmp_path, change))


def test_a_cut_off_gzip_of_normals_is_refused(tmp_path):
    path = tmp_path / "hdd.txt.gz"
    path.write_bytes(gzip.compress(normals(tmp_path).read_bytes())[:300])
    with pytest.raises(GeographyError, match=r"hdd\.txt\.gz"):
        degree_days(path)


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
