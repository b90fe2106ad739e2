"""Places that are unknown, changed or empty, wherever they come in: the table at the end of docs/geography.md."""

import numpy as np
import pyarrow as pa
import pytest

from fusion_pipeline.errors import GeographyError
from fusion_pipeline.geography.building import build_concordance
from fusion_pipeline.geography.concordance import add_areas, find_pumas, puma_ids, states
from fusion_pipeline.geography.counties import ground, grounds
from fusion_pipeline.registry import load_registry

TRACTS = """STATEFP,COUNTYFP,TRACTCE,PUMA5CE
09,{0},000100,00100
09,{1},000200,00101
10,001,000100,00101
"""
CLIMATE = """State,State FIPS,County FIPS,IECC Climate Zone,IECC Moisture Regime,BA Climate Zone,County Name
CT,9,1,5,A,Cold,Fairfield
CT,9,3,5,A,Cold,Hartford
DE,10,1,4,A,Mixed-Humid,Kent
"""
CBSA = """CBSA,MDIV,STCOU,NAME,LSAD
25540,,,"Hartford",Metropolitan Statistical Area
25540,,09003,"Hartford County, CT",County or equivalent
14860,,,"Bridgeport",Metropolitan Statistical Area
14860,,09001,"Fairfield County, CT",County or equivalent
"""
OLD, REGIONS = ("001", "003"), ("110", "120")


def built(folder, **texts):
    paths = {}
    for role, text in texts.items():
        paths[role] = folder / f"{role}.txt"
        paths[role].write_text(text)
    return build_concordance(paths, "puma10")


@pytest.mark.parametrize("code", ["72", "99", "1", ""])
def test_households_of_no_state_are_refused_with_the_code_and_how_many(categories, code):
    with pytest.raises(
        GeographyError, match=f"column state: holds '{code}' in 2 rows, which is none of the 50"
    ):
        add_areas(pa.table({"state": categories(["10", code, code])}))


def test_areas_follow_the_state_whatever_a_file_calls_them(categories):
    own = {"division": categories(["Mountain (West region)"] * 2), "weight": [1.0, 2.0]}
    found = add_areas(pa.table({"state": categories(["10", "35"]), **own}))
    assert found.column_names == ["state", "division", "weight", "region"]
    assert found["division"].to_pylist() == ["South Atlantic", "Mountain"]


@pytest.mark.parametrize("code", ["72", "99"])
def test_a_household_in_puerto_rico_or_nowhere_is_in_no_concordance(categories, concordance, code):
    table = pa.table({"state": categories(["10", code]), "puma10": categories(["00001", "00001"])})
    known = np.unique(puma_ids(concordance, "concordance"))
    with pytest.raises(GeographyError, match=f"state {code}, puma10 00001: is not in the concordance"):
        find_pumas(known, "puma10", table, "recipient")


def test_tracts_in_planning_regions_take_the_facts_of_the_counties(tmp_path):
    folders = [tmp_path / name for name in ("old", "new")]
    tables = []
    for folder, counties in zip(folders, (OLD, REGIONS), strict=True):
        folder.mkdir()
        tables.append(built(folder, tracts=TRACTS.format(*counties), climate=CLIMATE, cbsa15=CBSA).table)
    old, new = (table.to_pandas().astype(str) for table in tables)
    zones = ["recs15_iecc_zone", "recs15_ba_zone"]
    assert new[zones].to_numpy().tolist() == old[zones].to_numpy().tolist()
    # On the statistical area the counties do not agree, and none is made up.
    assert set(old.loc[old["state"] == "09", "cbsa15"]) == {"14860", "25540"}
    assert tables[1]["cbsa15"].to_pylist()[:2] == [None, None]
    assert set(new.loc[new["state"] == "10", "cbsa15"]) == {"None"}


def test_housing_units_of_tracts_in_planning_regions_are_of_another_year_and_refused(tmp_path):
    units = "GEO_ID|B25001_E001\n1400000US09110000100|5\n1400000US09120000200|5\n1400000US10001000100|5\n"
    with pytest.raises(GeographyError, match="knows 33% of the tracts"):
        built(tmp_path, tracts=TRACTS.format(*OLD), housing=units)


@pytest.mark.parametrize(
    ("old", "new"),
    [("02261", ("02063", "02066")), ("02270", ("02158",)), ("46113", ("46102",)), ("51515", ("51019",))],
)
def test_changed_counties_of_alaska_south_dakota_and_virginia_share_their_ground(old, new):
    frame = pa.array([old, *new]).to_pandas()
    assert ground(frame).nunique() == 1


def test_every_ground_lies_in_one_state_and_has_two_codes_or_more():
    of_ground: dict[str, set[str]] = {}
    for county, name in grounds().items():
        of_ground.setdefault(name, set()).add(county)
    assert all(len(codes) >= 2 and len({code[:2] for code in codes}) == 1 for codes in of_ground.values())


def test_alaska_and_hawaii_have_cooperative_stations_of_their_own_and_dc_has_not():
    noaa = {state.usps: state.noaa for state in states().values()}
    others = [code for usps, code in noaa.items() if usps not in ("AK", "HI")]
    assert noaa["AK"] not in others and noaa["HI"] not in others
    assert noaa["DC"] == noaa["MD"]


def test_boundaries_of_a_definition_are_registered_for_its_census():
    for name, definition in load_registry().geography.items():
        assert f"_{name}_" in definition.files["boundaries"].name
        assert definition.files["boundaries"].optional and definition.files["state_boundaries"].optional
