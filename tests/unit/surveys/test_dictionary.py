from __future__ import annotations

import re

import pytest

from fusion_pipeline.harmonize import load_harmonies
from fusion_pipeline.surveys.dictionary import dictionary
from fusion_pipeline.surveys.dictionary_page import page_of
from fusion_pipeline.surveys.ingest import ingest


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


def test_the_page_holds_every_variable_its_search_and_no_outside_address(toy, toy_file):
    table = dictionary(ingest([toy_file({"FUEL": "2"})], toy, "households"), toy, "households")
    page = page_of("Toy 2015", "A <codebook>", table)
    assert all(f"<code>{name}</code>" in page for name in table["variable"].to_pylist())
    assert "A &lt;codebook&gt;" in page and "<script>" in page
    assert not re.search(r"https?://|src=|href=", page)


def test_the_page_shows_both_sides_of_a_harmony_in_one_row(toy, toy_file):
    table = dictionary(ingest([toy_file({})], toy, "households"), toy, "households")
    page = page_of("RECS 2015", "", table, [load_harmonies("RECS", "2015", "2015")])
    assert "<td><code>kownrent</code></td><td><code>ten</code></td>" in page
    assert "<td>Rented</td><td>Rented</td>" in page
