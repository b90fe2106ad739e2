from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fusion_pipeline.simulate.text import digits
from fusion_pipeline.surveys.codebook import load_codebook
from fusion_pipeline.surveys.ingest import RawPart, ingest
from tests.unit.simulate.conftest import SIZES

LEGAL_HOUSING = {
    "RT": {"H"},
    "TYPE": {"1", "2", "3"},
    "ACCESS": {"1", "2", "3"},
    "BLD": {f"{c:02d}" for c in range(1, 11)},
    "HFL": set("123456789"),
    "HHT": set("1234567"),
    "LAPTOP": {"1", "2"},
    "MV": set("1234567"),
    "REFR": {"1", "2"},
    "TEN": set("1234"),
    "VEH": set("0123456"),
    "YBL": {str(c) for c in range(1, 20)},
}
LEGAL_PERSONS = {
    "RT": {"P"},
    "CIT": set("12345"),
    "ESR": set("123456"),
    "HISP": {f"{c:02d}" for c in range(1, 25)},
    "MAR": set("12345"),
    "RAC1P": set("123456789"),
    "RELP": {f"{c:02d}" for c in range(18)},
    "SCHL": {f"{c:02d}" for c in range(1, 25)},
    "SEX": {"1", "2"},
}
LEGAL_RECS = {
    "COOLTYPE": {"1", "2", "3", "-2"},
    "EDUCATION": set("12345"),
    "ELPAY": {"1", "2", "3", "9"},
    "EMPLOYHH": {"0", "1", "2"},
    "FUELHEAT": {"1", "2", "3", "5", "7", "21", "-2"},
    "HOUSEHOLDER_RACE": {"1", "2", "3", "4", "5", "7"},
    "KOWNRENT": {"1", "2", "3"},
    "METROMICRO": {"METRO", "MICRO", "NONE"},
    "MONEYPY": set("12345678"),
    "NGPAY": {"1", "2", "3", "9", "-2"},
    "OCCUPYYRANGE": set("12345678"),
    "SCALEE": set("0123"),
    "TYPEHUQ": set("12345"),
    "UATYP10": {"U", "C", "R"},
    "YEARMADERANGE": set("12345678"),
}


@pytest.mark.parametrize(
    "table, legal", [("housing", LEGAL_HOUSING), ("persons", LEGAL_PERSONS), ("recs", LEGAL_RECS)]
)
def test_codes_are_those_of_the_publishers(table: str, legal: dict, request: pytest.FixtureRequest) -> None:
    frame = request.getfixturevalue(table)
    strange = {column: sorted(set(frame[column]) - codes - {""}) for column, codes in legal.items()}
    assert not {column: found for column, found in strange.items() if found}


def test_acs_codes_have_the_official_widths(housing: pd.DataFrame, persons: pd.DataFrame) -> None:
    widths = {
        "ST": 2,
        "PUMA": 5,
        "WGTP": 5,
        "NP": 2,
        "RMSP": 2,
        "ELEP": 3,
        "GASP": 3,
        "FULP": 4,
        "HINCP": 9,
        "VALP": 7,
    }
    for column, width in widths.items():
        assert set(housing[column].str.len()) - {0} == {width}, column
    for column, width in {"SPORDER": 2, "AGEP": 2, "WKHP": 2, "PWGTP": 5, "PINCP": 7}.items():
        assert set(persons[column].str.len()) - {0} == {width}, column


def test_vacant_units_and_group_quarters_are_there_and_leave_questions_blank(housing: pd.DataFrame) -> None:
    vacant = housing[(housing["TYPE"] == "1") & (housing["NP"] == "00")]
    quarters = housing[housing["TYPE"] != "1"]
    assert len(vacant) > 100 and len(quarters) > 100
    assert (vacant[["TEN", "HINCP", "HFL", "ELEP", "ACCESS", "HHT"]] == "").all(axis=None)
    assert (vacant[["BLD", "RMSP", "REFR", "VACS"]] != "").all(axis=None)
    assert (vacant["WGTP"] != "00000").all()
    assert (quarters[["BLD", "TEN", "HINCP", "VACS"]] == "").all(axis=None)
    assert (quarters["WGTP"] == "00000").all() and (quarters["NP"] == "01").all()


def test_special_codes_of_utility_costs_occur_beside_amounts(housing: pd.DataFrame) -> None:
    occupied = housing[housing["TEN"] != ""]
    assert {"001", "002"} < set(occupied["ELEP"])
    assert {"001", "002", "003"} < set(occupied["GASP"])
    assert {"0001", "0002"} < set(occupied["FULP"])
    assert (pd.to_numeric(occupied["GASP"]) > 3).mean() > 0.3


def test_weights_add_up_to_the_nation(housing: pd.DataFrame, recs: pd.DataFrame) -> None:
    occupied = housing[(housing["TYPE"] == "1") & (housing["NP"] != "00")]
    assert pd.to_numeric(occupied["WGTP"]).sum() == pytest.approx(117_500_000, rel=1e-4)
    weight = pd.to_numeric(recs["NWEIGHT"])
    assert weight.sum() == pytest.approx(118_208_250, abs=1)
    assert weight.std() / weight.mean() > 0.2
    for replicate in ("BRRWT1", "BRRWT96"):
        assert pd.to_numeric(recs[replicate]).sum() == pytest.approx(118_208_250, abs=1)
        ratio = pd.to_numeric(recs[replicate]) / weight
        assert ratio.between(0.4, 0.65).mean() + ratio.between(1.3, 1.65).mean() == 1


def test_persons_match_their_households(housing: pd.DataFrame, persons: pd.DataFrame) -> None:
    counted = persons.groupby("SERIALNO").size()
    lived_in = housing[housing["NP"] != "00"].set_index("SERIALNO")
    assert set(counted.index) == set(lived_in.index)
    pd.testing.assert_series_equal(
        counted.sort_index(), lived_in["NP"].astype(int).sort_index(), check_names=False
    )
    first = persons[persons["SPORDER"] == "01"].set_index("SERIALNO")
    households = lived_in[lived_in["TYPE"] == "1"]
    assert (first.loc[households.index, "RELP"] == "00").all()
    assert (first.loc[households.index, "PWGTP"] == households["WGTP"]).all()
    assert set(first.loc[lived_in.index[lived_in["TYPE"] != "1"], "RELP"]) == {"16", "17"}
    assert (persons["RELP"] == "00").sum() == len(households)


def test_spouses_and_ages_agree_with_the_household_type(housing: pd.DataFrame, persons: pd.DataFrame) -> None:
    married = set(housing.loc[housing["HHT"] == "1", "SERIALNO"])
    assert set(persons.loc[persons["RELP"] == "01", "SERIALNO"]) == married
    alone = housing[housing["HHT"].isin(["4", "6"])]
    assert (alone["NP"] == "01").all()
    children = persons[pd.to_numeric(persons["AGEP"]) < 18]
    by_household = children.groupby("SERIALNO").size()
    stated = housing.set_index("SERIALNO")["NOC"].loc[by_household.index].astype(int)
    assert (by_household == stated).all()
    assert (pd.to_numeric(persons.loc[persons["RELP"] == "00", "AGEP"]) >= 18).all()


@pytest.mark.parametrize("year", [2013, 2015])
def test_nothing_is_built_after_the_survey(mirror: Path, year: int) -> None:
    table = ingest(
        [RawPart(mirror / f"acs_{year}" / "csv_hus.zip")], load_codebook(f"acs_{year}"), "households"
    )
    built = set(table["ybl"].to_pandas())
    assert str(year) in built and str(year + 1) not in built


def test_ingested_acs_joins_the_truth_household_by_household(mirror: Path) -> None:
    table = ingest([RawPart(mirror / "acs_2015" / "csv_hus.zip")], load_codebook("acs_2015"), "households")
    survey = table.to_pandas()[["hid", "state", "puma10"]].astype({"state": str, "puma10": str})
    truth = pd.read_parquet(mirror / "truth" / "acs_2015.parquet").astype({"state": str, "puma10": str})
    assert truth["hid"].is_unique
    assert (
        len(survey.merge(truth, on=["hid", "state", "puma10"]))
        == len(survey)
        == len(truth)
        == SIZES["households"]
    )


def test_ingested_recs_says_what_the_truth_says(mirror: Path) -> None:
    table = ingest(
        [RawPart(mirror / "recs_2015" / "recs2015_public_v4.csv")], load_codebook("recs_2015"), "households"
    )
    assert set(load_codebook("recs_2015").households.variables) <= set(table.column_names)
    truth = pd.read_parquet(mirror / "truth" / "recs_2015.parquet").set_index("hid")
    survey = table.to_pandas().set_index("hid").loc[truth.index]
    for variable in ("cooltype", "insec", "noheat", "noac", "scalee", "scaleg", "scaleb"):
        assert (survey[variable].astype(str) == truth[variable].astype(str)).all(), variable
    for variable in ("btuel", "btung", "btulp", "btufo", "dollarel", "dollarng", "dollarlp", "dollarfo"):
        np.testing.assert_allclose(survey[variable], truth[variable], atol=0.005)
        assert ((survey[variable] > 0) == (truth[variable] > 0)).all()
    assert not {"state", "puma10", "ST", "PUMA"} & set(survey.columns), "RECS discloses no state and no PUMA"


def test_national_levels_are_plausible(mirror: Path) -> None:
    truth = pd.read_parquet(mirror / "truth" / "acs_2015.parquet")
    assert 30_000 < truth["btuel"].mean() < 42_000
    assert 0.50 < (truth["btung"] > 0).mean() < 0.65
    assert 0.82 < (truth["cooltype"] != "No air conditioning").mean() < 0.92
    assert 0.24 < (truth["insec"] == "Yes").mean() < 0.36
    assert 0.02 < (truth["noheat"] == "Yes").mean() < 0.09
    assert (truth["btuel"] > 0).all()
    by_state = truth.groupby("state", observed=True)["btuel"].mean()
    assert by_state.max() / by_state.min() > 1.5, "small-area truth should vary"


def test_closed_form_mean_is_the_mean(mirror: Path) -> None:
    truth = pd.read_parquet(mirror / "truth" / "acs_2015.parquet")
    ratio = truth["btuel"] / truth["mean_btuel"]
    assert ratio.mean() == pytest.approx(1, abs=4 * ratio.std() / np.sqrt(len(ratio)))
    assert np.log(ratio).std() == pytest.approx(0.36, abs=0.02)


def test_acs_answers_recover_the_known_effects(mirror: Path) -> None:
    table = ingest([RawPart(mirror / "acs_2015" / "csv_hus.zip")], load_codebook("acs_2015"), "households")
    columns = ["hid", "np", "rmsp", "hfl", "bld"]
    survey = (
        table.select(columns)
        .to_pandas()
        .merge(pd.read_parquet(mirror / "truth" / "acs_2015.parquet"), on="hid")
    )
    central = survey["cooltype"].astype(str).str.contains("entral")
    design = np.column_stack(
        [
            np.ones(len(survey)),
            np.log(survey["np"]),
            survey["rmsp"],
            survey["hfl"] == "Electricity",
            central,
        ]
    ).astype(float)
    slopes = np.linalg.lstsq(design, np.log(survey["btuel"]), rcond=None)[0]
    assert slopes[1] == pytest.approx(0.32, abs=0.06)
    assert slopes[2] > 0.02 and slopes[3] > 0.2 and slopes[4] > 0.1


def test_both_surveys_describe_the_same_population(mirror: Path) -> None:
    acs = ingest(
        [RawPart(mirror / "acs_2015" / "csv_hus.zip")], load_codebook("acs_2015"), "households"
    ).to_pandas()
    recs = ingest(
        [RawPart(mirror / "recs_2015" / "recs2015_public_v4.csv")], load_codebook("recs_2015"), "households"
    ).to_pandas()
    assert np.average(recs["nhsldmem"], weights=recs["weight"]) == pytest.approx(
        np.average(acs["np"], weights=acs["weight"]), abs=0.15
    )

    def share(frame: pd.DataFrame, column: str, labels: list[str]) -> float:
        return float(np.average(frame[column].isin(labels), weights=frame["weight"]))

    gas = (["Natural gas from underground pipes"], ["Utility gas"])
    assert share(recs, "fuelheat", gas[0]) == pytest.approx(share(acs, "hfl", gas[1]), abs=0.05)
    assert share(recs, "kownrent", ["Rented"]) == pytest.approx(share(acs, "ten", ["Rented"]), abs=0.05)
    poor = np.average(acs["hincp"] < 20_000, weights=acs["weight"])
    assert share(recs, "moneypy", ["Less than $20,000"]) == pytest.approx(poor, abs=0.04)


def test_digits_are_padded_and_signed() -> None:
    values = np.array([7, -5000, 123456, 0])
    assert digits(values, 6).to_pylist() == ["000007", "-05000", "123456", "000000"]
    assert digits(values, 0, np.array([False, False, True, False])).to_pylist() == ["7", "-5000", None, "0"]
