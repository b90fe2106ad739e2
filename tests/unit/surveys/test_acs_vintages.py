"""The ACS of every registered year: against its official dictionary, and against the harmonies of 2015."""

from __future__ import annotations

import csv
import gzip
import os
from pathlib import Path

import pytest

from fusion_pipeline.errors import RawFileError
from fusion_pipeline.harmonize import load_harmonies
from fusion_pipeline.raw.resolving import resolve
from fusion_pipeline.registry import load_registry
from fusion_pipeline.surveys.codebook import Codebook, load_codebook
from fusion_pipeline.surveys.variables import Span, Variable, canonical

SHARED = Path(os.environ.get("FUSION_SHARED", Path(__file__).parents[3] / "../shared"))
REGISTRY = load_registry()
RECIPIENTS = REGISTRY.recipients
SHIFTED = [key for key in RECIPIENTS if key >= "2016"]

# Labels that the harmonies with ACS 2015 name and that a year does not have.
OLD_ACCESS = {
    ("access", "Yes, with subscription to an Internet service"),
    ("access", "Yes, without a subscription to an Internet service"),
    ("access", "No Internet access at this house, apartment, or mobile home"),
}
LACKING = {"2013": {("ybl", "2014"), ("ybl", "2015")}, "2014": {("ybl", "2015")}} | dict.fromkeys(
    SHIFTED, OLD_ACCESS
)
LACKING |= {"2013_5yr": LACKING["2013"], "2014_5yr": LACKING["2014"]}
# Variables of the harmonies of 2015 that a vintage has not, or not under that name.
LOST = {key: {"access", "laptop"} for key in RECIPIENTS if key.endswith("_5yr") and key < "2017"}
LOST |= {key: {"access", "ybl"} for key in ("2021", "2022", "2023", "2024")}

# Codes of the official dictionaries that cannot occur among occupied households of the states.
OUTSIDE = {
    "state": {"72"},  # Puerto Rico
    "plm": {"9"},  # Puerto Rico
    "region": {"9"},  # Puerto Rico
    "division": {"0"},  # Puerto Rico
    "rwat": {"9"},  # Puerto Rico
    "np": {"0"},  # vacant
    "rmsp": {"0"},  # the dictionaries before 2019 give 00 as the lower end; every home has a room
}
# In the dictionary of 2014-2018 the line of code 1 has run into that of the blank.
MISPRINTED = {
    ("2018_5yr", "elefp"): {"1"},
    ("2017", "naicsp"): {"22S"},  # printed 22s
}
# Labels that are not those of the published processed survey, which carries slips of the dictionaries: headings and
# blanks run into labels, commas and periods lost, a dash for two; two that keep one wording for all years here; and
# divisions, which are named as everywhere else, without their region.
REWORDED = {
    "2015": {"ags", "division", "esp", "fes", "nop", "sfr", "vps"},
    "2017": {"division", "esp", "vps"},
    "2019": {"division", "esp", "powsp"},
}
DICTIONARIES = {
    "2017": "pums-dict_acs1-2017.csv.gz",
    "2019": "pums-dict_acs1-2019.csv.gz",
    "2023": "pums-dict_acs1-2023.csv.gz",
    "2018_5yr": "pums-dict_acs5-2018.csv.gz",
}


def codebook_of(key: str) -> Codebook:
    return load_codebook(RECIPIENTS[key].codebook)


def variables(codebook: Codebook) -> dict[str, Variable]:
    assert codebook.persons
    return {**codebook.households.variables, **codebook.persons.variables}


def dictionary(name: str) -> dict[str, set[tuple[str, str]]]:
    """Read each raw column's codes as (low, high), blanks aside."""
    found: dict[str, set[tuple[str, str]]] = {}
    with gzip.open(SHARED / "data" / "dict" / name, "rt", encoding="latin-1") as file:
        for row in csv.reader(file):
            if row[0] == "NAME":
                found.setdefault(row[1], set())
            elif row[0] == "VAL" and row[4].strip("b"):
                found[row[1]].add((canonical(row[4]), canonical(row[5])))
    return found


def test_every_one_year_and_five_year_file_of_2013_to_2019_and_those_since_2021_are_registered():
    both = {f"{year}{period}" for year in range(2013, 2020) for period in ("", "_5yr")}
    assert set(RECIPIENTS) == both | {"2021", "2022", "2023", "2024"}


@pytest.mark.parametrize("key", RECIPIENTS)
def test_registered_year_has_its_own_codebook_and_both_official_files(key):
    entry, codebook = RECIPIENTS[key], codebook_of(key)
    assert (codebook.vintage, codebook.year) == (entry.vintage, entry.year) == (key, int(key[:4]))
    period = "5-Year" if key.endswith("_5yr") else "1-Year"
    folder = f"https://www2.census.gov/programs-surveys/acs/data/pums/{entry.year}/{period}"
    assert {role: file.url for role, file in entry.files.items()} == {
        "households": f"{folder}/csv_hus.zip",
        "persons": f"{folder}/csv_pus.zip",
    }


@pytest.mark.parametrize("key", RECIPIENTS)
def test_years_of_construction_end_with_the_year_of_the_survey(key):
    built = codebook_of(key).households.variables
    if key >= "2021":
        assert "ybl" not in built
        assert list(built["yrblt"].levels)[9:] == [str(year) for year in range(2020, int(key) + 1)]
        return
    levels = built["ybl"].levels
    assert [int(code) for code in levels] == list(range(1, len(levels) + 1))
    assert list(levels.values())[8:] == [str(year) for year in range(2005, int(key[:4]) + 1)]


@pytest.mark.parametrize("key", RECIPIENTS)
def test_harmonized_levels_of_2015_are_those_of_the_year_but_for_the_declared_ones(key):
    codebook = codebook_of(key)
    assert codebook.persons
    tables = {"household": codebook.households.variables, "person": codebook.persons.variables}
    lacking = set()
    for entry in load_harmonies("RECS", "2015", "2015").entries.values():
        side = entry.recipient
        if side.var not in tables[side.level]:
            lacking.add((side.var, None))
            continue
        labels = set(tables[side.level][side.var].labels)
        mapped = {label for group in (side.map or {}).values() for label in group}
        lacking |= {(side.var, label) for label in mapped - labels}
    lost = {name for name, label in lacking if label is None}
    lacking = {(name, label) for name, label in lacking if label is not None}
    assert lost == LOST.get(key, set())
    assert lacking == {(name, label) for name, label in LACKING.get(key, set()) if name not in lost}


def test_relationship_couples_commuting_and_weeks_have_other_names_in_2019():
    before, after = variables(codebook_of("2018")), variables(codebook_of("2019"))
    assert set(before) - set(after) == {"relp", "jwtr", "wkw", "ssmc"}
    assert set(after) - set(before) == {"relshipp", "jwtrns", "wkwn", "cplt", "hht2", "himrks"}


@pytest.mark.parametrize("key", RECIPIENTS)
def test_pumas_are_those_of_the_year_and_old_ones_are_named_apart(key):
    entry = codebook_of(key).households
    places = [name for name, variable in entry.variables.items() if variable.type == "place"]
    expected = ["puma20"] if key >= "2022" else ["puma10"]
    assert places == expected + (["puma00"] if key in ("2013_5yr", "2014_5yr", "2015_5yr") else [])
    assert entry.locations == ("state", *expected)


@pytest.mark.parametrize("key", RECIPIENTS)
def test_one_year_files_have_one_factor_and_five_year_files_none(key):
    codebook = codebook_of(key)
    for entry in (codebook.households, codebook.persons):
        published = {adjustment.published for adjustment in entry.adjustments.values()}
        assert (published == {None}) == key.endswith("_5yr")
        assert (None in published) == key.endswith("_5yr")


def test_five_year_file_has_the_variables_of_its_end_year_but_for_the_detailed_language():
    five, one = variables(codebook_of("2018_5yr")), variables(codebook_of("2018"))
    assert list(five) == [name for name in one if name != "hhlanp"]
    assert {name for name in five if five[name] != one[name]} == {"tel"}


@pytest.mark.parametrize("key", RECIPIENTS)
def test_telephone_is_missing_only_in_years_when_it_was_suppressed(key):
    suppressed = codebook_of(key).households.variables["tel"].missing_codes
    # 2012 (hence every period until 2016), 2015, 2016 and 2019.
    assert suppressed == (("8",) if key.endswith("_5yr") or key in ("2015", "2016", "2019") else None)


@pytest.mark.parametrize("key", ["2018", "2018_5yr"])
def test_year_that_is_not_simulated_is_refused_by_name(key, tmp_path):
    entry = RECIPIENTS[key]
    with pytest.raises(RawFileError, match="is not among the simulated files"):
        resolve(
            "households",
            entry.files["households"],
            folder=entry.folder,
            mirror=tmp_path / "raw",
            cache=tmp_path,
            simulated=True,
        )


@pytest.mark.realdata
@pytest.mark.parametrize("key", DICTIONARIES)
def test_codes_are_those_of_the_official_dictionary(key):
    official = dictionary(DICTIONARIES[key])
    different = {}
    for name, variable in variables(codebook_of(key)).items():
        if variable.type == "place":
            continue
        given = {low for low, high in official[variable.raw] if low == high} - OUTSIDE.get(name, set())
        given |= MISPRINTED.get((key, name), set())
        if variable.categorical:
            listed = {canonical(code) for code in (*variable.levels, *(variable.missing_codes or ()))}
            ours = {code for code in listed if Span.parse(code) is None}
            if ours != given:
                different[name] = ours ^ given
        else:
            special = {canonical(code) for code in (*variable.values, *(variable.missing_codes or ()))}
            assert variable.range, name
            low, high = variable.range.low, variable.range.high
            ends = (
                {end for pair in official[variable.raw] for end in pair} - special - OUTSIDE.get(name, set())
            )
            outside = {end for end in ends if not low <= float(end) <= high} | (special - given)
            if outside:
                different[name] = outside
    assert different == {}


@pytest.mark.realdata
@pytest.mark.parametrize("key", ["2015", "2017", "2019"])
@pytest.mark.parametrize(("role", "letter"), [("households", "H"), ("persons", "P")])
def test_labels_are_those_of_the_published_processed_survey(key, role, letter):
    with (SHARED / "tables" / f"dict_ACS_{key}_{letter}.csv").open(encoding="utf-8") as file:
        published = {row["variable"]: row["levels_or_range"] for row in csv.DictReader(file)}
    reworded = set()
    for name, variable in codebook_of(key).respondent(role).variables.items():
        if variable.labels and not published[name].endswith("levels)"):
            reworded |= {name} if published[name].split(" | ") != list(variable.labels) else set()
    assert reworded == {name for name in REWORDED[key] if name in codebook_of(key).respondent(role).variables}


# Variables of the published processed survey that the codebooks deliberately do not have, and why.
KEYS = {"hid", "weight", "year"}  # every table has them without a variable of the codebook
OF_THE_HOUSEHOLD = {"division", "puma10", "region", "state"}  # persons are joined to it by `hid`
AREAS_OF_OTHERS = {
    "migpuma",
    "powpuma",
}  # codes of areas for movers and commuters only, unique within `migsp`, `powsp`
MODELLED = {
    "bedroom_req",
    "hincp_imp",
    "propins",
    "proptax",
}  # made by the publisher's own models, not in the file
OF_THE_REFERENCE_PERSON = {  # race4 to race7 of the persons, of whom a harmony takes the reference person
    *("ref_white", "ref_black", "ref_asian", "ref_latino"),
    *("ref_race4", "ref_race5", "ref_race6", "ref_race7"),
}
ABSENT = {
    "households": KEYS | MODELLED | OF_THE_REFERENCE_PERSON,
    "persons": KEYS | OF_THE_HOUSEHOLD | AREAS_OF_OTHERS,
}


@pytest.mark.realdata
@pytest.mark.parametrize("key", ["2015", "2017", "2019"])
@pytest.mark.parametrize(("role", "letter"), [("households", "H"), ("persons", "P")])
def test_every_variable_of_the_published_processed_survey_is_there_but_for_the_declared_ones(
    key, role, letter
):
    with (SHARED / "tables" / f"dict_ACS_{key}_{letter}.csv").open(encoding="utf-8") as file:
        published = {row["variable"] for row in csv.DictReader(file)}
    absent = published - set(codebook_of(key).respondent(role).columns)
    assert absent == ABSENT[role] & published
