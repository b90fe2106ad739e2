"""Records besides households: matched with them, summarised for them, refused where they do not fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from fusion_pipeline.errors import IngestError, RegistryError
from fusion_pipeline.storage.tables import levels_of
from fusion_pipeline.surveys.dictionary import dictionary
from fusion_pipeline.surveys.ingest import RawPart, ingest, ingest_with_report, match_records

FLEET = """
survey: FLEET
vintage: "2020"
year: 2020
source: made up
missing_codes: ["-9"]
households:
  id: {hid: ID}
  weight: WT
  replicates: {raw: "W{}", count: 2, method: halves, scale: 1/2, file: replicates}
  variables:
    cars: {raw: CARS, description: Vehicles, type: integer, range: 0..9}
  summaries:
    vehicles: {of: vehicles, statistic: count, type: integer, description: Vehicles}
    miles:
      of: vehicles
      statistic: sum
      value: miles
      type: number
      description: Miles
      split: {electric: fuel == "Electric", old: age >= 10}
    newest: {of: vehicles, statistic: min, value: age, none: -1, type: integer, description: Age of the newest}
    oldest: {of: vehicles, statistic: max, value: age, none: -1, type: integer, description: Age of the oldest}
    mean_cost: {of: vehicles, statistic: mean, value: cost, none: 0, type: number, description: Mean cost}
    electric: {of: vehicles, statistic: share, value: 'fuel == "Electric"', none: 0, type: number,
               description: Share electric}
    fuels: {of: vehicles, statistic: shared, value: fuel, none: No vehicle, several: Mixed, type: factor,
            levels: [Gas, Electric], description: Fuel of all}
    head_age: {of: persons, statistic: max, value: age, where: pid == 1, none: 0, type: integer, description: Age}
  derived:
    fleet: {description: Two or more, type: factor, levels: {"true": Fleet, "false": None}, expression: vehicles >= 2}
persons:
  id: {hid: ID, pid: PID}
  expect: record
  outside: refuse
  variables:
    age: {raw: AGE, description: Age, type: integer, range: 0..120}
records:
  vehicles:
    id: {hid: ID, rid: NO}
    outside: refuse
    counted_by: cars
    variables:
      fuel: {raw: FUEL, description: Fuel, type: factor, levels: {1: Gas, 2: Electric}}
      miles: {raw: MILES, description: Miles, type: number}
      age: {raw: AGE, description: Age, type: integer}
    derived:
      cost: {description: Cost, type: number, expression: miles / 10}
"""
FILES = {
    "households": "ID,WT,CARS\n1,10,2\n2,20,0\n3,30,1\n",
    "persons": "ID,PID,AGE\n1,1,40\n1,2,38\n2,2,20\n3,1,70\n",
    "vehicles": "ID,NO,FUEL,MILES,AGE\n3,1,2,1000,3\n1,1,1,5000,12\n1,2,2,7000,2\n",
    "replicates": "ID,W2,W1\n2,21,19\n1,11,9\n3,31,29\n",
}


@pytest.fixture
def fleet(write_codebook):
    return write_codebook(FLEET, "fleet")


@pytest.fixture
def read(fleet, tmp_path: Path):
    """Ingest households from files that differ from the valid ones in those given; None: there is none."""

    def ingest_files(codebook=fleet, **changed: str | None):
        parts = {}
        for role, text in {**FILES, **changed}.items():
            if text is not None:
                path = tmp_path / f"{role}.csv"
                path.write_text(text)
                parts[role] = [RawPart(path)]
        return ingest_with_report(parts.pop("households"), codebook, "households", parts)

    return ingest_files


def test_households_know_what_their_vehicles_and_persons_add_up_to(read):
    table, _ = read()
    rows = table.select(table.column_names[3:-2]).to_pylist()
    assert rows[0] == {
        "cars": 2, "vehicles": 2, "miles": 12000, "miles_electric": 7000, "miles_old": 5000, "newest": 2,
        "oldest": 12, "mean_cost": 600, "electric": 0.5, "fuels": "Mixed", "head_age": 40, "fleet": "Fleet",
    }  # fmt: skip
    assert rows[1] == {
        "cars": 0, "vehicles": 0, "miles": 0, "miles_electric": 0, "miles_old": 0, "newest": -1, "oldest": -1,
        "mean_cost": 0, "electric": 0, "fuels": "No vehicle", "head_age": 0, "fleet": "None",
    }  # fmt: skip
    assert (rows[2]["fuels"], rows[2]["electric"], rows[2]["head_age"]) == ("Electric", 1, 70)
    assert levels_of(table["fuels"]) == ["No vehicle", "Gas", "Electric", "Mixed"]


def test_replicate_weights_of_another_file_find_their_household_and_their_number(read):
    table, _ = read()
    assert table.column_names[-2:] == ["rep_1", "rep_2"]
    assert table["rep_1"].to_pylist() == [9, 19, 29]
    assert table["rep_2"].to_pylist() == [11, 21, 31]


def test_counts_are_reconciled_and_reported(read):
    _, report = read(vehicles="ID,NO,FUEL,MILES,AGE\n1,1,1,5,1\n")
    vehicles, persons = report.relations["vehicles"], report.relations["persons"]
    assert (vehicles.rows, vehicles.outside, vehicles.without, vehicles.differing) == (1, 0, 2, 2)
    assert (persons.rows, persons.outside, persons.without, persons.differing) == (4, 0, 0, None)
    assert "2 of 3 say that they have another number" in vehicles.sentence("vehicles")


@pytest.mark.parametrize(("tolerated", "is_excessive"), [(0.0, True), (0.3, True), (0.34, False)])
def test_as_many_households_may_differ_as_the_codebook_tolerates(
    read, write_codebook, tolerated, is_excessive
):
    within = f"counted_by: cars\n    counted_within: {tolerated}"
    codebook = write_codebook(FLEET.replace("counted_by: cars", within), "tolerant")
    of_the_third = "ID,NO,FUEL,MILES,AGE\n1,1,1,5000,12\n1,2,2,7000,2\n"
    relation = read(codebook, vehicles=of_the_third)[1].relations["vehicles"]
    assert (relation.differing, relation.telling) == (1, 3)
    assert relation.is_excessive == is_excessive
    assert not read(codebook)[1].relations["vehicles"].is_excessive


def test_an_unknown_answer_makes_sums_missing_and_is_passed_over_by_means_and_extremes(read):
    unknown = "ID,NO,FUEL,MILES,AGE\n1,1,1,-9,12\n1,2,-9,7000,-9\n3,1,-9,1,-9\n"
    first, _, third = read(vehicles=unknown)[0].to_pylist()
    assert (first["vehicles"], first["miles"], first["miles_electric"]) == (2, None, None)
    assert (first["mean_cost"], first["newest"], first["electric"], first["fuels"]) == (700, 12, 0, "Gas")
    assert (third["newest"], third["electric"], third["fuels"], third["miles"]) == (None, None, None, 1)


def test_what_a_file_that_is_not_there_would_tell_is_left_out_by_name(read):
    table, report = read(vehicles=None, replicates=None)
    assert {"vehicles", "miles_old", "fuels", "fleet", "rep_1", "rep_2"} <= set(report.left_out)
    assert report.left_out["fleet"] == "file vehicles"
    assert report.left_out["rep_2"] == "file replicates"
    assert set(table.column_names) == {"hid", "year", "weight", "cars", "head_age"}


def test_what_an_absent_column_of_another_file_would_tell_is_left_out_by_name(fleet, tmp_path):
    parts = {}
    for role in ("households", "vehicles"):
        (tmp_path / f"{role}.csv").write_text(FILES[role].replace("MILES", "KM"))
        parts[role] = [RawPart(tmp_path / f"{role}.csv", ("miles",) if role == "vehicles" else ())]
    table, report = ingest_with_report(parts["households"], fleet, "households", parts)
    assert report.left_out["mean_cost"] == report.left_out["miles_old"] == "vehicles.MILES"
    assert table["electric"].to_pylist() == [0.5, 0, 1]


@pytest.mark.parametrize(
    ("role", "text", "message"),
    [
        ("vehicles", "ID,NO,FUEL,MILES,AGE\n1,1,1,5,1\n9,1,1,5,1\n", "key hid: 1 of 2 vehicles belong to no household"),
        ("vehicles", "ID,NO,FUEL,MILES,AGE\n1,1,1,5,1\n1,1,1,5,1\n", "key hid/rid: 2 rows share their key"),
        ("vehicles", "ID,NO,FUEL,MILES,AGE\n1,1,7,5,1\n", "vehicles.csv, column FUEL: '7' in 1 rows has no meaning"),
        ("vehicles", "ID,NO,FUEL,MILES\n1,1,1,5\n", "column AGE: is not in the file"),
        ("vehicles", "ID,NO,FUEL,MILES,AGE\n", "holds no records"),
        ("vehicles", "", "is empty"),
        ("persons", "ID,PID,AGE\n1,1,40\n3,1,7\n", "key hid: 1 of 3 households have no persons"),
        ("persons", "ID,PID,AGE\n1,1,40\n2,1,7\n3,1,7\n4,1,7\n", "key hid: 1 of 4 persons belong to no household"),
        ("persons", "ID,PID,AGE\n1,99999,40\n", "column PID: the text in 1 rows is not a valid key"),
        ("replicates", "ID,W1,W2\n1,1,1\n3,1,1\n", "key hid: 1 of 3 households have no replicates"),
        ("replicates", "ID,W1,W2\n1,1,1\n2,1,1\n2,1,1\n3,1,1\n", "key hid: 1 households occur more than once"),
        ("replicates", "ID,W1,W2\n1,1,x\n2,1,1\n3,1,1\n", "column W2: 'x' in 1 rows is not a number"),
        ("replicates", "ID,W1\n1,1\n", "column W2: is not in the file"),
    ],
)  # fmt: skip
def test_a_file_that_does_not_fit_the_households_is_named(read, role, text, message):
    with pytest.raises(IngestError) as caught:
        read(**{role: text})
    assert message in str(caught.value)


def test_a_file_that_is_no_utf8_is_named_with_the_column(read, tmp_path, fleet):
    for role in ("households", "vehicles"):
        (tmp_path / f"{role}.csv").write_text(FILES[role])
    path = tmp_path / "vehicles.csv"
    path.write_bytes(path.read_bytes().replace(b"3,1,2", b"3,1,\xe9"))
    with pytest.raises(IngestError, match=r"vehicles\.csv"):
        ingest([RawPart(tmp_path / "households.csv")], fleet, "households", {"vehicles": [RawPart(path)]})


def test_records_without_a_weight_have_that_of_their_household(fleet, tmp_path):
    for role in ("households", "persons"):
        (tmp_path / f"{role}.csv").write_text(FILES[role])
    persons = ingest([RawPart(tmp_path / "persons.csv")], fleet, "persons")
    households = ingest([RawPart(tmp_path / "households.csv")], fleet, "households")
    matched, _ = match_records(persons, households, fleet.persons, "persons")
    assert matched.column_names == ["hid", "pid", "year", "weight", "age"]
    assert matched["weight"].to_pylist() == [10, 10, 20, 30]


def test_persons_outside_the_households_kept_are_dropped_unless_refused(fleet):
    loose = fleet.persons.model_copy(update={"outside": "drop", "expect": "reference person"})
    table = households(1, 3)
    kept, relation = match_records(persons((1, 1), (1, 2), (2, 1), (3, 1)), table, loose, "persons")
    assert kept.select(["hid", "pid"]).to_pylist() == [
        {"hid": 1, "pid": 1},
        {"hid": 1, "pid": 2},
        {"hid": 3, "pid": 1},
    ]
    assert relation.outside == 1


@pytest.mark.parametrize("have", [[(1, 1)], [(1, 1), (3, 2)]])
def test_a_household_without_persons_or_reference_person_is_refused(fleet, have):
    strict = fleet.persons.model_copy(update={"expect": "reference person"})
    with pytest.raises(IngestError, match=r"key hid: 1 of 2 households have no reference person"):
        match_records(persons(*have), households(1, 3), strict, "persons")


def test_dictionary_names_the_file_and_column_behind_a_summary(read, fleet):
    rows = {row["variable"]: row for row in dictionary(read()[0], fleet, "households").to_pylist()}
    assert rows["miles_electric"]["raw"] == "vehicles.ID, vehicles.FUEL, vehicles.MILES"
    assert rows["miles_electric"]["description"] == "Miles: electric"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("of: vehicles, statistic: count", "of: boats, statistic: count", "there are no boats"),
        ('fuel == "Electric", old', 'fuel == "Steam", old', "no level 'Steam'"),
        ("age >= 10", "__import__('os')", "not accepted"),
        ("statistic: mean, value: cost", "statistic: mean, value: fuel", "has levels"),
        ("statistic: mean, value: cost", "statistic: mean, value: '1'", "the same for all records"),
        ("statistic: mean, value: cost, none: 0", "statistic: mean, value: cost", "say what `none` is"),
        ("levels: [Gas, Electric]", "levels: [Gas]", "has not the levels listed"),
        ("counted_by: cars", "counted_by: trucks", "trucks is no number of households"),
        ("file: replicates", "file: vehicles", "vehicles names two files"),
    ],
)
def test_a_summary_that_cannot_be_made_is_refused_when_the_codebook_is_loaded(
    write_codebook, old, new, message
):
    with pytest.raises(RegistryError, match=message):
        write_codebook(FLEET.replace(old, new, 1), "broken")


def persons(*keys):
    hid, pid = np.array(keys).T
    return pa.table({"hid": hid, "pid": pid.astype(np.int16), "weight": np.ones(len(hid))})


def households(*keys):
    return pa.table({"hid": list(keys), "weight": [1.0] * len(keys)})
