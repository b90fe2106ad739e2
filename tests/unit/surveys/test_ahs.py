"""The American Housing Survey's public files: codes in quotes, letters among numbers, vacant units, line numbers."""

from __future__ import annotations

import zipfile

import pytest

from fusion_pipeline.errors import IngestError
from fusion_pipeline.simulate.completing import valid_code
from fusion_pipeline.surveys.codebook import load_codebook
from fusion_pipeline.surveys.ingest import RawPart, ingest, ingest_with_report, match_records

AHS = load_codebook("ahs_2019")
assert AHS.persons is not None
KEYS = {
    "households": {"CONTROL": "'11000001'", "WEIGHT": "100.5", "INTSTATUS": "'1'"},
    "persons": {"CONTROL": "'11000001'", "PLINE": "1", "REL": "'01'"},
}


@pytest.fixture
def write(tmp_path):
    """Write rows of a file with all columns of the codebook, texts in quotes, and read it back as a part."""

    def written(kind: str, *rows: dict[str, str], drop: str = "", more: str = "", name: str = "") -> RawPart:
        entry = AHS.respondent(kind)
        valid: dict[str, str] = {}
        for variable in entry.variables.values():
            code = valid_code(variable, AHS)
            valid.setdefault(variable.raw, f"'{code}'" if variable.categorical else code)
        replicates = dict.fromkeys(entry.replicates.columns if entry.replicates else (), "100")
        lines = [{**valid, **replicates, **KEYS[kind], **row} for row in rows]
        columns = [column for column in lines[0] if column != drop] + ([more] if more else [])
        text = [",".join(columns)] + [",".join(line.get(c, "x") for c in columns) for line in lines]
        path = tmp_path / (name or f"{kind}.csv")
        path.write_text("\n".join(text) + "\n")
        return RawPart(path)

    return written


def _one(part: RawPart, variable: str, kind: str = "households") -> object:
    return ingest([part], AHS, kind)[variable].to_pylist()[0]


@pytest.mark.parametrize("text", ["'01'", "01", "'1'", "1"])
def test_a_code_is_the_same_with_and_without_quotes(write, text) -> None:
    assert _one(write("households", {"HHRACE": text}), "hhrace") == "White only"


@pytest.mark.parametrize("text", ["''1''", '"1"', "'1''"])
def test_doubled_or_foreign_quotes_are_reported_with_column_and_text(write, text) -> None:
    with pytest.raises(IngestError, match=r"COLD|cannot be read as CSV"):
        ingest([write("households", {"COLD": text})], AHS, "households")


def test_an_unfinished_quote_is_a_damaged_file(write) -> None:
    with pytest.raises(IngestError, match="cannot be read as CSV"):
        ingest([write("households", {"COLD": "'1"})], AHS, "households")


@pytest.mark.parametrize("text", ["'-6'", "'N'", "N", "-6"])
def test_what_does_not_apply_is_no_or_zero(write, text) -> None:
    table = ingest([write("households", {"HMRENEFF": text, "REMODAMT": text})], AHS, "households")
    assert (table["hmrenew"].to_pylist(), table["remodamt"].to_pylist()) == (["No"], [0])


@pytest.mark.parametrize("text", ["'-9'", "'M'", "M", "-9"])
def test_what_is_not_reported_is_missing(write, text) -> None:
    table, report = ingest_with_report(
        [write("households", {"UNITSIZE": text, "RATINGHS": text})], AHS, "households"
    )
    assert (table["unitsize"].to_pylist(), table["ratinghs"].to_pylist()) == ([None], [None])
    assert report.missing["ratinghs"] == 1


def test_half_of_the_sample_was_not_asked_about_food_and_is_missing(write) -> None:
    part = write("households", {"FSSTATUS": "'4'"}, {"CONTROL": "'11000002'", "FSSTATUS": "'-6'"})
    assert ingest([part], AHS, "households")["fsstatus"].to_pylist() == [
        "Very low food security among adults",
        None,
    ]


def test_vacant_units_are_counted_and_dropped(write) -> None:
    part = write("households", {}, {"CONTROL": "'11000002'", "INTSTATUS": "'3'", "TENURE": "'-6'"})
    table, report = ingest_with_report([part], AHS, "households")
    assert (table.num_rows, dict(report.dropped)) == (1, {"INTSTATUS not in 1..1": 1})


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"COLD": "'7'"}, r"column COLD: '7' in 1 rows has no meaning"),
        ({"COLD": ""}, r"column COLD: '' in 1 rows is blank"),
        ({"RATINGHS": "11"}, r"column RATINGHS: 11 in 1 rows is out of range"),
        ({"RATINGHS": "7.5"}, r"column RATINGHS: 7.5 in 1 rows is not a whole number"),
        ({"HINCP": "many"}, r"column HINCP: 'many' in 1 rows is not a number"),
        ({"HINCP": "X"}, r"column HINCP: 'X' in 1 rows is not a number"),
        ({"WEIGHT": "0"}, r"column WEIGHT: 0 in 1 rows is not a positive weight"),
        ({"REPWEIGHT160": ""}, r"column REPWEIGHT160: '' in 1 rows is blank"),
        ({"CONTROL": "'1100000a'"}, r"column CONTROL: the text in 1 rows is not a valid key"),
        ({"TENURE": "'-6'"}, r"column TENURE: '-6' in 1 rows has no meaning"),
    ],
)
def test_bad_values_are_named_with_column_and_count(write, row, message) -> None:
    with pytest.raises(IngestError, match=message):
        ingest([write("households", row)], AHS, "households")


def test_a_missing_column_is_an_error_and_an_added_one_is_not(write) -> None:
    assert ingest([write("households", {}, more="JCOLD")], AHS, "households").num_rows == 1
    with pytest.raises(
        IngestError, match=r"column COLD: is not in the file, and not declared absent .it has COLDX for COLD"
    ):
        ingest([write("households", {}, drop="COLD", more="COLDX")], AHS, "households")


def test_a_household_that_occurs_twice_is_refused(write) -> None:
    with pytest.raises(IngestError, match="key hid: 2 rows share their key"):
        ingest([write("households", {}, {})], AHS, "households")


def test_an_empty_file_and_bytes_that_are_no_text_are_refused(tmp_path, write) -> None:
    (tmp_path / "empty.csv").write_bytes(b"")
    with pytest.raises(IngestError, match="is empty"):
        ingest([RawPart(tmp_path / "empty.csv")], AHS, "households")
    good = write("households", {"COLD": "'1'"}).path
    bad = tmp_path / "latin.csv"
    bad.write_bytes(good.read_bytes().replace(b"'11000001'", b"'\xff1000001'"))
    with pytest.raises(IngestError, match=r"latin\.csv.*cannot be read as CSV"):
        ingest([RawPart(bad)], AHS, "households")


def test_the_reference_person_is_person_1_whatever_its_line_number(write) -> None:
    lines = [("1", "'04'"), ("2", "'03'"), ("5", "'01'")]
    part = write("persons", *({"PLINE": line, "REL": rel} for line, rel in lines))
    table = ingest([part], AHS, "persons")
    assert table["pid"].to_pylist() == [2, 3, 1]
    assert table["rel"].to_pylist()[2] == "Reference person with relatives in household"


def test_two_reference_persons_in_a_household_are_refused(write) -> None:
    part = write("persons", {"PLINE": "1"}, {"PLINE": "2", "REL": "'02'"})
    with pytest.raises(IngestError, match="key hid: 1 households have more than one reference person"):
        ingest([part], AHS, "persons")


def test_two_persons_of_one_line_are_refused(write) -> None:
    with pytest.raises(IngestError, match="key hid/pid: 2 rows share their key"):
        ingest([write("persons", {}, {"REL": "'03'"})], AHS, "persons")


def test_persons_have_their_households_weight_and_need_their_household(write) -> None:
    households = ingest([write("households", {})], AHS, "households")
    persons = ingest([write("persons", {}, {"CONTROL": "'11000009'"})], AHS, "persons")
    kept, relation = match_records(persons, households, AHS.respondent("persons"), "persons")
    assert (kept["weight"].to_pylist(), relation.outside) == ([100.5], 1)


def test_a_household_without_reference_person_is_refused(write) -> None:
    households = ingest([write("households", {})], AHS, "households")
    persons = ingest([write("persons", {"REL": "'04'"})], AHS, "persons")
    with pytest.raises(IngestError, match=r"1 of 1 households have no reference person \(pid 1\)"):
        match_records(persons, households, AHS.respondent("persons"), "persons")


def test_households_and_persons_are_read_from_one_archive(tmp_path, write) -> None:
    archive = tmp_path / "AHS.zip"
    with zipfile.ZipFile(archive, "w") as members:
        for kind, name in (("households", "household.csv"), ("persons", "person.csv")):
            members.write(write(kind, {}).path, name)
    assert ingest([RawPart(archive, (), "*household.csv")], AHS, "households").num_rows == 1
    assert ingest([RawPart(archive, (), "*person.csv")], AHS, "persons").num_rows == 1


@pytest.mark.parametrize("year", ["2015", "2017", "2021"])
def test_every_vintage_has_what_the_paper_fuses_but_food_security_in_years_without_its_module(year) -> None:
    variables = load_codebook(f"ahs_{year}").households.variables
    assert {"cold", "hmrenew", "ratinghs", "unitsize"} <= set(variables)
    assert ("fsstatus" in variables) == (year == "2015")


def test_replicate_weights_have_the_factors_that_the_publishers_name() -> None:
    replicates = AHS.households.replicates
    assert replicates is not None
    assert (replicates.count, replicates.scale) == (160, pytest.approx(4 / 160))
    recs = load_codebook("recs_2020").households.replicates
    assert recs is not None
    assert (recs.count, recs.scale) == (60, pytest.approx(59 / 60))
