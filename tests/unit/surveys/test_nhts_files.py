"""The NHTS in several files: what is wrong with any of them is said by name, and nothing is lost unseen."""

from __future__ import annotations

import csv
import io
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fusion_pipeline.errors import FusionError, IngestError
from fusion_pipeline.registry import load_registry
from fusion_pipeline.simulate import simulate_folders
from fusion_pipeline.surveys.codebook import load_codebook
from fusion_pipeline.surveys.ingest import RawPart, ingest_with_report, match_records

DONORS = 300
VINTAGES = ["NHTS_2017", "NHTS_2022"]
CODED = {"households": "HHFAMINC", "persons": "R_HISP", "vehicles": "VEHTYPE", "trips": "WHYTRP1S"}
NUMBER = {
    "households": "HHSIZE",
    "persons": "R_AGE_IMP",
    "vehicles": "BESTMILE",
    "trips": "TRPMILES",
    "replicates": "WTHHFIN7",
}
KEYS = {
    "households": "HOUSEID",
    "persons": "PERSONID",
    "vehicles": "VEHID",
    "trips": "TDTRPNUM",
    "replicates": "HOUSEID",
}
ROLES = list(KEYS)
CODEBOOK = load_codebook("nhts_2017")
Files = dict[str, list[dict[str, str]]]


@pytest.fixture(scope="module")
def mirror(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("nhts") / "raw"
    simulate_folders(out, ["nhts_2017", "nhts_2022"], households=500, donors=DONORS, seed=5)
    return out


def parts_of(mirror: Path, key: str) -> dict[str, list[RawPart]]:
    vintage = load_registry().surveys[key]
    return {
        role: [RawPart(mirror / vintage.folder / file.name, (), file.member)]
        for role, file in vintage.files.items()
    }


@pytest.fixture(scope="module")
def rows(mirror) -> Files:
    """Every file of the 2017 survey as rows of text."""
    found: Files = {}
    for role, (part,) in parts_of(mirror, "NHTS_2017").items():
        with zipfile.ZipFile(part.path) as archive:
            name = part.member_glob.replace("*", "")
            found[role] = list(csv.DictReader(io.TextIOWrapper(archive.open(name), "utf-8")))
    return found


def as_csv(rows: list[dict[str, str]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


@pytest.fixture(scope="module")
def written(rows, tmp_path_factory) -> dict[str, Path]:
    """The files as they should be."""
    folder = tmp_path_factory.mktemp("written")
    for role, content in rows.items():
        (folder / f"{role}.csv").write_bytes(as_csv(content))
    return {role: folder / f"{role}.csv" for role in rows}


@pytest.fixture
def read(rows, written, tmp_path):
    """Ingest the 2017 households, or persons, with one file changed: other rows, or other bytes."""

    def ingest_changed(role: str | None = None, change=None, kind: str = "households", edit=None):
        parts = {name: [RawPart(path)] for name, path in written.items()}
        if role is not None:
            raw = as_csv(change([dict(row) for row in rows[role]])) if change else written[role].read_bytes()
            path = tmp_path / f"{role}.csv"
            path.write_bytes(edit(raw) if edit else raw)
            parts[role] = [RawPart(path)]
        # What is wrong with one file shows without the slowest of the others.
        asked = {role, "households"} if role else set(parts)
        others = {name: part for name, part in parts.items() if name in asked and kind == "households"}
        return ingest_with_report(parts[kind], CODEBOOK, kind, others)

    return ingest_changed


@pytest.mark.parametrize("key", VINTAGES)
def test_registered_files_are_those_that_the_codebook_reads(key):
    vintage = load_registry().surveys[key]
    assert set(vintage.files) == set(load_codebook(vintage.codebook).roles)


@pytest.mark.parametrize("key", VINTAGES)
def test_simulated_files_ingest_whole_and_their_counts_agree(mirror, key):
    parts = parts_of(mirror, key)
    codebook = load_codebook(load_registry().surveys[key].codebook)
    households, report = ingest_with_report(parts["households"], codebook, "households", parts)
    assert report.left_out == {}
    assert households.num_rows == DONORS
    assert set(report.relations) == set(codebook.roles) - {"households"}
    assert all(relation.outside == 0 for relation in report.relations.values())
    assert report.relations["vehicles"].differing == 0
    assert households["vehicles"].to_pylist() == households["hhvehcnt"].to_pylist()
    assert households["tripnum"].to_pylist() == households["cnttdhh"].to_pylist()
    persons = ingest_with_report(parts["persons"], codebook, "persons")[0]
    _, relation = match_records(persons, households, codebook.persons, "persons")
    assert (relation.outside, relation.without) == (0, 0)


def test_vehicle_parts_add_up_to_the_total(read):
    table, _ = read()
    parts = [name for name in table.column_names if name.startswith("gstotcst_")]
    assert len(parts) == 32
    total = sum(table[name].to_numpy() for name in parts)
    assert total == pytest.approx(table["gstotcst"].to_numpy())


def set_cell(column: str, value: str, row: int = 0):
    def change(content):
        content[row][column] = value
        return content

    return change


def without(column: str):
    return lambda content: [{k: v for k, v in row.items() if k != column} for row in content]


def renamed(column: str, name: str):
    return lambda content: [{name if k == column else k: v for k, v in row.items()} for row in content]


@pytest.mark.parametrize("role", ROLES)
def test_missing_and_renamed_columns_are_named(read, role):
    for change in (without(NUMBER[role]), renamed(NUMBER[role], "SOMETHING")):
        kind = "persons" if role == "persons" else "households"
        with pytest.raises(IngestError, match=rf"{role}\.csv, column {NUMBER[role]}: is not in the file"):
            read(role, change, kind)


@pytest.mark.parametrize("role", ROLES)
def test_a_column_that_the_codebook_does_not_know_changes_nothing(read, role):
    kind = "persons" if role == "persons" else "households"
    table, report = read(role, lambda content: [row | {"NEW": "x"} for row in content], kind)
    assert table.equals(read(role, list, kind)[0])
    assert report.dropped == {}


@pytest.mark.parametrize("role", list(CODED))
@pytest.mark.parametrize(
    ("value", "what"), [("55", "has no meaning"), ("", "is blank"), ("Gas", "has no meaning")]
)
def test_unknown_codes_text_and_blanks_are_named_with_file_and_column(read, role, value, what):
    kind = "persons" if role == "persons" else "households"
    with pytest.raises(IngestError, match=rf"{role}\.csv, column {CODED[role]}: '{value}' in 1 rows {what}"):
        read(role, set_cell(CODED[role], value), kind)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(("value", "what"), [("many", "is not a number"), ("", "is blank")])
def test_text_and_blanks_among_numbers_are_named(read, role, value, what):
    kind = "persons" if role == "persons" else "households"
    with pytest.raises(IngestError, match=rf"{role}\.csv, column {NUMBER[role]}: '{value}' in 1 rows {what}"):
        read(role, set_cell(NUMBER[role], value), kind)


@pytest.mark.parametrize("role", ROLES)
def test_a_record_given_twice_is_refused(read, role):
    with pytest.raises(IngestError, match=r"2 rows share their key|occur more than once"):
        read(role, lambda content: [*content, content[0]])


@pytest.mark.parametrize("role", ["persons", "vehicles", "trips"])
def test_records_of_no_household_are_refused(read, role):
    with pytest.raises(IngestError, match=rf"{role}, key hid: 1 of [\d,]+ {role} belong to no household"):
        read(role, set_cell("HOUSEID", "1"))


def test_a_person_file_of_another_survey_is_refused(read):
    with pytest.raises(IngestError, match=r"persons, key hid: .* persons belong to no household"):
        read("persons", lambda content: [row | {"HOUSEID": f"4{row['HOUSEID']}"} for row in content])


def test_a_household_without_persons_or_replicate_weights_is_refused(read):
    first = lambda content: [row for row in content if row["HOUSEID"] != content[0]["HOUSEID"]]  # noqa: E731
    with pytest.raises(IngestError, match="1 of 300 households have no persons"):
        read("persons", first)
    with pytest.raises(IngestError, match="1 of 300 households have no replicates"):
        read("replicates", first)


@pytest.mark.parametrize("role", ROLES)
def test_empty_files_and_bytes_that_are_no_text_are_refused(read, role):
    with pytest.raises(IngestError, match=rf"{role}\.csv"):
        read(role, edit=lambda raw: b"")
    with pytest.raises(IngestError, match=rf"{role}\.csv"):
        read(role, edit=lambda raw: raw.splitlines()[0] + b"\n")
    # A byte that is no UTF-8 inside the first key.
    with pytest.raises(IngestError, match=rf"{role}\.csv"):
        read(role, edit=lambda raw: raw.replace(b"\n3", b"\n\xff", 1))


def test_a_vehicle_file_that_lost_records_is_reported(read):
    _, report = read("vehicles", lambda content: content[3:])
    vehicles = report.relations["vehicles"]
    assert vehicles.differing >= 1
    assert "say that they have another number" in vehicles.sentence("vehicles")


CORRUPTIONS = st.tuples(
    st.sampled_from(sorted(CODED)),
    st.integers(0, 250),
    st.sampled_from(["coded", "key", "hid", "number"]),
    st.one_of(
        st.sampled_from(["", "-9", "-1", "01", "1e3", "x", "99", "1.5", "nan", " 02 "]),
        st.integers(-5, 10**12).map(str),
    ),
)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    changes=st.lists(CORRUPTIONS, max_size=3),
    income=st.lists(st.sampled_from(["01", "5", "11", "-7", "-8", "-9"]), min_size=DONORS, max_size=DONORS),
)
def test_any_corruption_is_explained_or_harmless_and_every_row_is_accounted_for(read, rows, changes, income):
    role_of = changes[0][0] if changes else "households"

    def change(content):
        for role, row, what, value in changes:
            if role == role_of:
                column = {"coded": CODED[role], "key": KEYS[role], "hid": "HOUSEID", "number": NUMBER[role]}[
                    what
                ]
                content[row % len(content)][column] = value
        if role_of == "households":
            for row, code in zip(content, income, strict=True):
                row["HHFAMINC"] = code
        return content

    try:
        table, report = read(role_of, change)
    except FusionError as error:
        assert "csv" in str(error) or "hid" in str(error)
        return
    assert table.num_rows == report.rows_kept == report.rows_read - sum(report.dropped.values()) == DONORS
    assert all(relation.rows == len(rows[kind]) for kind, relation in report.relations.items())
    if role_of == "households":
        assert table["hhfaminc"].null_count == sum(code.startswith("-") for code in income)


OPEN = {
    "nhts_2022": {},
    # Not in the publisher's list of codes: worked out from fuel economy and prices, or adjusted.
    "nhts_2017": {"vehicles": {"gsyrgal", "gstotcst", "gscost"}, "trips": {"trpmilad"}},
}
"""Numbers without an upper end."""


@pytest.mark.parametrize("name", OPEN)
def test_numbers_end_where_the_publishers_codebook_says_but_for_those_that_it_does_not_list(name):
    found = {
        kind: {
            n
            for n, v in entry.variables.items()
            if not v.categorical and (not v.range or v.range.high is None)
        }
        for kind, entry in load_codebook(name).kinds.items()
    }
    assert {kind: names for kind, names in found.items() if names} == OPEN[name]
