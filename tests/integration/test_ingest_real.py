"""Ingestion of real public-use files, against published totals and against pandas reading the same files."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from fusion_pipeline.raw.resolving import resolve, resolve_all
from fusion_pipeline.registry import load_registry
from fusion_pipeline.storage.tables import levels_of
from fusion_pipeline.surveys.codebook import load_codebook
from fusion_pipeline.surveys.ingest import RawPart, ingest, ingest_with_report, match_records

pytestmark = pytest.mark.realdata

SHARED = Path(os.environ.get("FUSION_SHARED", Path(__file__).parents[3] / "shared"))
DATA = SHARED / "data"
RECS = load_registry().surveys["RECS_2015"].files["households"].alternatives[0]
NOT_IN_RECS = RECS.lacks(load_codebook("recs_2015").raw_columns("households"))
HOUSEHOLDS_2013 = DATA / "acs_2013_de" / "ss13hde.csv.gz"
PERSONS = load_codebook("acs_2013").persons
PERSONS_2013 = DATA / "acs_2013_de" / "ss13pde.csv.gz"

# Each harmony set, the labels that no codebook has, and the levels that it has no group for.
CURRENT = (
    "RECS_2015__ACS_2015.yaml",
    set(),
    # Only the reference person is harmonized, and is 15 or older.
    {("schl", "Less than 3 years old")},
)
PAPER = (
    "paper_2023-04/RECS_2015__ACS_2015.yaml",
    # The dictionary of that time had another label for the skip of FUELHEAT.
    {("fuelheat", "Do not use space heating")},
    {("schl", "Less than 3 years old"), ("fuelheat", "No space heating")},
)


def raw(path: Path) -> pd.DataFrame:
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    return frame.rename(columns=str.upper)


@pytest.fixture(scope="module")
def recs():
    return ingest_with_report(
        [RawPart(DATA / RECS.path, NOT_IN_RECS)], load_codebook("recs_2015"), "households"
    )


@pytest.fixture(scope="module")
def acs():
    persons = {"persons": [RawPart(PERSONS_2013)]}
    return ingest_with_report([RawPart(HOUSEHOLDS_2013)], load_codebook("acs_2013"), "households", persons)


@pytest.fixture(scope="module")
def persons():
    return ingest([RawPart(PERSONS_2013)], load_codebook("acs_2013"), "persons")


def test_recs_has_the_published_households_and_represents_the_published_total(recs):
    table, report = recs
    assert (report.rows_read, report.rows_kept, dict(report.dropped)) == (5686, 5686, {})
    assert round(float(np.sum(table["weight"].to_numpy()))) == 118_208_250


def test_recs_replicate_weights_are_those_of_the_file(recs):
    table, _ = recs
    expected = raw(DATA / RECS.path)
    assert sum(name.startswith("rep_") for name in table.column_names) == 96
    for number in (1, 50, 96):
        assert np.allclose(
            table[f"rep_{number}"].to_numpy(), expected[f"BRRWT{number}"].astype(float), rtol=1e-6
        )


def test_recs_amounts_and_zero_shares_are_those_of_the_file(recs):
    table, _ = recs
    expected = raw(DATA / RECS.path)
    for name in ("btuel", "btung", "btulp", "btufo", "dollarel", "dollarng", "dollarlp", "dollarfo"):
        values = table[name].to_numpy()
        assert np.array_equal(values, expected[name.upper()].astype(float))
        assert (values == 0).mean() == (expected[name.upper()].astype(float) == 0).mean()
    assert (table["btuel"].to_numpy() > 0).all()


def test_recs_labels_count_as_the_codes_do(recs):
    table, _ = recs
    expected = raw(DATA / RECS.path)
    cooltype = table["cooltype"].to_pandas().value_counts()
    codes = expected["COOLTYPE"].value_counts()
    assert cooltype["No air conditioning"] == codes["-2"]
    assert cooltype["Central air conditioning system"] == codes["1"]
    assert list(table["recs_division"].to_pandas()) == [
        levels_of(table["recs_division"])[int(code) - 1] for code in expected["DIVISION"]
    ]


def test_recs_has_no_missing_answer_but_race_where_the_file_is_blank(recs):
    _, report = recs
    blank = int((raw(DATA / RECS.path)["HOUSEHOLDER_RACE"] == "").sum())
    assert dict(report.missing) == {"householder_race": blank}


def test_recs_variables_without_a_column_are_left_out_by_name(recs):
    table, report = recs
    assert set(", ".join(report.left_out.values()).split(", ")) <= set(NOT_IN_RECS)
    assert report.left_out["insec"] == "SCALEG, SCALEB"
    assert {"insec", "noheat", "noac"} <= set(report.left_out)
    assert not set(report.left_out) & set(table.column_names)


@pytest.mark.parametrize(
    ("variable", "unused"),
    [
        ("kownrent", {"Occupied without payment of rent"}),  # not told from owners in the reconstructed file
        ("householder_race", set()),
        ("education", set()),
        ("moneypy", set()),
        ("fuelheat", set()),
        ("recs_division", set()),
        ("recs15_iecc_zone", set()),
        ("typehuq", set()),
        ("scalee", set()),
        ("cooltype", set()),
    ],
)
def test_every_level_of_recs_occurs(recs, variable, unused):
    column = recs[0][variable]
    assert set(levels_of(column)) - set(column.to_pylist()) == unused


def test_acs_keeps_the_occupied_housing_units_and_counts_the_others(acs):
    table, report = acs
    expected = raw(HOUSEHOLDS_2013)
    occupied = expected[(expected["WGTP"].astype(int) > 0) & (expected["NP"].astype(int) > 0)]
    assert report.rows_read == 4449
    assert report.rows_kept == len(occupied)
    assert sum(report.dropped.values()) == 4449 - len(occupied)
    assert table["hid"].to_pylist() == occupied["SERIALNO"].astype(int).to_list()
    assert table["weight"].to_numpy().sum() == occupied["WGTP"].astype(int).sum()
    # Owners report no rent and renters no value; both are imputed afterwards.
    assert set(report.missing) == {"rentval", "propval"}
    assert not report.left_out


def test_acs_amounts_are_in_dollars_of_the_survey_year_and_codes_are_not_amounts(acs):
    table, _ = acs
    expected = raw(HOUSEHOLDS_2013)
    expected = expected[(expected["WGTP"].astype(int) > 0) & (expected["NP"].astype(int) > 0)]
    income = expected["HINCP"].astype(float) * expected["ADJINC"].astype(float) / 1e6
    assert np.array_equal(table["hincp"].to_numpy(), np.rint(income))
    paid = expected["ELEP"].astype(int) >= 3
    assert ((table["elep"].to_numpy() > 0) == paid.to_numpy()).all()
    assert ((table["elefp"].to_pandas() == "Valid monthly electricity cost in ELEP") == paid.to_numpy()).all()
    gas = expected["GASP"].astype(int)
    assert (table["gasp"].to_numpy() == 0).sum() == (gas <= 3).sum()
    assert (table["gasfp"].to_pandas() == "Included in electricity payment").sum() == (gas == 2).sum()
    assert (table["valp"].to_numpy() == 0).sum() == (expected["VALP"] == "").sum()


def test_acs_places_are_those_of_delaware(acs):
    table, _ = acs
    assert set(table["state"].to_pylist()) == {"10"}
    assert levels_of(table["puma10"]) == ["00101", "00102", "00103", "00104", "00200", "00300"]


def test_two_states_make_one_table(acs):
    codebook = load_codebook("acs_2013")
    both = [RawPart(HOUSEHOLDS_2013), RawPart(DATA / "acs_2013_sd" / "ss13hsd.csv.gz")]
    table, report = ingest_with_report(both, codebook, "households")
    assert report.rows_read == 4449 + 4211
    assert table.slice(0, acs[0].num_rows)["hid"].equals(acs[0]["hid"])
    assert set(table["state"].to_pylist()) == {"10", "46"}


def test_acs_persons_weigh_as_much_as_the_population(persons):
    assert persons.num_rows == 8767
    assert persons["weight"].to_numpy().sum() == 925_749


def test_every_household_has_its_persons_and_one_reference_person_numbered_1(acs, persons):
    households = acs[0]
    members = (
        match_records(persons, households, PERSONS, "persons")[0].select(["hid", "pid", "relp"]).to_pandas()
    )
    size = members.groupby("hid").size()
    assert size.sort_index().to_list() == (
        households.select(["hid", "np"]).to_pandas().set_index("hid")["np"].sort_index().to_list()
    )
    first = members[members["pid"] == 1]
    assert sorted(first["hid"]) == sorted(households["hid"].to_pylist())
    assert set(first["relp"]) == {"Reference person"}
    assert (members["relp"] == "Reference person").sum() == households.num_rows


def test_persons_in_group_quarters_are_dropped(acs, persons):
    members = match_records(persons, acs[0], PERSONS, "persons")[0]
    quarters = raw(PERSONS_2013)["RELP"].astype(int) >= 16
    assert persons.num_rows - members.num_rows == quarters.sum()


@pytest.fixture(scope="module")
def five_years(tmp_path_factory):
    entry = load_registry().recipients["2018_5yr"]
    found = resolve(
        "households",
        entry.files["households"],
        folder=entry.folder,
        mirror=DATA,
        cache=tmp_path_factory.mktemp("cache"),
        offline=True,
    )
    with zipfile.ZipFile(found.path) as archive, archive.open("psam_h10.csv") as member:
        expected = pd.read_csv(member, dtype=str, keep_default_na=False)
    occupied = expected[(expected["WGTP"].astype(int) > 0) & (expected["NP"].astype(int) > 0)]
    return ingest_with_report(
        [RawPart(found.path)], load_codebook(entry.codebook), "households"
    ), occupied.reset_index(drop=True)


def test_five_year_file_is_read_whole_through_its_registry_entry(five_years):
    (table, report), occupied = five_years
    assert (report.rows_read, table.num_rows) == (23_037, len(occupied))
    assert table["weight"].to_numpy().sum() == occupied["WGTP"].astype(int).sum()
    assert set(report.missing) == {"rentval", "propval"}
    # Whether a householder is 65, persons tell.
    of_persons = {"householder_age", "pov_thresh", "pov_ratio"}
    assert report.left_out == dict.fromkeys(of_persons, "file persons")
    assert set(table["state"].to_pylist()) == {"10"}
    assert set(table["year"].to_pylist()) == {2018}


@pytest.mark.parametrize(
    ("year", "records", "left_out"),
    [
        ("2014", 3_611, {"TAXP", "HANDHELD", "DSL", "FIBEROP", "MODEM"}),
        ("2015", 3_650, {"TAXP", "HANDHELD", "DSL", "FIBEROP", "MODEM"}),
        ("2016", 3_653, {"TAXP"}),
        ("2017", 3_709, {"TAXP", "HHLANP"}),
        ("2018", 3_786, {"HHLANP"}),
    ],
)
def test_every_year_of_the_five_is_read_as_its_own_file_would_be(
    five_years, tmp_path, year, records, left_out
):
    entry = load_registry().recipients[year]
    [found] = resolve_all(
        "households",
        entry.files["households"],
        folder=entry.folder,
        mirror=DATA,
        cache=tmp_path,
        offline=True,
    )
    part = RawPart(found.path, found.absent, found.member, found.excerpt)
    table, report = ingest_with_report([part], load_codebook(entry.codebook), "households")
    assert (report.rows_read, report.rows_kept) == (23_037, records)
    assert report.rows_read == report.rows_kept + sum(report.dropped.values())
    # Poverty thresholds want the householder's age, which only the person file tells.
    assert set(report.left_out.values()) == left_out | {"file persons"}
    # One year's weights represent all households, as those of five years do together.
    assert table["weight"].to_numpy().sum() == pytest.approx(
        five_years[1]["WGTP"].astype(int).sum(), rel=0.05
    )
    # Dollars of the year: incomes of the five-year file are in dollars of 2018.
    income, later = table.to_pandas(), five_years[0][0].to_pandas().set_index("hid")["hincp"]
    both = income.set_index("hid")["hincp"].to_frame("own").join(later)
    ratio = both[both["hincp"] > 10_000].eval("own / hincp")
    # Prices of 2018 relative to those of the year, as ADJHSG of the five-year file has them.
    rise = {"2014": 1.0617, "2015": 1.0599, "2016": 1.0464, "2017": 1.0244, "2018": 1.0}[year]
    assert ratio.median() == pytest.approx(1 / rise, rel=1e-3)


def test_five_year_keys_with_and_without_letters_stay_unique(five_years):
    (table, _), occupied = five_years
    keys = occupied["SERIALNO"].str.replace("HU", "1").astype(np.int64)
    assert table["hid"].to_pylist() == keys.to_list()
    assert keys.is_unique
    counts = occupied["SERIALNO"].str[:4].value_counts().to_dict()
    assert counts == {"2014": 3611, "2015": 3650, "2016": 3653, "2017": 3709, "2018": 3786}


def test_five_year_amounts_are_in_dollars_of_the_end_year_and_blank_is_nothing_paid(five_years):
    (table, _), occupied = five_years
    factor = occupied["ADJHSG"].astype(float) / 1e6
    assert factor.nunique() == 5
    for name in ("ELEP", "GASP", "FULP", "WATP"):
        paid = pd.to_numeric(occupied[name]).fillna(0) * factor
        assert np.array_equal(table[name.lower()].to_numpy(), np.rint(paid)), name
    for flag, code in (("gasfp", "4"), ("elefp", "3"), ("fulfp", "3"), ("watfp", "3")):
        valid = table[flag].to_pandas().astype(str).str.startswith("Valid")
        assert (valid == (occupied[flag.upper()] == code)).all()
        assert ((table[f"{flag[:3]}p"].to_numpy() > 0) == valid).all()


@pytest.mark.parametrize(("harmonies", "without_level", "without_group"), [CURRENT, PAPER])
def test_codebooks_and_harmonies_have_the_same_labels(harmonies, without_level, without_group):
    entries = yaml.safe_load((SHARED / "harmonies" / harmonies).read_text())["harmonies"]
    acs = load_codebook("acs_2015")
    donor = load_codebook("recs_2015").households.variables
    recipient = {"household": acs.households.variables, "person": acs.persons.variables}
    no_level, no_group = set(), set()
    for entry in entries:
        for side, variables in (("donor", donor), ("recipient", recipient[entry["recipient"]["level"]])):
            name = entry[side]["var"]
            assert variables[name].categorical == ("map" in entry[side]), name
            assert (variables[name].type == "ordered") == (entry[side]["type"] == "ord"), name
            mapped = {label for group in entry[side].get("map", {}).values() for label in group}
            levels = set(variables[name].labels)
            no_level |= {(name, label) for label in mapped - levels}
            no_group |= {(name, label) for label in levels - mapped}
    assert no_level == without_level
    assert no_group == without_group


def test_2013_lacks_only_the_years_of_construction_after_it():
    entries = yaml.safe_load((SHARED / "harmonies" / "RECS_2015__ACS_2015.yaml").read_text())["harmonies"]
    built = next(e for e in entries if e["name"] == "yearmaderange__ybl")
    mapped = {label for group in built["recipient"]["map"].values() for label in group}
    levels = set(load_codebook("acs_2013").households.variables["ybl"].labels)
    assert mapped - levels == {"2014", "2015"}
    assert levels <= mapped


@pytest.fixture(scope="module")
def seventeen_states(tmp_path_factory):
    entry, cache = load_registry().recipients["2024"], tmp_path_factory.mktemp("cache")
    codebook = load_codebook(entry.codebook)
    made = {}
    for role, file in entry.files.items():
        columns = codebook.raw_columns(role)
        found = resolve_all(
            role, file, folder=entry.folder, mirror=DATA, cache=cache, offline=True, columns=columns
        )
        assert len(found) == 17
        made[role] = ingest_with_report([RawPart(f.path, f.absent) for f in found], codebook, role)
    return made


def test_seventeen_states_of_2024_are_read_whole(seventeen_states):
    (households, report), (persons, about) = seventeen_states["households"], seventeen_states["persons"]
    assert (report.rows_read, report.rows_kept) == (401_240, 332_252)
    assert report.rows_read == report.rows_kept + sum(report.dropped.values())
    assert (about.rows_read, about.rows_kept, dict(about.missing)) == (838_562, 838_562, {})
    assert len(households.select(["state", "puma20"]).group_by(["state", "puma20"]).aggregate([])) == 623
    entry = load_codebook(load_registry().recipients["2024"].codebook).respondent("persons")
    members, _ = match_records(persons, households, entry, "persons")
    assert members.num_rows == households["np"].to_numpy().sum()
    assert not {"hincp", "valp", "rntp"} & set(report.left_out)
    assert {"rep_1", "veh", "elep"} <= set(report.left_out)


def test_income_of_2024_is_in_dollars_of_the_year_by_the_published_factor(seventeen_states):
    raw_income = pd.concat(
        [raw(path) for path in sorted((DATA / "acs_2024").glob("psam_h*.csv.gz"))], ignore_index=True
    )
    raw_income = raw_income[(raw_income["WGTP"].astype(int) > 0) & (raw_income["NP"].astype(int) > 0)]
    expected = np.rint(raw_income["HINCP"].astype(float) * 1.015250)
    assert np.array_equal(seventeen_states["households"][0]["hincp"].to_numpy(), expected)


# What the published harmonies name and the codebooks have otherwise: slips of those files, levels that they make in
# their expressions, countries that occur in one kind of file only.
NAMED_OTHERWISE = {
    "access": {"Yes, without paying a cell phone company or cell phone company or Internet service provider"},
    "cow": {
        "Employee of a private for-profit company or business, or of an individual, for wages,salary, or commissions",
        "Less than 16 years old / Not in labor force who last worked more than 5 years ago or never worked",
    },
    "jwtr": {
        "Not a worker--not in the labor force,including persons under 16 years; unemployed; employed, with a job but "
        "not at work; Armed Forces, with a job but not at work"
    },
    "mil": {"Never served in military"},
    "occp": {
        "7700",
        "Less than 16 years old / Not in labor force who last worked more than 5 years ago or never worked",
    },
    "migsp": {"China, Hong Kong, Macau And Paracel Islands"},
    "vps": {"Never served in the military"},
    "naicsp": {
        "Less than 16 years old / Not in labor force who last worked more than 5 years ago or never worked",
    },
    "socp": {
        "Less than 16 years old / Not in labor force who last worked more than 5 years ago or never worked",
    },
    "sch": {"NIU: Less than 16 or older than 55"},
    "schl": {"NIU: Less than 15"},
    "yoep": {"Born in the U.S."},
}
# Of the tax and benefit harmonies of ASEC, whose survey is not registered; and a variable of CEI's own side.
NOT_READ = {"rac2p", "rac3p", "naicsp", "migsp", "socp", "vps", "renteq"}


@pytest.mark.parametrize("year", ["2015", "2016", "2017", "2018", "2019", "2021", "2022", "2023"])
def test_every_recipient_variable_of_every_harmony_exists_with_the_levels_that_it_maps(year):
    codebook = load_codebook(f"acs_{year}")
    tables = {"household": codebook.households, "person": codebook.persons}
    files = sorted((SHARED / "harmonies").rglob(f"*__ACS_{year}.yaml"))
    assert files
    lost, strange = set(), set()
    for path in files:
        for entry in yaml.load(path.read_text(), Loader=yaml.CSafeLoader)["harmonies"]:
            side = entry["recipient"]
            known = tables[side["level"] or "household"].everything.get(side["var"])
            if known is None:
                lost.add(side["var"])
                continue
            mapped = {str(label) for group in side.get("map", {}).values() for label in group}
            strange |= {(side["var"], label) for label in mapped - set(known.labels)}
    assert lost <= NOT_READ
    assert {(n, label) for n, label in strange if label not in NAMED_OTHERWISE.get(n, ())} == set()
