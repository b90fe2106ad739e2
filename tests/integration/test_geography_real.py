"""The real geography files: complete, plausible, and good enough to place real donors and recipients."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from fusion_pipeline.geography.building import build_concordance
from fusion_pipeline.geography.concordance import find_pumas, puma_ids, states
from fusion_pipeline.geography.dataset_summaries import summarize_dataset
from fusion_pipeline.geography.puma_imputation import impute_puma, locate_recipients
from fusion_pipeline.raw import look_up
from fusion_pipeline.registry import load_registry
from fusion_pipeline.storage.tables import categorical, levels_of

pytestmark = pytest.mark.realdata
REGISTRY = load_registry()
FIPS = {state.usps: state.fips for state in states().values()}


def found(shared, files) -> dict:
    mirror = shared / "data"
    hits = [look_up(role, file, folder="spatial", mirror=mirror) for role, file in files.items()]
    return {file.role: file.path for some in hits for file in some}


@pytest.fixture(scope="module")
def concordances(shared):
    return {
        pumas: build_concordance(found(shared, definition.files), pumas)
        for pumas, definition in REGISTRY.geography.items()
    }


@pytest.fixture(scope="module")
def concordance(concordances):
    return concordances["puma10"].table


@pytest.fixture(scope="module")
def summaries(shared, concordances):
    """Key -> summaries of a dataset by PUMA of one definition."""
    return {
        key: summarize_dataset(
            name,
            REGISTRY.spatial[name],
            found(shared, REGISTRY.spatial[name].files),
            concordances[pumas].table,
        )
        for key, (name, pumas) in REGISTRY.summaries.items()
    }


def by_state(summary, vintage: str) -> pd.DataFrame:
    frame = summary.table.to_pandas()
    frame = frame[frame["vintage"] == vintage]
    return frame.groupby("state", observed=True).mean(numeric_only=True)


def test_the_states_and_dc_have_2351_pumas_in_3143_counties(concordance):
    assert len(np.unique(puma_ids(concordance, "concordance"))) == 2351
    assert len(concordance["county"].unique()) == 3143
    assert len(concordance["state"].unique()) == 51
    assert len(concordance["tract"].unique()) == 73_057


def test_delaware_has_6_pumas_and_alaska_5(concordance):
    pumas = concordance.select(["state", "puma10"]).to_pandas().drop_duplicates()
    assert (pumas["state"] == "10").sum() == 6
    assert (pumas["state"] == "02").sum() == 5


def test_every_recs_division_lies_in_one_census_division(concordance):
    pairs = concordance.select(["recs_division", "division", "region"]).to_pandas().drop_duplicates()
    assert len(pairs) == 10
    assert levels_of(concordance["recs_division"])[0] == "New England"


def test_weights_are_the_housing_units_of_all_counties_connecticut_included(shared, concordance):
    counties = pd.read_parquet(shared / "data/spatial/acs5_county/acs_b25001_county_2020_2024.parquet")
    of_state = counties.groupby("state_fips")["total_housing_units"].sum().drop("72")
    frame = concordance.to_pandas()
    assert frame.groupby(frame["state"].astype(str))["weight"].sum().to_dict() == pytest.approx(
        of_state.to_dict()
    )


def test_households_of_2024_find_their_pumas_of_2020(shared, concordances):
    table = concordances["puma20"].table
    ids = np.unique(puma_ids(table, "concordance"))
    assert len(ids) == 2462
    paths = sorted((shared / "data" / "acs_2024").glob("psam_h*.csv.gz"))
    rows = pd.concat(pd.read_csv(p, usecols=lambda c: c in ("ST", "STATE", "PUMA"), dtype=str) for p in paths)
    state = rows.iloc[:, list(rows.columns != "PUMA").index(True)]
    places = pa.table({"state": state.to_numpy(str), "puma20": rows["PUMA"].to_numpy(str)})
    assert len(np.unique(find_pumas(ids, "puma20", places, "ACS 2024"))) == 623


def test_hawaii_pays_most_for_electricity_and_every_state_has_a_price(summaries):
    prices = by_state(summaries["eia_puma10"], "2015")
    assert prices["eia..electricity"].idxmax() == FIPS["HI"]
    assert prices["eia..electricity"].between(15, 90).all()
    assert prices.loc[FIPS["HI"], "eia..natural_gas"] > 2 * prices.loc[FIPS["DE"], "eia..natural_gas"]


def test_degree_days_run_from_hawaii_to_alaska(summaries):
    normals = by_state(summaries["noaa_puma10"], "always")
    heating, cooling = normals["noaa..hdd"], normals["noaa..cdd"]
    assert heating.idxmax() == FIPS["AK"]
    assert heating.idxmin() == FIPS["HI"]
    assert heating[FIPS["MN"]] > 10 * heating[FIPS["FL"]]
    assert cooling[FIPS["FL"]] > 3 * cooling[FIPS["MN"]]
    # A wrong state number would put a state beside neighbours with another climate.
    assert 4000 < heating[FIPS["DE"]] < 5500
    assert heating[FIPS["DC"]] == heating[FIPS["MD"]]
    assert heating[FIPS["AZ"]] < heating[FIPS["CO"]]
    assert heating[FIPS["ND"]] > heating[FIPS["SD"]]


def test_county_medians_reach_every_puma(summaries):
    medians = by_state(summaries["acs_county_puma10"], "2020-2024")
    assert medians.notna().all(axis=None)
    assert (
        medians["acs_county..home_value"].nlargest(3).index.isin([FIPS["HI"], FIPS["CA"], FIPS["DC"]]).all()
    )
    assert medians.loc[FIPS["CT"], "acs_county..household_income"] > 80_000


def test_datasets_without_files_are_left_out_by_name(summaries):
    for name in (
        key for key, (of, _) in REGISTRY.summaries.items() if of in ("acs_sf", "epa", "irs", "nrel")
    ):
        assert summaries[name].table.num_rows == 0
        assert "without any value" in summaries[name].notes


def test_donors_of_every_division_spread_over_its_pumas(concordance):
    rng = np.random.default_rng(1)
    ids = np.unique(puma_ids(concordance, "concordance"))
    recipient = _households(np.repeat(ids, 4), rng)
    divisions = levels_of(concordance["recs_division"])
    donor = pa.table(
        {
            "hid": pa.array(range(500)),
            "recs_division": categorical(np.arange(500) % 10, divisions),
            "rooms__rmsp": pa.array(rng.integers(1, 9, 500), pa.float32()),
        }
    )
    located = impute_puma(
        donor, recipient, concordance, locations=["recs_division"], predictors=["rooms__rmsp"], seed=1
    ).table
    of_state = {state.fips: state.recs_division for state in states().values()}
    assert [of_state[s] for s in located["state"].to_pylist()] == located["recs_division"].to_pylist()
    assert len(np.unique(puma_ids(located, "donor"))) > 300
    back = locate_recipients(recipient, concordance, ["recs_division"], seed=1)
    assert [of_state[s] for s in back["state"].to_pylist()] == back["recs_division"].to_pylist()


def _households(pumas, rng):
    return pa.table(
        {
            "hid": pa.array(range(len(pumas))),
            "weight": rng.uniform(20, 300, len(pumas)),
            "state": pa.array([f"{p // 100_000:02d}" for p in pumas]).dictionary_encode(),
            "puma10": pa.array([f"{p % 100_000:05d}" for p in pumas]).dictionary_encode(),
            "rooms__rmsp": pa.array(rng.integers(1, 9, len(pumas)), pa.float32()),
        }
    )
