from __future__ import annotations

import re

import numpy as np
import pyarrow as pa
import pytest

from fusion_pipeline.harmonize import load_harmonies
from fusion_pipeline.storage.tables import IMPUTED, OUTSIDE, TableRef, write_table
from fusion_pipeline.surveys import dictionary as described
from fusion_pipeline.surveys.dictionary import dictionary
from fusion_pipeline.surveys.dictionary_page import page_of
from fusion_pipeline.surveys.ingest import ingest, ingest_with_report
from fusion_pipeline.surveys.universes import outside_universe


@pytest.fixture
def rows(toy, toy_file):
    part = toy_file({"ROOMS": "2"}, {"wt": "30", "FUEL": "2", "ROOMS": "6"}, {"FUEL": "-9", "ROOMS": "-9"})
    return {
        row["variable"]: row
        for row in dictionary(ingest([part], toy, "households"), toy, "households").to_pylist()
    }


def test_every_column_but_replicate_weights_is_described(rows, toy):
    expected = {"hid", "year", "weight", *toy.households.variables, *toy.households.derived}
    assert set(rows) == expected
    assert all(row["description"] and row["type"] for row in rows.values())


def test_numbers_have_their_range_unit_and_weighted_mean(rows):
    rooms = rows["rooms"]
    assert (rooms["raw"], rooms["unit"], rooms["values"]) == ("ROOMS", "rooms", "2 to 6")
    assert (rooms["n"], rooms["n_missing"]) == (2, 1)
    assert rooms["weighted_mean"] == pytest.approx((10 * 2 + 30 * 6) / 40)


def test_categories_have_all_levels_and_the_weighted_share_of_the_most_frequent(rows):
    fuel = rows["fuel"]
    assert fuel["values"] == "No heating | Gas | Wood | Other"
    assert (fuel["mode"], fuel["mode_share"], fuel["n_missing"]) == ("Wood", pytest.approx(0.75), 1)


def test_a_derived_variable_names_the_raw_columns_behind_it(rows):
    assert rows["insecure"]["raw"] == "LATE, COLD"
    assert rows["weight"]["raw"] == "WT"


def test_a_variable_without_answers_is_described_all_the_same(toy, toy_file):
    table = ingest([toy_file({"ROOMS": "-9"})], toy, "households")
    row = next(r for r in dictionary(table, toy, "households").to_pylist() if r["variable"] == "rooms")
    assert (row["n"], row["values"], row["weighted_mean"]) == (0, None, None)


@pytest.mark.parametrize("cells", [1, 4])
def test_a_dictionary_is_the_same_however_many_columns_are_read_at_once(
    toy, toy_file, tmp_path, monkeypatch, cells
):
    table = ingest([toy_file({"ROOMS": "2"}, {"FUEL": "2"})], toy, "households")
    write_table(tmp_path / "t.parquet", table)
    whole = dictionary(table, toy, "households")
    monkeypatch.setattr(described, "CELLS", cells)
    assert (
        dictionary(TableRef(tmp_path / "t.parquet"), toy, "households")
        .drop("n_imputed")
        .equals(whole.drop("n_imputed"))
    )


def test_the_page_holds_every_variable_its_search_and_no_outside_address(toy, toy_file):
    table = dictionary(ingest([toy_file({"FUEL": "2"})], toy, "households"), toy, "households")
    page = page_of("Toy 2015", "A <codebook>", table)
    assert all(f"<code>{name}</code>" in page for name in table["variable"].to_pylist())
    assert "A &lt;codebook&gt;" in page and "<script>" in page
    assert not re.search(r"https?://|src=|href=", page)


def test_the_page_shows_both_sides_of_a_harmony_in_one_row(toy, toy_file):
    table = dictionary(ingest([toy_file({})], toy, "households"), toy, "households")
    words = {"RECS 2015": {"kownrent": "Own or rent"}, "ACS 2015": {"ten": "Tenure"}}
    page = page_of("RECS 2015", "", table, [load_harmonies("RECS", "2015", "2015")], words)
    sides = [rf'<td><code>{var}</code><span class="universe">{says}</span></td>'
             for var, says in (("kownrent", "Own or rent"), ("ten", "Tenure"))]  # fmt: skip
    assert re.search("".join(sides), page)
    assert "<td>Rented</td><td>Rented</td>" in page
    # A search for the words of either side finds the head and all groups.
    assert len(re.findall(r'data-text="[^"]*own or rent[^"]* tenure [^"]*"', page)) == 1 + 3


def test_a_harmony_that_several_years_have_alike_is_shown_once(toy, toy_file):
    table = dictionary(ingest([toy_file({})], toy, "households"), toy, "households")
    harmonies = [load_harmonies("RECS", "2015", year) for year in ("2015", "2017", "2019")]
    page = page_of("RECS 2015", "", table, harmonies)
    assert page.count("<code>ten</code>") == 1
    assert page.count("RECS 2015 and ACS 2015, 2017, 2019 in common") == 1
    # What differs from year to year names its years.
    differing = {
        name for h in harmonies for name, entry in h.entries.items()
        if any(other.entries.get(name) != entry for other in harmonies)
    }  # fmt: skip
    assert differing
    assert page.count('<span class="raw">ACS 20') >= len(differing)


def test_imputed_answers_are_counted_in_table_and_page(toy, toy_file, tmp_path):
    ingested = ingest([toy_file({"ROOMS": "2"}, {"ROOMS": "6"})], toy, "households")
    write_table(tmp_path / "households.parquet", ingested, {IMPUTED: {"rooms": 1}})
    described = dictionary(TableRef(tmp_path / "households.parquet"), toy, "households")
    counts = dict(zip(described["variable"].to_pylist(), described["n_imputed"].to_pylist(), strict=True))
    assert (counts["rooms"], counts["fuel"]) == (1, 0)
    assert "1 imputed" in page_of("Toy", "", described)
    assert set(dictionary(ingested, toy, "households")["n_imputed"].to_pylist()) == {None}


def test_the_universe_tells_which_codes_are_a_skip_where_nothing_better_is_known(rows):
    assert rows["fuel"]["universe"] == "Not put to all: -2 or a blank in FUEL counts as No heating"
    assert rows["rooms"]["universe"] is None


def test_the_mean_of_a_weight_is_not_shown(toy, toy_file):
    table = dictionary(ingest([toy_file({}, {"wt": "30"})], toy, "households"), toy, "households")
    line = next(x for x in page_of("Toy", "", table).splitlines() if "<code>weight</code>" in x)
    assert "mean" not in line


def test_the_page_names_the_files_and_with_them_their_version(toy, toy_file):
    table = dictionary(ingest([toy_file({})], toy, "households"), toy, "households")
    assert "Codebook. Files: public_v4.csv." in page_of("Toy", "Codebook", table, files=["public_v4.csv"])


def test_the_mean_is_of_those_to_whom_the_question_was_put(toy, toy_file, tmp_path):
    rents = (
        {"RENT": "500", "ADJ": "1000000"},
        {"RENT": "", "wt": "70"},
        {"RENT": "-2"},
        {"RENT": "1", "wt": "30"},
    )
    ingested, report = ingest_with_report([toy_file(*rents)], toy, "households")
    outside = outside_universe(report.unasked, ingested)
    assert outside == {"rent": (2, 80.0)}
    write_table(tmp_path / "households.parquet", ingested, {OUTSIDE: outside})
    described = dictionary(TableRef(tmp_path / "households.parquet"), toy, "households")
    row = next(r for r in described.to_pylist() if r["variable"] == "rent")
    # Code 1 is an answer of 0 dollars, and counts; a skip is 0 too, and does not.
    assert row["weighted_mean"] == pytest.approx((10 * 500 + 30 * 0) / 40)
    assert (row["n"], row["n_outside"]) == (4, 2)
    assert "2 not asked" in page_of("Toy", "", described)
    # Of rows that were dropped after ingestion nothing counts.
    kept = np.array([True, False, True, True])
    assert outside_universe(report.unasked, ingested.filter(pa.array(kept)), kept) == {"rent": (1, 10.0)}


def test_a_question_that_was_put_to_nobody_has_no_mean(toy, toy_file, tmp_path):
    ingested, report = ingest_with_report([toy_file({"RENT": ""}, {"RENT": ""})], toy, "households")
    origins = {OUTSIDE: outside_universe(report.unasked, ingested)}
    write_table(tmp_path / "households.parquet", ingested, origins)
    described = dictionary(TableRef(tmp_path / "households.parquet"), toy, "households")
    row = next(r for r in described.to_pylist() if r["variable"] == "rent")
    assert (row["n_outside"], row["weighted_mean"]) == (2, None)
