import gzip
from pathlib import Path

import pytest

from fusion_pipeline.errors import GeographyError
from fusion_pipeline.geography.building import build_concordance, column_sources, expected_columns
from fusion_pipeline.geography.concordance import areas, states
from fusion_pipeline.partitions import REGISTRY
from fusion_pipeline.storage.tables import levels_of
from fusion_pipeline.surveys.codebook import load_codebook

TRACTS = """STATEFP,COUNTYFP,TRACTCE,PUMA5CE
09,001,000100,00100
09,003,000100,00100
10,001,000100,00101
10,001,000200,00101
10,003,000100,00101
10,003,000200,00102
30,001,000100,00100
72,001,000100,00101
"""
FILES = {
    "tracts": TRACTS,
    # Tracts of 10001 lie in two ZIP code areas; the one of 30001 in none, and has no housing units.
    "zcta10": """ZCTA5,STATE,COUNTY,TRACT,GEOID,POPPT,HUPT,TRPOP,TRHU
06001,09,001,000100,09001000100,9,50,9,50
06001,09,003,000100,09003000100,9,50,9,50
19901,10,001,000100,10001000100,9,75,9,100
19902,10,001,000100,10001000100,9,25,9,100
19902,10,001,000200,10001000200,9,40,9,40
19902,10,003,000100,10003000100,9,60,9,60
19903,10,003,000200,10003000200,9,80,9,80
59701,30,001,000100,30001000100,9,10,9,10
""",
    "urban10": """UA,UANAME,ZCTA5,POPPT,HUPT
99999,Not in an urban area,06001,9,100
00037,A place,19901,9,75
00037,A place,19902,9,100
99999,Not in an urban area,19902,9,25
99999,Not in an urban area,19903,9,80
""",
    "overlap": "\ufeffOID_TRACT_20|GEOID_TRACT_20|GEOID_TRACT_10|AREALAND_PART\n"
    + "".join(
        f"1|{new}|{old}|{area}\n"
        for new, old, area in (
            ("09001000100", "09001000100", 10),
            ("09003000100", "09003000100", 10),
            ("10001000101", "10001000100", 60),
            ("10001000102", "10001000100", 40),
            ("10001000200", "10001000200", 10),
            ("10003000100", "10003000100", 10),
            ("24003000100", "10003000100", 1),
            ("10003000200", "10003000200", 10),
            ("30001000100", "30001000100", 10),
        )
    ),
    "climate": """State,State FIPS,County FIPS,IECC Climate Zone,IECC Moisture Regime,BA Climate Zone,County Name
CT,9,110,5,A,Cold,Capitol
CT,9,120,5,A,Cold,Greater Bridgeport
DE,10,1,4,A,Mixed-Humid,Kent
DE,10,3,4,A,Mixed-Humid,New Castle
MT,30,1,7,N/A,Very Cold,Beaverhead
""",
    "cbsa15": """CBSA,MDIV,STCOU,NAME,LSAD
20100,,,"Dover, DE",Metropolitan Statistical Area
20100,,10001,"Kent County, DE",County or equivalent
37980,,,"Philadelphia",Metropolitan Statistical Area
37980,48864,,"Wilmington",Metropolitan Division
37980,48864,10003,"New Castle County, DE",County or equivalent
""",
}
PUMAS_2020 = """STATEFP,COUNTYFP,TRACTCE,PUMA5CE
09,001,000100,20100
09,003,000100,20100
10,001,000101,00201
10,001,000102,00202
10,001,000200,00201
10,003,000100,00202
10,003,000200,00202
30,001,000100,00100
"""
BY_COUNTY = """GEO_ID|B25001_E001|B25001_M001
0400000US10|999|1
0500000US09110|300|1
0500000US09120|100|1
0500000US10001|1000|1
0500000US10003|600|1
0500000US30001|70|1
860Z200US10001|5|1
"""


def write(folder: Path, **texts: str) -> dict[str, Path]:
    paths = {}
    for role, text in texts.items():
        paths[role] = folder / f"{role}.txt"
        paths[role].write_text(text, encoding="utf-8")
    if "zcta10" in texts:
        paths["housing"] = paths["zcta10"]
    return paths


def built(folder: Path, pumas: str = "puma10", **texts: str):
    return build_concordance(write(folder, **texts), pumas)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Everything at once: five PUMAs of 2010 with all their areas."""
    folder = tmp_path_factory.mktemp("whole")
    return built(folder, **FILES, tracts20=PUMAS_2020).table.to_pandas()


def test_housing_units_of_every_tract_are_kept_when_it_is_divided(whole):
    units = whole.groupby("tract")["weight"].sum()
    assert units.round(6).to_dict() == {
        "09001000100": 50,
        "09003000100": 50,
        "10001000100": 100,
        "10001000200": 40,
        "10003000100": 60,
        "10003000200": 80,
        "30001000100": 10,
    }


def test_tract_is_divided_by_zip_code_tract_of_the_other_census_and_urban_land(whole):
    tract = whole[whole["tract"] == "10001000100"]
    assert tract.groupby("zcta")["weight"].sum().to_dict() == {"19901": 75, "19902": 25}
    assert tract.groupby("other_tract")["weight"].sum().round(6).to_dict() == {
        "10001000101": 60,
        "10001000102": 40,
    }
    # All of 19901 and four fifths of 19902 are urban.
    assert tract.groupby("ur12", observed=True)["weight"].sum().round(6).to_dict() == {"R": 5, "U": 95}
    assert tract.groupby("other_puma", observed=True)["weight"].sum().round(6).to_dict() == {
        "00201": 60,
        "00202": 40,
    }


def test_zip_code_area_without_urban_file_entry_leaves_urbanity_unknown(whole):
    assert whole.loc[whole["state"] == "30", "ur12"].isna().all()


def test_counties_give_statistical_area_and_climate_zone(whole):
    of = whole.astype(str).drop_duplicates("county").set_index("county")
    columns = [
        "cbsa15",
        "cbsatype15",
        "recs15_iecc_zone",
        "recs20_iecc_zone",
        "recs15_ba_zone",
        "recs20_ba_zone",
    ]
    assert of.loc["10003", columns].tolist() == ["37980", "Metro", "4A", "4A", "Mixed-Humid", "Mixed-Humid"]
    assert of.loc["30001", columns].tolist() == [
        "None",
        "None",
        "7A-7B-7AK-8AK",
        "7",
        "Cold/Very Cold",
        "Very-Cold",
    ]


def test_counties_of_connecticut_take_the_zone_on_which_its_planning_regions_agree(whole):
    assert set(whole.loc[whole["state"] == "09", "recs15_iecc_zone"]) == {"5A"}


def test_planning_regions_that_disagree_leave_the_zone_unknown(tmp_path):
    climate = FILES["climate"].replace("CT,9,120,5", "CT,9,120,4")
    table = built(tmp_path, tracts=TRACTS, climate=climate).table.to_pandas()
    assert table.loc[table["state"] == "09", "recs15_iecc_zone"].isna().all()


def test_slivers_in_another_state_are_no_overlap(whole):
    assert set(whole.loc[whole["tract"] == "10003000100", "other_tract"]) == {"10003000100"}


def test_without_tract_units_those_of_counties_are_spread_over_their_tracts(tmp_path):
    result = built(tmp_path, tracts=TRACTS, county_housing=BY_COUNTY)
    table = result.table.to_pandas().set_index("tract")["weight"]
    assert table["10001000100"] == table["10001000200"] == 500
    # Two counties of Connecticut share the units of its planning regions.
    assert table["09001000100"] == table["09003000100"] == 200
    assert result.notes["weight"].startswith("housing units of the county")


def test_county_without_housing_units_in_the_file_is_named(tmp_path):
    with pytest.raises(GeographyError, match="no housing units of county 30001"):
        built(tmp_path, tracts=TRACTS, county_housing=BY_COUNTY.replace("0500000US30001", "0500000US30003"))


def test_tracts_alone_weigh_one_each_and_the_columns_left_out_are_named(tmp_path):
    result = built(tmp_path, tracts=TRACTS)
    table = result.table.to_pandas()
    assert table.groupby(["state", "puma10"], observed=True)["weight"].sum().tolist() == [2, 3, 1, 1]
    assert list(result.table.column_names) == list(expected_columns(["tracts"], "puma10"))
    left_out = result.notes["columns left out"]
    assert {"zcta", "other_tract", "ur12", "cbsa", "recs15_iecc_zone"} <= set(left_out)
    assert left_out["zcta"] == "there is no file zcta10"


def test_columns_are_the_expected_ones_and_each_has_its_source_and_date(tmp_path):
    paths = write(tmp_path, **FILES)
    names = build_concordance(paths, "puma10").table.column_names
    assert names == list(expected_columns(paths, "puma10"))
    assert all(set(entry) == {"what", "source", "date"} for entry in column_sources().values())


def test_puerto_rico_is_left_out_and_counted(tmp_path):
    result = built(tmp_path, tracts=TRACTS)
    assert result.notes["tracts of territories, dropped"] == 1
    assert "72" not in set(result.table["state"].to_pylist())


def test_tract_without_housing_units_is_dropped_and_counted(tmp_path):
    empty = TRACTS + "30,001,000200,00100\n"
    zcta = FILES["zcta10"] + "59701,30,001,000200,30001000200,0,0,0,0\n"
    result = built(tmp_path, tracts=empty, zcta10=zcta)
    assert result.notes["pieces without housing units, dropped"] == 1
    assert "30001000200" not in result.table["tract"].to_pylist()


def test_puma_without_housing_units_is_an_error(tmp_path):
    zcta = FILES["zcta10"].replace(
        "59701,30,001,000100,30001000100,9,10,9,10", "59701,30,001,000100,30001000100,0,0,0,0"
    )
    with pytest.raises(GeographyError, match="state 30, puma10 00100: has no housing unit"):
        built(tmp_path, tracts=TRACTS, zcta10=zcta)


def test_housing_units_of_another_census_are_refused(tmp_path):
    paths = write(tmp_path, tracts=TRACTS, housing=FILES["zcta10"].replace("000100", "000109"))
    with pytest.raises(GeographyError, match="knows 14% of the tracts"):
        build_concordance(paths, "puma10")


def test_pumas_of_2020_know_the_urban_land_of_both_censuses(tmp_path):
    blocks = """STATE|COUNTY|TRACT|BLOCK|GEOID|AREALAND|2020_HOU|2020_POP|2020_UACE|2020_UA_NAME
10|001|000101|1000|x|1|30|9|00037|A place
10|001|000101|1001|x|1|15|9|00037|A place
"""
    units = "GEO_ID|B25001_E001\n" + "".join(
        f"1400000US{line.replace(',', '')[:11]}|60\n" for line in PUMAS_2020.splitlines()[1:]
    )
    texts = {"zcta10": FILES["zcta10"], "urban10": FILES["urban10"], "overlap": FILES["overlap"]}
    paths = write(tmp_path, tracts=PUMAS_2020, urban20=blocks, **texts)
    paths["housing"] = write(tmp_path, units=units)["units"]
    table = build_concordance(paths, "puma20").table.to_pandas()
    tract = table[table["tract"] == "10001000101"]
    assert tract.groupby("ur20", observed=True)["weight"].sum().round(6).to_dict() == {"R": 15, "U": 45}
    assert tract.groupby("ur12", observed=True)["weight"].sum().round(6).to_dict() == {"R": 3, "U": 57}
    # A tract that the list of urban blocks has not is rural.
    assert set(table.loc[table["tract"] == "10003000100", "ur20"]) == {"R"}


def test_list_of_pumas_stands_in_for_their_tracts(tmp_path):
    text = "state_fips,puma,cbsa_code,share\n10,00101,20100,0.75\n10,00102,37980,1.0\n72,00100,41980,1\n"
    table = built(tmp_path, "puma20", tracts=text).table.to_pandas()
    table = table.astype(str).fillna("-")
    assert table[["puma20", "weight", "cbsa20", "division"]].to_numpy().tolist() == [
        ["00101", "0.75", "20100", "South Atlantic"],
        ["00101", "0.25", "-", "South Atlantic"],
        ["00102", "1.0", "37980", "South Atlantic"],
    ]


def test_areas_of_delaware_and_montana_are_those_of_census_and_recs(whole):
    by_state = whole.astype(str).drop_duplicates("state").set_index("state")
    assert by_state.loc["10", ["region", "division", "recs_division"]].tolist() == [
        "South",
        "South Atlantic",
        "South Atlantic",
    ]
    assert by_state.loc["30", ["region", "division", "recs_division"]].tolist() == [
        "West",
        "Mountain",
        "Mountain North",
    ]


def test_levels_name_all_areas_though_few_occur(tmp_path):
    table = built(tmp_path, tracts=TRACTS).table
    assert levels_of(table["region"]) == ["Northeast", "Midwest", "South", "West"]
    assert len(levels_of(table["division"])) == 9
    assert levels_of(table["recs_division"])[7:] == ["Mountain North", "Mountain South", "Pacific"]


@pytest.mark.parametrize("codebook", ["recs_2015", "recs_2020", "nhts_2017", "nhts_2022"])
def test_levels_of_a_donors_locations_are_those_of_the_concordances(codebook):
    households = load_codebook(codebook).households
    known = {
        **expected_columns(REGISTRY.geography["puma10"].files, "puma10"),
        **expected_columns(REGISTRY.geography["puma20"].files, "puma20"),
    }
    for name in set(households.locations) - {"state"}:
        levels = known[name]
        assert levels is not None, name
        assert set(households.variables[name].labels) <= set(levels), name


def test_acs_years_have_the_pumas_that_their_codebooks_say():
    for key, entry in REGISTRY.recipients.items():
        assert REGISTRY.pumas_of(key) in load_codebook(entry.codebook).households.locations


def test_gzip_and_plain_give_the_same(tmp_path):
    packed = tmp_path / "packed.txt.gz"
    packed.write_bytes(gzip.compress(TRACTS.encode()))
    plain = built(tmp_path, tracts=TRACTS).table
    assert build_concordance({"tracts": packed}, "puma10").table.equals(plain)


def test_a_cut_off_gzip_file_is_refused_by_name(tmp_path):
    packed = tmp_path / "tracts.txt.gz"
    packed.write_bytes(gzip.compress(TRACTS.encode())[:40])
    with pytest.raises(GeographyError, match=r"tracts\.txt\.gz"):
        build_concordance({"tracts": packed}, "puma10")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("PUMA5CE", "PUMA20", "has no column PUMA5CE"),
        ("10,003,000200,00102", "10,003,000200", "cannot be read"),
        ("10,003,000200,00102", "1,003,000200,00102", "column STATEFP holds '1' in line 7"),
        ("10,003,000200,00102", "10,003,000200,102", "column PUMA5CE holds '102' in line 7; expected are 5"),
        ("10,003,000200,00102", "10,003,000200,", "column PUMA5CE holds"),
        ("10,003,000200,00102", "03,003,000200,00102", "column STATEFP holds '03', which is no state"),
        ("10,001,000200", "10,001,000100", "holds tract 10001000100 twice, again in line 5"),
    ],
)
def test_a_damaged_file_is_refused_with_column_and_value(tmp_path, old, new, message):
    with pytest.raises(GeographyError, match=message):
        built(tmp_path, tracts=TRACTS.replace(old, new, 1))


@pytest.mark.parametrize(
    ("role", "old", "new", "message"),
    [
        (
            "zcta10",
            ",75,9,100",
            ",x,9,100",
            "column HUPT or AREALAND_PART holds 'x' in line 4, which is no number",
        ),
        ("climate", "MT,30,1,7,N/A", "MT,30,1,9,N/A", "climate.txt: holds the zone '9'"),
    ],
)
def test_damage_in_another_file_is_named(tmp_path, role, old, new, message):
    with pytest.raises(GeographyError, match=message):
        built(tmp_path, **{**FILES, role: FILES[role].replace(old, new)})


def test_a_file_of_territories_only_is_refused(tmp_path):
    with pytest.raises(GeographyError, match="no tract of a state"):
        built(tmp_path, tracts=TRACTS.splitlines()[0] + "\n72,001,000100,00101\n")


def test_areas_come_in_the_order_of_their_official_codes():
    assert areas("region") == ["Northeast", "Midwest", "South", "West"]
    assert areas("division")[7:] == ["Mountain", "Pacific"]
    # RECS splits the Mountain division.
    assert areas("recs_division")[:7] == areas("division")[:7]
    assert areas("recs_division")[7:] == ["Mountain North", "Mountain South", "Pacific"]


def test_there_are_51_states_with_their_own_codes():
    everyone = states().values()
    assert len({s.fips for s in everyone}) == len({s.usps for s in everyone}) == 51
    assert {s.name for s in everyone if [t.noaa for t in everyone].count(s.noaa) > 1} == {
        "Maryland",
        "District of Columbia",
    }
