"""NHTS 2017 and 2022 and AHS 2019 fused onto real ACS records, as far as the files at hand carry.

Of the donors of 2017 every twelfth is used, and three of seventeen states of 2024, to keep each run within minutes.
"""

from __future__ import annotations

import re
from pathlib import Path

import dagster as dg
import numpy as np
import pandas as pd
import pytest

from fusion_pipeline.errors import HarmonyError
from fusion_pipeline.estimating import estimate_pair
from fusion_pipeline.harmonize import harmonize_pair, pair_harmonies, similarity
from fusion_pipeline.registry import load_registry
from fusion_pipeline.running import JobRun, execute, run_pair
from fusion_pipeline.settings import load_settings
from fusion_pipeline.storage.tables import TableRef
from tests.conftest import Run

pytestmark = pytest.mark.realdata

EVERY = 12
STATES = ("10", "50", "56")
IMPLICATES = range(1, 11)
LIKERT = ["Strongly disagree", "Disagree", "Neither Agree or Disagree", "Agree", "Strongly agree"]


def linked(mirror: Path, shared: Path, names: list[str]) -> None:
    for name in names:
        (mirror / name).parent.mkdir(parents=True, exist_ok=True)
        (mirror / name).symlink_to((shared / "data" / name).resolve())


@pytest.fixture(scope="module")
def mirror(shared, tmp_path_factory) -> Path:
    """Real files, of which some are taken apart."""
    folder = tmp_path_factory.mktemp("mirror")
    linked(folder, shared, ["spatial", "ahs_2019", "nhts_2022", "acs_2018_5yr_de"])
    donors = pd.read_csv(shared / "data" / "nhts_2017" / "hhpub.csv.gz", dtype=str, keep_default_na=False)
    assert len(donors) == 129_696
    (folder / "nhts_2017").mkdir()
    donors.iloc[::EVERY].to_csv(folder / "nhts_2017" / "hhpub.csv", index=False)
    linked(folder, shared, [f"acs_2024/psam_{kind}{state}.csv.gz" for kind in "hp" for state in STATES])
    return folder


@pytest.fixture(scope="module")
def settings(mirror, tmp_path_factory):
    """Settings of all runs of this module."""
    return load_settings(data=tmp_path_factory.mktemp("real"), raw=mirror, offline=True, seed=1)


def run(pair: str, settings) -> Run:
    instance = dg.DagsterInstance.ephemeral()
    return Run(settings, instance, {job: o for job, o in run_pair(pair, settings, instance) if o is not None})


@pytest.fixture(scope="module")
def of_2017(settings) -> Run:
    return run("NHTS_2017__ACS_2017", settings)


@pytest.fixture(scope="module")
def of_2022(settings) -> Run:
    return run("NHTS_2022__ACS_2024", settings)


def metadata(done: Run, name: str) -> dict:
    key = dg.AssetKey(name.split("/"))
    [found] = [m for o in done.outcomes.values() for m in o.materialized if m.asset_key == key]
    return {name: value.value for name, value in found.metadata.items()}


def named(text: str) -> set[str]:
    return set(re.findall(r"^\| (\w+) \|", text, re.M)) - {"left", "left out", "---"}


def fused(done: Run, pair: str) -> list[pd.DataFrame]:
    return [pd.read_parquet(done.layout.implicate(pair, m)) for m in IMPLICATES]


def households(done: Run, year: str) -> pd.DataFrame:
    return TableRef(done.layout.table(("acs", "households"), year)).to_pandas(["hid", "weight", "state"])


def weighted(values: pd.Series, weight: pd.Series) -> float:
    return float(np.average(values.to_numpy(float), weights=weight.to_numpy(float)))


def test_every_household_of_2017_is_fused_in_every_implicate_with_what_the_household_files_tell(of_2017):
    recipients = households(of_2017, "2017")
    assert len(recipients) == 3_709
    for implicate in fused(of_2017, "NHTS_2017__ACS_2017"):
        assert implicate["hid"].tolist() == recipients["hid"].tolist()
        assert set(implicate.columns) == {"year", "hid", "place", "price", "ptrans", "travel"}
        assert not implicate.isna().any(axis=None)
    # The cost of fuel is a sum over vehicles, whose file is not at hand.
    assert named(metadata(of_2017, "fusion/prepared")["skipped fusion variables"]) == {"gstotcst"}
    skipped = named(metadata(of_2017, "fusion/harmonized")["skipped harmonies"])
    assert skipped >= {"educ__schl", "r_age__agep", "worker__wkl", "numadlt__agep", "hh_race__rac1p"}
    assert not skipped & {"hhfaminc__hincp", "hhsize__np", "homeown__ten", "hhvehcnt__veh"}


def test_donors_of_2017_are_accounted_for_and_those_of_delaware_live_there(of_2017):
    about = metadata(of_2017, "survey/households")
    assert about["rows read"] == about["rows kept"] == 10_808
    assert about["dropped"] == {}
    place = TableRef(of_2017.layout.tables(("fusion", "located"), "NHTS_2017__ACS_2017") / "donor.parquet")
    donors = place.to_pandas(["state", "puma10", "weight"])
    assert len(donors) == 10_808
    # 118,208,251 households; every twelfth of them.
    assert donors["weight"].sum() * EVERY == pytest.approx(118_208_251, rel=0.03)
    assert set(donors.loc[donors["state"] == "10", "puma10"]) <= {
        "00101", "00102", "00103", "00104", "00200", "00300"
    }  # fmt: skip


def test_opinions_fused_onto_delaware_lie_between_its_own_donors_and_its_neighbours(of_2017, shared):
    """Some twenty of the donors used live in Delaware (standard error .10): what they say is drawn towards others'."""
    columns = ["PRICE", "PLACE", "WTHHFIN", "HHSTATE"]
    raw = pd.read_csv(shared / "data" / "nhts_2017" / "hhpub.csv.gz", usecols=columns)
    used = raw.iloc[::EVERY]
    own, near = used[used["HHSTATE"] == "DE"], raw[raw["HHSTATE"].isin(["DE", "MD", "NJ", "PA", "VA"])]
    weight = households(of_2017, "2017")["weight"]
    implicates = fused(of_2017, "NHTS_2017__ACS_2017")
    for name in ("price", "place"):
        shares = []
        for donors in (own, near):
            answered = donors[donors[name.upper()] > 0]
            shares.append(weighted(answered[name.upper()] <= 2, answered["WTHHFIN"]))
        found = [weighted(i[name].isin(LIKERT[3:]), weight) for i in implicates]
        assert min(shares) - 0.03 < np.mean(found) < max(shares) + 0.03, name
        # Implicates differ, but by no more than Delaware's own donors among those used leave open.
        assert 0 < np.std(found) < 0.1


def test_every_household_of_three_states_of_2024_is_fused_with_vehicles(of_2022):
    recipients = households(of_2022, "2024")
    assert set(recipients["state"]) == set(STATES)
    for implicate in fused(of_2022, "NHTS_2022__ACS_2024"):
        assert implicate["hid"].tolist() == recipients["hid"].tolist()
        assert set(implicate.columns) == {
            "year", "hid", "hhvehcnt", "annmiles", "newest", "plugin", "hybrids", "business"
        }  # fmt: skip
        assert not implicate.isna().any(axis=None)
    skipped = named(metadata(of_2022, "fusion/prepared")["skipped fusion variables"])
    assert skipped == {"deliver_home", "transit_days", "tripnum", "vmt_mile"}
    about = metadata(of_2022, "survey/households")
    assert about["rows read"] == about["rows kept"] == 7_893


def test_vehicles_and_miles_of_2024_are_plausible_beside_the_published_ones(of_2022, shared):
    donors = pd.read_csv(shared / "data" / "nhts_2022" / "hhpub.csv.gz", usecols=["HHVEHCNT", "WTHHFIN"])
    published = weighted(donors["HHVEHCNT"], donors["WTHHFIN"])
    weight = households(of_2022, "2024")["weight"]
    implicates = fused(of_2022, "NHTS_2022__ACS_2024")
    # Three rural states have more vehicles than the nation, and hardly a household without.
    found = np.mean([weighted(i["hhvehcnt"], weight) for i in implicates])
    assert published - 0.05 < found < published + 0.35


def test_no_household_of_2024_contradicts_itself_about_its_vehicles_as_none_of_2022_does(of_2022):
    columns = ["hhvehcnt", "annmiles", "newest", "plugin", "hybrids", "business"]
    donors = TableRef(of_2022.layout.table(("survey", "households"), "NHTS_2022")).to_pandas(columns)
    for household in (donors, *fused(of_2022, "NHTS_2022__ACS_2024")):
        without = household["hhvehcnt"] == 0
        assert without.any()
        assert (household["plugin"] <= household["hybrids"]).all()
        assert (household["hybrids"] <= household["hhvehcnt"]).all()
        assert (household["business"] <= household["hhvehcnt"]).all()
        assert (household.loc[without, ["annmiles", "newest"]] == 0).all(axis=None)
        assert (household.loc[~without, "newest"] >= 1).all()


def test_the_newest_vehicle_is_as_old_as_the_donors_say_among_households_that_have_one(of_2022, shared):
    folder = shared / "data" / "nhts_2022"
    vehicles = pd.read_csv(folder / "vehpub.csv.gz", usecols=["HOUSEID", "VEHAGE", "WTHHFIN"])
    newest = vehicles.groupby("HOUSEID").min()
    told = weighted(newest["VEHAGE"], newest["WTHHFIN"])
    assert told == pytest.approx(7.09, abs=0.01)
    found = estimate_pair("NHTS_2022__ACS_2024", of_2022.layout, ["mean(newest)"])
    assert "newest is estimated where hhvehcnt > 0." in found.notes
    # Three rural states have older vehicles than the nation, by less than two years.
    assert told - 0.5 < found.table["estimate"][0] < told + 2


def test_seven_columns_of_ahs_carry_to_two_predictors_and_no_further(settings, of_2017):
    instance = dg.DagsterInstance.ephemeral()
    from fusion_pipeline.definitions import build_defs

    definitions = build_defs(settings)
    pair = load_registry().pair("AHS_2019__ACS_2017")
    execute(definitions, JobRun("ingest_survey", "AHS_2019"), instance)
    tables = [TableRef(of_2017.layout.table(key, name)) for key, name in (
        (("survey", "households"), "AHS_2019"), (("acs", "households"), "2017"), (("acs", "persons"), "2017")
    )]  # fmt: skip
    assert tables[0].num_rows == 54_455
    harmonies = pair_harmonies(pair, load_registry())
    result = harmonize_pair({"AHS_2019": tables[0]}, tables[1], tables[2], harmonies)
    assert set(result.predictors) == {"hincp__hincp", "tenure__ten"}
    assert len(result.skipped) == len(harmonies["AHS_2019"].entries) - 2
    alike = similarity(result.donor, result.recipient).to_pandas().set_index("predictor")["similarity"]
    assert (alike > 0.8).all(), alike
    with pytest.raises(HarmonyError, match=r"AHS_2019, households: have no column division.*`locations`"):
        execute(definitions, JobRun("fit_pair", "AHS_2019__ACS_2017"), instance)
