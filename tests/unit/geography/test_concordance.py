import gzip

import pytest

from fusion_pipeline.errors import GeographyError
from fusion_pipeline.geography.concordance import areas, build_concordance, states
from fusion_pipeline.storage.tables import levels_of

TRACTS = """STATEFP,COUNTYFP,TRACTCE,PUMA5CE
10,001,000100,00101
10,001,000200,00101
10,003,000100,00101
10,003,000200,00102
30,001,000100,00100
72,001,000100,00101
"""


def write(tmp_path, text):
    path = tmp_path / "tracts.txt"
    path.write_text(text)
    return path


def test_weight_is_the_number_of_tracts_by_puma_and_county(tmp_path):
    table = build_concordance(write(tmp_path, TRACTS)).to_pandas()
    rows = table[["state", "puma10", "county", "weight"]].astype(str).to_numpy().tolist()
    assert rows == [
        ["10", "00101", "10001", "2.0"],
        ["10", "00101", "10003", "1.0"],
        ["10", "00102", "10003", "1.0"],
        ["30", "00100", "30001", "1.0"],
    ]


def test_areas_of_delaware_and_montana_are_those_of_census_and_recs(tmp_path):
    table = build_concordance(write(tmp_path, TRACTS)).to_pandas()
    areas = table[["region", "division", "recs_division"]].astype(str).to_numpy().tolist()
    assert areas[0] == ["South", "South Atlantic", "South Atlantic"]
    assert areas[3] == ["West", "Mountain", "Mountain North"]


def test_levels_name_all_areas_though_few_occur(tmp_path):
    table = build_concordance(write(tmp_path, TRACTS))
    assert levels_of(table["region"]) == ["Northeast", "Midwest", "South", "West"]
    assert len(levels_of(table["division"])) == 9
    assert levels_of(table["recs_division"])[7:] == ["Mountain North", "Mountain South", "Pacific"]


def test_gzip_and_plain_give_the_same(tmp_path):
    packed = tmp_path / "tracts.txt.gz"
    packed.write_bytes(gzip.compress(TRACTS.encode()))
    assert build_concordance(packed).equals(build_concordance(write(tmp_path, TRACTS)))


def test_a_cut_off_gzip_file_is_refused_by_name(tmp_path):
    packed = tmp_path / "tracts.txt.gz"
    packed.write_bytes(gzip.compress(TRACTS.encode())[:40])
    with pytest.raises(GeographyError, match=r"tracts\.txt\.gz"):
        build_concordance(packed)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("PUMA5CE", "PUMA20", "has the columns"),
        ("10,003,000200,00102", "10,003,000200", "cannot be read as CSV"),
        ("10,003,000200,00102", "1,003,000200,00102", "column STATEFP holds '1' in line 5"),
        ("10,003,000200,00102", "10,003,000200,102", "column PUMA5CE holds '102' in line 5; expected are 5"),
        ("10,003,000200,00102", "10,003,000200,", "column PUMA5CE holds"),
        ("10,003,000200,00102", "03,003,000200,00102", "column STATEFP holds '03', which is no state"),
        ("10,001,000200", "10,001,000100", "holds tract 10001000100 twice, again in line 3"),
    ],
)
def test_a_damaged_file_is_refused_with_column_and_value(tmp_path, old, new, message):
    with pytest.raises(GeographyError, match=message):
        build_concordance(write(tmp_path, TRACTS.replace(old, new, 1)))


def test_a_file_of_territories_only_is_refused(tmp_path):
    with pytest.raises(GeographyError, match="no tract of a state"):
        build_concordance(write(tmp_path, TRACTS.splitlines()[0] + "\n72,001,000100,00101\n"))


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
