from __future__ import annotations

import logging
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fusion_pipeline.errors import IngestError
from fusion_pipeline.storage.tables import levels_of
from fusion_pipeline.surveys import reading
from fusion_pipeline.surveys.ingest import IngestReport, RawPart, _log, ingest, ingest_with_report


def column(toy, part, name):
    return ingest([part], toy, "households")[name].to_pylist()


def test_keys_weights_and_replicate_weights_come_in_the_agreed_types_and_places(toy, toy_file):
    table = ingest([toy_file({})], toy, "households")
    assert table.column_names[:3] == ["hid", "year", "weight"]
    assert table.column_names[-2:] == ["rep_1", "rep_2"]
    assert [str(table.schema.field(n).type) for n in ("hid", "year", "weight", "rep_1")] == [
        "int64",
        "int16",
        "double",
        "float",
    ]
    assert table.select(["hid", "year", "weight", "rep_1", "rep_2"]).to_pylist() == [
        {"hid": 1, "year": 2020, "weight": 10.0, "rep_1": 5.0, "rep_2": 15.0}
    ]


def test_raw_columns_are_found_whatever_their_case(toy, toy_file):
    assert (
        "UNUSED" not in ingest([toy_file({})], toy, "households").column_names
    )  # header has wt, wt1 and WT2


@pytest.mark.parametrize("name", ["toy.csv", "toy.csv.gz", "toy.zip"])
def test_plain_gzipped_and_zipped_files_are_read_alike(toy, toy_file, name):
    assert column(toy, toy_file({"AREA": "3.5"}, {}, name=name), "area") == [3.5, 80.5]


def test_codes_become_labels_with_all_levels_in_order(toy, toy_file):
    codes = ["1", "01", "02", "7", "-2", "", "-9"]
    part = toy_file(*({"FUEL": c} for c in codes))
    table = ingest([part], toy, "households")
    assert table["fuel"].to_pylist() == ["Gas", "Gas", "Wood", "Other", "No heating", "No heating", None]
    assert levels_of(table["fuel"]) == ["No heating", "Gas", "Wood", "Other"]
    assert not table["fuel"].type.ordered
    assert table["late"].type.ordered


def test_special_codes_and_skips_are_not_adjusted_to_prices_but_amounts_are(toy, toy_file):
    part = toy_file({"RENT": "500"}, {"RENT": "1"}, {"RENT": "2"}, {"RENT": ""}, {"RENT": "0004"})
    assert column(toy, part, "rent") == [550, 0, 40, 0, 4]


def test_integers_may_be_written_as_decimals_and_are_stored_small(toy, toy_file):
    table = ingest([toy_file({"ROOMS": "4.0"}, {"ROOMS": "020"})], toy, "households")
    assert table["rooms"].to_pylist() == [4, 20]
    assert table["rooms"].type == pa.int8()
    assert table["rent"].type == pa.int32()


def test_areas_that_lost_their_leading_zeros_get_them_back(toy, toy_file):
    table = ingest([toy_file({"PUMA": "00200"}, {"PUMA": "100"}, {"PUMA": "00100"})], toy, "households")
    assert table["puma"].to_pylist() == ["00200", "00100", "00100"]
    assert levels_of(table["puma"]) == ["00100", "00200"]


def test_letters_in_a_key_become_digits(toy, toy_file):
    assert column(toy, toy_file({"ID": "2018HU0000007"}), "hid") == [201810000007]


def test_rows_outside_the_survey_are_dropped_before_their_cells_are_judged_and_counted(toy, toy_file):
    part = toy_file({}, {"wt": "0", "FUEL": "?"}, {"STATUS": "2", "ROOMS": ""}, {"STATUS": ""})
    table, report = ingest_with_report([part], toy, "households")
    assert table["hid"].to_pylist() == [1]
    assert (report.rows_read, report.rows_kept) == (4, 1)
    assert report.dropped == {"WT not in 1..": 1, "STATUS not in 1..1": 2}


def test_missing_answers_stay_missing_and_are_counted(toy, toy_file):
    _, report = ingest_with_report([toy_file({"ROOMS": "-9", "LATE": "-9"}, {})], toy, "households")
    assert report.missing == {"rooms": 1, "late": 1, "insecure": 1, "crowding": 1}


def test_derived_variables_follow_from_the_others(toy, toy_file):
    part = toy_file({}, {"LATE": "1"}, {"COLD": "2", "LATE": "-9"}, {"LATE": "-9"})
    table = ingest([part], toy, "households")
    assert table["insecure"].to_pylist() == ["No", "Yes", "Yes", None]
    assert levels_of(table["insecure"]) == ["Yes", "No"]
    assert table["crowding"].to_pylist()[0] == pytest.approx(80.5 / 4)


def test_variables_of_absent_columns_and_what_derives_from_them_are_left_out_by_name(toy, toy_file, caplog):
    part = toy_file({}, without=("COLD", "ADJ"))
    with caplog.at_level(logging.INFO):
        table, report = ingest_with_report([RawPart(part.path, ("cold", "ADJ"))], toy, "households")
    assert report.left_out == {"cold": "COLD", "insecure": "COLD", "rent": "ADJ"}
    assert not {"cold", "insecure", "rent"} & set(table.column_names)
    assert "left out no COLD: cold, insecure; no ADJ: rent" in caplog.text
    assert "10 of 12 columns are read" in caplog.text


def test_every_absent_column_of_a_variable_is_named(toy, toy_file):
    part = toy_file({}, without=("COLD", "LATE"))
    _, report = ingest_with_report([RawPart(part.path, ("COLD", "LATE"))], toy, "households")
    assert report.left_out["insecure"] == "LATE, COLD"


def test_absent_replicate_weights_are_left_out_together(toy, toy_file):
    part = toy_file({}, without=("WT2",))
    table, report = ingest_with_report([RawPart(part.path, ("WT2",))], toy, "households")
    assert not [n for n in table.column_names if n.startswith("rep_")]
    assert set(report.left_out) == {"rep_1", "rep_2"}


def test_files_are_read_one_after_the_other(toy, toy_file):
    parts = [toy_file({"ID": "9"}, name="b.csv"), toy_file({"ID": "3"}, name="a.csv")]
    assert ingest(parts, toy, "households")["hid"].to_pylist() == [9, 3]


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ({"FUEL": "12"}, "column FUEL: '12' in 1 rows has no meaning"),
        ({"FUEL": "gas"}, "column FUEL: 'gas' in 1 rows has no meaning"),
        ({"FUEL": "²"}, "column FUEL: '²' in 1 rows has no meaning"),
        ({"PUMA": "²"}, "column PUMA: '²' in 1 rows has no meaning"),
        ({"AREA": "1e30"}, "column AREA: 1e+30 in 1 rows is out of range"),
        ({"LATE": ""}, "column LATE: '' in 1 rows is blank"),
        ({"LATE": "-2"}, "column LATE: '-2' in 1 rows has no meaning"),
        ({"ROOMS": "four"}, "column ROOMS: 'four' in 1 rows is not a number"),
        ({"ROOMS": "nan"}, "column ROOMS: 'nan' in 1 rows is not a number"),
        ({"ROOMS": "4.5"}, "column ROOMS: 4.5 in 1 rows is not a whole number"),
        ({"ROOMS": ""}, "column ROOMS: '' in 1 rows is blank"),
        ({"ROOMS": "21"}, "column ROOMS: 21 in 1 rows is out of range"),
        ({"RENT": "3"}, "column RENT: 3 in 1 rows is out of range"),
        ({"AREA": "-1"}, "column AREA: -1 in 1 rows is out of range"),
        ({"ADJ": ""}, "column ADJ: '' in 1 rows is blank"),
        ({"ADJ": "x"}, "column ADJ: 'x' in 1 rows is not a number"),
        ({"wt1": ""}, "column WT1: '' in 1 rows is blank"),
        ({"wt": "heavy"}, "column WT: 'heavy' in 1 rows is not a number"),
        ({"ID": "A7"}, "column ID: the text in 1 rows is not a valid key"),
        ({"PUMA": "123456"}, "column PUMA: '123456' in 1 rows has no meaning"),
        ({"PUMA": ""}, "column PUMA: '' in 1 rows is blank"),
        ({"ID": "1"}, "key hid: 2 rows share their key with another (of the rows kept: 1, 2"),
    ],
)
def test_a_cell_that_contradicts_the_codebook_is_named(toy, toy_file, cells, message):
    with pytest.raises(IngestError, match=r"toy\.csv") as caught:
        ingest([toy_file({}, cells)], toy, "households")
    assert message in str(caught.value)


def test_a_weight_of_zero_is_refused_where_no_rule_drops_it(write_codebook, toy_file):
    codebook = write_codebook("extends: toy\nhouseholds: {keep: null}", "unfiltered")
    with pytest.raises(IngestError, match="column WT: 0 in 2 rows is not a positive weight"):
        ingest([toy_file({"wt": "0"}, {}, {"wt": "0"})], codebook, "households")


@pytest.fixture(autouse=True)
def _toy_is_on_disk(toy):
    """Let other codebooks extend the toy codebook."""


def test_the_values_of_a_problem_are_counted_over_the_whole_file_and_other_columns_named(
    toy, toy_file, monkeypatch
):
    monkeypatch.setattr(reading, "BLOCK_BYTES", 256)
    part = toy_file(*[{"FUEL": "12"}] * 30, *[{"FUEL": "13", "ROOMS": "0"}] * 20)
    with pytest.raises(IngestError) as caught:
        ingest([part], toy, "households")
    assert "column FUEL: '12' in 30 rows, '13' in 20 rows" in str(caught.value)
    assert "besides: ROOMS" in str(caught.value)


def test_a_column_that_is_missing_and_not_declared_absent_is_named(toy, toy_file):
    with pytest.raises(IngestError, match=r"toy.csv, column ROOMS: is not in the file.*absent"):
        ingest([toy_file({}, without=("ROOMS",))], toy, "households")


def test_all_missing_columns_are_named_at_once_with_those_spelt_alike(toy, toy_file):
    part = toy_file({}, without=("COLD", "ROOMS", "PUMA"))
    text = part.path.read_text().replace("UNUSED", "ROOMS_1")
    part.path.write_text(text)
    with pytest.raises(IngestError) as told:
        ingest([part], toy, "households")
    assert told.value.where.endswith("column PUMA, COLD, ROOMS")
    assert "(it has ROOMS_1 for ROOMS, which may be meant)" in told.value.what


def test_a_wrong_value_is_found_by_its_first_row_and_its_household_is_not_told(toy, toy_file):
    part = toy_file({}, {"ID": "77", "ROOMS": "99"}, {"ID": "78", "ROOMS": "98"})
    with pytest.raises(IngestError, match=r"98 to 99 in 2 rows is out of range \(first: row 2\)"):
        ingest([part], toy, "households")


def test_text_in_another_encoding_is_found_by_its_column(toy, toy_file):
    part = toy_file({}, {"LATE": "@"})
    part.path.write_bytes(part.path.read_bytes().replace(b"@", b"\xe9"))
    with pytest.raises(IngestError, match=r"column LATE.*UTF8"):
        ingest([part], toy, "households")


def test_many_variables_left_out_for_one_file_are_counted_in_the_log(caplog):
    with caplog.at_level(logging.INFO):
        _log(IngestReport((), 1, 1, {}, {}, {f"v{i}": "file vehicles" for i in range(69)}), "TOY")
    assert "left out no file vehicles: 69 variables" in caplog.text


def test_keys_and_weights_cannot_be_declared_absent(toy, toy_file):
    with pytest.raises(IngestError, match="column WT: is declared absent"):
        ingest([RawPart(toy_file({}).path, ("WT",))], toy, "households")


def test_a_column_that_occurs_twice_is_refused(toy, toy_file):
    part = toy_file({})
    part.path.write_text(part.path.read_text().replace("UNUSED", "Fuel"))
    with pytest.raises(IngestError, match="column FUEL: occurs 2 times"):
        ingest([part], toy, "households")


def test_empty_files_and_files_without_records_are_refused(toy, toy_file):
    part = toy_file()
    with pytest.raises(IngestError, match="holds no records"):
        ingest([part], toy, "households")
    part.path.write_text("")
    with pytest.raises(IngestError, match="is empty"):
        ingest([part], toy, "households")


def test_a_file_of_which_no_row_is_kept_is_refused(toy, toy_file):
    with pytest.raises(IngestError, match="none of 1 rows is kept"):
        ingest([toy_file({"STATUS": "2"})], toy, "households")


@pytest.mark.parametrize("name", ["toy.csv.gz", "toy.zip"])
def test_a_file_cut_short_is_refused(toy, toy_file, name):
    part = toy_file(*[{"UNUSED": str(i**5)} for i in range(300)], name=name)
    part.path.write_bytes(part.path.read_bytes()[:1500])
    with pytest.raises(IngestError, match=name):
        ingest([part], toy, "households")


def test_a_row_cut_short_is_refused(toy, toy_file):
    part = toy_file({}, {})
    part.path.write_text(part.path.read_text()[:-20])
    with pytest.raises(IngestError, match="cannot be read as CSV"):
        ingest([part], toy, "households")


def test_an_archive_without_tables_is_refused(toy, toy_file):
    part = toy_file({}, name="toy.zip")
    with pytest.raises(IngestError, match=r"no member \*.txt \(it has part.csv"):
        ingest([RawPart(part.path, member_glob="*.txt")], toy, "households")


CELLS = st.fixed_dictionaries(
    {
        "FUEL": st.sampled_from(["1", "2", "5", "-2", "-9", ""]),
        "PUMA": st.sampled_from(["100", "00200", "00300"]),
        "RENT": st.sampled_from(["", "1", "-9", "4", "750"]),
        "ROOMS": st.sampled_from(["1", "20", "-9"]),
        "STATUS": st.sampled_from(["1", "2"]),
        "wt": st.integers(1, 10**5).map(str),
    }
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(CELLS, min_size=1, max_size=40), block=st.integers(128, 2048))
def test_the_table_does_not_depend_on_how_the_file_is_cut_into_blocks(toy, toy_file, rows, block):
    part = toy_file({}, *rows)
    whole, whole_report = ingest_with_report([part], toy, "households")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "BLOCK_BYTES", block)
        cut, cut_report = ingest_with_report([part], toy, "households")
    assert cut.equals(whole)
    assert cut_report == whole_report


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(CELLS, min_size=1, max_size=40))
def test_every_row_read_is_kept_or_counted_as_dropped_and_kept_weights_are_unchanged(toy, toy_file, rows):
    part = toy_file({}, *rows)
    table, report = ingest_with_report([part], toy, "households")
    assert report.rows_read == len(rows) + 1 == report.rows_kept + sum(report.dropped.values())
    kept = [int(row["wt"]) for row in rows if row["STATUS"] == "1"]
    assert table["weight"].to_pylist() == [10, *kept]


def test_person_files_have_a_key_of_household_and_person(toy, tmp_path: Path):
    path = tmp_path / "p.csv"
    path.write_text("id,line,pwt,age\n7,1,20,40\n7,2,21,0\n")
    table = ingest([RawPart(path)], toy, "persons")
    assert table.column_names == ["hid", "pid", "year", "weight", "age"]
    assert table["pid"].type == pa.int16()
    path.write_text("id,line,pwt,age\n7,1,20,40\n7,1,21,0\n")
    with pytest.raises(IngestError, match="key hid/pid: 2 rows share"):
        ingest([RawPart(path)], toy, "persons")
