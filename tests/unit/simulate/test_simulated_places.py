from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fusion_pipeline.geography.building import build_concordance
from fusion_pipeline.registry import load_registry
from fusion_pipeline.simulate.place import BUILDING_AMERICA, HOUSEHOLDS, IECC, Places
from fusion_pipeline.simulate.spatial import cooperative_numbers


def test_there_are_51_states_in_ten_recs_divisions_with_a_split_mountain(places: Places) -> None:
    states = places.states.set_index("usps")
    assert len(states) == 51
    assert sorted(states["recs_division"].unique()) == list(range(1, 11))
    assert set(states.index[states["recs_division"] == 8]) == {"CO", "ID", "MT", "UT", "WY"}
    assert set(states.index[states["recs_division"] == 9]) == {"AZ", "NM", "NV"}
    region_of_division = states.groupby("division")["region"].unique()
    assert all(len(regions) == 1 for regions in region_of_division)


def test_puma_codes_are_unique_within_a_state_only(places: Places) -> None:
    keys = pd.DataFrame({"state": places.state, "puma": places.puma})
    assert not keys.duplicated().any()
    assert keys["puma"].duplicated().any()
    assert keys.groupby("state").size().between(2, 12).all()
    assert all(len(code) == 5 for code in places.puma)


def test_shares_and_totals_of_places_are_sound(places: Places) -> None:
    assert places.households.sum() == pytest.approx(HOUSEHOLDS)
    np.testing.assert_allclose(places.urban.sum(axis=1), 1)
    assert (places.urban > 0).all()
    assert ((places.gas >= 0) & (places.gas <= 1)).all()
    assert (places.price > 0).all()
    assert len(places.building_america) == len(places)


def test_hot_and_cold_states_lie_in_their_climate_zones(places: Places) -> None:
    def zones(fips: str) -> set[str]:
        return {IECC[z] for z in places.iecc[places.fips == fips]}

    assert zones("12") == {"1A-2A"}
    assert zones("02") == {"7A-7B-7AK-8AK"}
    assert set(np.array(BUILDING_AMERICA)[places.building_america[places.fips == "12"]]) == {"Hot-Humid"}


def test_every_puma_has_tracts_and_no_tract_lies_twice(mirror: Path, places: Places) -> None:
    tracts = pd.read_csv(mirror / "spatial" / "2010_Census_Tract_to_2010_PUMA.txt", dtype=str)
    assert list(tracts.columns) == ["STATEFP", "COUNTYFP", "TRACTCE", "PUMA5CE"]
    assert (tracts.apply(lambda c: c.str.len()) == [2, 3, 6, 5]).all(axis=None)
    assert not tracts.duplicated(["STATEFP", "COUNTYFP", "TRACTCE"]).any()
    found = set(zip(tracts["STATEFP"], tracts["PUMA5CE"], strict=True))
    assert found == set(zip(places.fips, places.puma, strict=True))
    counties = tracts.groupby(["STATEFP", "PUMA5CE"])["COUNTYFP"].nunique()
    assert counties.max() == 2, "some PUMA should lie in two counties"


def test_noaa_counts_contiguous_states_by_name(places: Places) -> None:
    number = dict(zip(places.states["usps"], cooperative_numbers(places), strict=True))
    known = {
        "AL": 1,
        "AZ": 2,
        "CA": 4,
        "DE": 7,
        "MD": 18,
        "NY": 30,
        "TX": 41,
        "WY": 48,
        "AK": 50,
        "HI": 51,
        "DC": 18,
    }
    assert {usps: number[usps] for usps in known} == known


def test_normals_have_noaas_fixed_width_and_the_places_climate(mirror: Path, places: Places) -> None:
    lines = (mirror / "spatial" / "ann-htdd-normal.txt").read_text().splitlines()
    assert {len(line) for line in lines} == {24}
    assert {line[-1] for line in lines} <= set("CPQRS")
    assert lines == sorted(lines)
    assert len({line[:11] for line in lines}) == len(lines)
    delaware = [int(line[11:23]) for line in lines if line.startswith("USC0007")]
    assert np.mean(delaware) == pytest.approx(places.hdd[places.fips == "10"].mean(), rel=0.1)


def test_price_series_meet_the_worlds_prices_in_2015(mirror: Path, places: Places) -> None:
    prices = pd.read_csv(mirror / "spatial" / "pr_all.csv")
    assert list(prices.columns[:4]) == ["Data_Status", "State", "MSN", "1970"]
    assert len(prices) == 52 * 4
    electricity = prices[prices["MSN"] == "ESRCD"].set_index("State")["2015"]
    expected = places.states.set_index("usps")["price_el"]
    np.testing.assert_allclose(electricity[expected.index], expected, atol=0.006)
    assert prices.loc[prices["MSN"] == "PQRCD", "2009"].isna().all()
    assert prices.loc[prices["MSN"] == "PQRCD", "2010"].notna().all()


def test_published_use_of_states_is_that_of_their_true_households(mirror: Path, places: Places) -> None:
    use = pd.read_csv(mirror / "spatial" / "use_all_btu.csv")
    assert list(use.columns[:4]) == ["Data_Status", "State", "MSN", "1960"]
    assert len(use) == 52 * 4
    electricity = use[use["MSN"] == "ESRCB"].set_index("State")["2015"]
    assert electricity["US"] == pytest.approx(electricity.drop("US").sum(), rel=1e-4)
    truth = pd.read_parquet(mirror / "truth" / "acs_2015.parquet", columns=["mean_btuel"])
    assert electricity["US"] == pytest.approx(
        truth["mean_btuel"].mean() * places.households.sum() / 1e6, rel=0.1
    )
    oil = use[use["MSN"] == "DFRCB"].set_index("State")["2015"]
    assert oil["ME"] / electricity["ME"] > 10 * oil["FL"] / electricity["FL"]


@pytest.fixture(scope="module")
def pieces(mirror: Path) -> pd.DataFrame:
    """The concordance of the simulated world's PUMAs of 2010."""
    files = load_registry().geography["puma10"].files
    paths = {role: mirror / "spatial" / file.name for role, file in files.items()}
    frame = build_concordance({r: p for r, p in paths.items() if p.is_file()}, "puma10").table.to_pandas()
    return frame.assign(place=frame["state"].astype(str) + frame["puma10"].astype(str))


def test_concordance_has_the_housing_units_and_urban_land_of_the_places(
    pieces: pd.DataFrame, places: Places
) -> None:
    names = pd.Index([fips + puma for fips, puma in zip(places.fips, places.puma, strict=True)])
    units = pieces.groupby("place")["weight"].sum()[names]
    np.testing.assert_allclose(units, 1.12 * places.households, rtol=0.01)
    urban = pieces["weight"].where(pieces["ur12"] == "U", 0.0).groupby(pieces["place"]).sum()[names] / units
    assert np.abs(urban - (1 - places.urban[:, 2])).mean() < 0.03


def test_every_donor_climate_zone_occurs_in_its_puma(pieces: pd.DataFrame, places: Places) -> None:
    zones = pieces.groupby("place")["recs15_iecc_zone"].agg(lambda zone: set(zone.astype(str)))
    for fips, puma, zone in zip(places.fips, places.puma, places.iecc, strict=True):
        assert IECC[zone] in zones[fips + puma], (fips, puma)
