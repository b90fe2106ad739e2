from __future__ import annotations

import pytest

from fusion_pipeline.errors import RegistryError
from fusion_pipeline.geography.concordance import areas
from fusion_pipeline.registry import load_registry
from fusion_pipeline.surveys.codebook import FOLDER, load_codebook
from fusion_pipeline.surveys.variables import Span, canonical, is_whole

SHIPPED = sorted(path.stem for path in FOLDER.glob("*.yaml"))
SMALL = """
survey: S
vintage: "1"
year: 2001
source: made up
missing_codes: ["-9"]
households:
  id: {{hid: ID}}
  weight: W
  variables:
    fuel: {{raw: F, description: Fuel, type: factor, levels: {{1: Gas, 2: Oil}}}}
    {entry}
"""


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_codebook_is_valid_and_names_a_publisher(name):
    codebook = load_codebook(name)
    pooled = codebook.panel is not None and codebook.vintage.endswith(f"-{codebook.year}")
    assert pooled or codebook.vintage in (str(codebook.year), f"{codebook.year}_5yr")
    assert codebook.source
    # NextGen NHTS publishes none.
    assert codebook.households.replicates or name == "nhts_2022"


def test_recs_variance_factor_is_that_of_fay_replication_with_half_perturbation():
    replicates = load_codebook("recs_2015").households.replicates
    assert replicates.scale == pytest.approx(1 / (96 * (1 - 0.5) ** 2))
    assert (replicates.columns[0], replicates.columns[-1]) == ("BRRWT1", "BRRWT96")


@pytest.mark.parametrize(("kind", "weight"), [("households", "WGTP"), ("persons", "PWGTP")])
def test_acs_variance_factor_is_that_of_successive_differences(kind, weight):
    entry = load_codebook("acs_2015").respondent(kind)
    assert (entry.replicates.scale, entry.replicates.count) == (4 / 80, 80)
    assert entry.replicates.columns[-1] == f"{weight}80"


def test_2013_differs_from_2015_only_where_its_file_says_so():
    old, new = load_codebook("acs_2013"), load_codebook("acs_2015")
    assert old.persons and new.persons
    years = {"ybl": (old.households, new.households)}
    years |= dict.fromkeys(("marhyp", "yoep", "citwp"), (old.persons, new.persons))
    for name, (before, after) in years.items():
        assert set(after.variables[name].labels) - set(before.variables[name].labels) == {"2014", "2015"}
        assert before.variables[name].description == after.variables[name].description
    others = set(new.households.variables) - {"ybl", "tel"}
    assert all(old.households.variables[n] == new.households.variables[n] for n in others)
    others = set(new.persons.variables) - set(years)
    assert {n for n in others if old.persons.variables[n] != new.persons.variables[n]} == set()


def test_scalars_are_text_so_that_no_and_01_mean_what_they_look_like(toy):
    fuel = toy.households.variables["fuel"]
    assert list(fuel.levels) == ["01", "02", "3..9"]
    assert toy.households.derived["insecure"].labels == ("Yes", "No")


def test_the_label_of_a_valid_skip_is_the_first_level(toy):
    assert toy.households.variables["fuel"].labels == ("No heating", "Gas", "Wood", "Other")


def test_codes_are_compared_as_numbers_where_they_are_whole_numbers():
    assert {canonical(code) for code in ("1", "01", " 1 ", "1.0", "+1")} == {"1"}
    assert canonical("1A") == "1A"
    assert canonical("1.5") == "1.5"
    assert canonical("-0") == "0"
    assert canonical("-01.") == "-1"


def test_long_codes_are_told_apart_to_the_last_digit_and_only_plain_digits_are_numbers():
    long = "9" * 400
    assert canonical(long) != canonical(long[:-1] + "8")
    assert canonical("²") == "²" and not is_whole("²") and not is_whole("٣")


def test_a_range_is_written_as_it_is_read():
    assert [str(Span.parse(text)) for text in ("3..", "..5", "1..19", "-9..9999999")] == [
        "3..",
        "..5",
        "1..19",
        "-9..9999999",
    ]
    assert Span.parse("7") is None


@pytest.mark.parametrize(
    ("entry", "complaint"),
    [
        ("age: {raw: A, description: Age, type: integer, rnage: 1..2}", "rnage"),
        ("Age: {raw: A, description: Age, type: integer}", "Age"),
        ("age: {raw: A, type: integer}", "description"),
        ("age: {raw: A, description: Age, type: factor}", "needs levels"),
        ("age: {raw: A, description: Age, type: integer, levels: {1: a}}", "takes no levels"),
        ("age: {raw: A, description: Age, type: integer, adjust: prices}", "no adjustment prices"),
        ("age: {raw: A, description: Age, type: integer, not_applicable: none}", "age"),
        ("age: {raw: A, description: Age, type: integer, values: {x: 1}}", "no whole number"),
        ("age: {raw: A, description: Age, type: factor, levels: {-9: Old}}", "two meanings"),
        ("age: {raw: A, description: Age, type: factor, levels: {1: Old, 01: Young}}", "two meanings"),
        ("weight: {raw: A, description: Age, type: integer}", "reserved"),
        ("rep_1: {raw: A, description: Age, type: integer}", "reserved"),
        ("age: {raw: A, description: Area, type: place}", "width"),
        ("fuel: {raw: A, description: Again, type: integer}", "given twice"),
    ],
)
def test_a_wrong_entry_is_named_with_its_file(write_codebook, entry, complaint):
    with pytest.raises(RegistryError, match=r"codebooks/small\.yaml") as caught:
        write_codebook(SMALL.format(entry=entry), "small")
    assert complaint in str(caught.value)


def test_a_derived_variable_with_a_misspelt_label_is_refused_on_loading(write_codebook):
    derived = """
  derived:
    gas: {description: Gas, type: factor, levels: {"true": Yes, "false": No}, expression: fuel == "Gaz"}
"""
    with pytest.raises(RegistryError, match="no level 'Gaz'"):
        write_codebook(SMALL.format(entry="") + derived, "small")


def test_an_extended_variable_keeps_the_fields_that_are_not_overridden(write_codebook):
    write_codebook(SMALL.format(entry="age: {raw: A, description: Age, type: integer}"), "base")
    codebook = write_codebook(
        """
        extends: base
        vintage: "2"
        households:
          variables:
            fuel: {levels: {3: Coal}}
            age: null
        """,
        "next",
    )
    assert codebook.vintage == "2"
    assert codebook.households.variables["fuel"].raw == "F"
    assert codebook.households.variables["fuel"].labels == ("Coal",)
    assert "age" not in codebook.households.variables


def test_a_codebook_that_extends_itself_is_refused(write_codebook):
    with pytest.raises(RegistryError, match="extends itself"):
        write_codebook("extends: loop", "loop")


def test_an_unknown_codebook_is_refused_with_the_names_there_are():
    with pytest.raises(RegistryError, match="recs_2015"):
        load_codebook("recs_1492")


def test_households_only_surveys_have_no_persons_to_ask_for():
    with pytest.raises(RegistryError, match="has no persons"):
        load_codebook("recs_2015").respondent("persons")


def test_raw_columns_are_named_once_though_two_variables_use_them():
    columns = load_codebook("acs_2015").households.raw_columns
    assert len({c.lower() for c in columns}) == len(columns)
    assert {"SERIALNO", "WGTP", "WGTP80", "ADJINC", "ELEP"} <= set(columns)


@pytest.mark.parametrize("year", load_registry().recipients)
def test_divisions_of_the_acs_are_named_as_everywhere(year) -> None:
    division = load_codebook(load_registry().codebook(year)).households.variables.get("division")
    assert division is None or set(division.labels) == set(areas("division"))
