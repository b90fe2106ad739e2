"""The real geography files: complete, plausible, and good enough to place the real RECS donors."""

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from fusion_pipeline.geography.sources import degree_days, energy_prices

from fusion_pipeline.geography.concordance import build_concordance, puma_ids, states
from fusion_pipeline.geography.puma_imputation import impute_puma, locate_recipients
from fusion_pipeline.storage.tables import categorical, levels_of

pytestmark = pytest.mark.realdata
SHARED = Path(os.environ.get("FUSION_SHARED", Path(__file__).parents[2] / ".." / "shared"))
SPATIAL = SHARED / "data" / "spatial"
FIPS = {state.usps: state.fips for state in states().values()}


@pytest.fixture(scope="module")
def concordance():
    return build_concordance(SPATIAL / "2010_Census_Tract_to_2010_PUMA.txt.gz")


@pytest.fixture(scope="module")
def prices():
    return energy_prices(SPATIAL / "EIA_SEDS_pr_all.csv.gz", 2015)


def test_the_states_and_dc_have_2351_pumas_in_3143_counties(concordance):
    assert len(np.unique(puma_ids(concordance, "concordance"))) == 2351
    assert len(concordance["county"].unique()) == 3143
    assert len(concordance["state"].unique()) == 51


def test_delaware_has_6_pumas_and_alaska_5(concordance):
    pumas = concordance.select(["state", "puma10"]).to_pandas().drop_duplicates()
    assert (pumas["state"] == "10").sum() == 6
    assert (pumas["state"] == "02").sum() == 5


def test_every_recs_division_lies_in_one_census_division(concordance):
    pairs = concordance.select(["recs_division", "division", "region"]).to_pandas().drop_duplicates()
    assert len(pairs) == 10
    assert levels_of(concordance["recs_division"])[0] == "New England"


def test_weights_are_all_tracts_of_the_states(concordance):
    assert sum(concordance["weight"].to_pylist()) == 73_057


def test_hawaii_pays_most_for_electricity_and_every_state_has_a_price(prices):
    electricity = prices["electricity"]
    assert max(electricity, key=electricity.get) == FIPS["HI"]
    assert all(15 < price < 90 for price in electricity.values())
    assert prices["natural_gas"][FIPS["HI"]] > 2 * prices["natural_gas"][FIPS["DE"]]


def test_degree_days_run_from_hawaii_to_alaska():
    heating = degree_days(SPATIAL / "ann-htdd-normal.txt.gz")
    cooling = degree_days(SPATIAL / "ann-cldd-normal.txt.gz")
    assert max(heating, key=heating.get) == FIPS["AK"]
    assert min(heating, key=heating.get) == FIPS["HI"]
    assert heating[FIPS["MN"]] > 10 * heating[FIPS["FL"]]
    assert cooling[FIPS["FL"]] > 3 * cooling[FIPS["MN"]]
    # A wrong state number would put a state beside neighbours with another climate.
    assert 4000 < heating[FIPS["DE"]] < 5500 and 4000 < heating[FIPS["MD"]] < 5500
    assert heating[FIPS["AZ"]] < heating[FIPS["CO"]] and heating[FIPS["ND"]] > heating[FIPS["SD"]]


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
