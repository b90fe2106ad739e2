"""Records of one year in a file of several, converted to the layout of that year."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusion_pipeline.raw.entries import Excerpt, FoldedFlag
from fusion_pipeline.surveys.excerpts import excerpt
from fusion_pipeline.surveys.ingest import ingest_with_report

OF_2017 = Excerpt(
    begins={"id": "2017"}, times={"WT*": 5}, fold={"RENT": FoldedFlag(flag="UNUSED", amount="x")}
)


def ingest(toy, part):
    return ingest_with_report([replace(part, excerpt=OF_2017)], toy, "households")


def test_records_of_other_years_are_dropped_and_counted(toy, toy_file):
    table, report = ingest(toy, toy_file({"ID": "2016001"}, {"ID": "2017001"}, {"ID": "2017002"}))
    assert table["hid"].to_pylist() == [2017001, 2017002]
    assert (report.rows_read, report.rows_kept) == (3, 2)
    assert dict(report.dropped) == {"not of the excerpt in which id begins with 2017": 1}


def test_weights_of_one_year_represent_all_households(toy, toy_file):
    table, _ = ingest(toy, toy_file({"ID": "2017001"}))
    assert [table[name].to_pylist() for name in ("weight", "rep_1", "rep_2")] == [[50.0], [25.0], [75.0]]


def test_codes_of_a_flag_stand_in_for_the_amount_where_it_holds_none(toy, toy_file):
    cells = [("500", "x"), ("", "1"), ("", "2"), ("500", " "), ("", "")]
    rows = [
        {"ID": f"2017{i}", "RENT": amount, "UNUSED": flag} for i, (amount, flag) in enumerate(cells, start=1)
    ]
    # Codes 1 and 2 of the rent mean 0 and 40; a blank is a skip.
    assert ingest(toy, toy_file(*rows))[0]["rent"].to_pylist() == [550, 0, 40, 550, 0]


def test_an_excerpt_says_by_which_column_its_records_are_known():
    with pytest.raises(ValueError, match="begins"):
        Excerpt(begins={})


@given(cells=st.lists(st.one_of(st.integers(-(10**14), 10**14).map(str), st.text("0x. -", max_size=4))))
def test_whole_numbers_are_multiplied_and_other_texts_stay(cells):
    batch = pa.record_batch(
        {"ID": pa.array(["2017"] * len(cells), pa.string()), "wt": pa.array(cells, pa.string())}
    )
    wanted = Excerpt(begins={"ID": "2017"}, times={"WT": 5})
    for before, after in zip(cells, excerpt(batch, wanted)["wt"].to_pylist(), strict=True):
        try:
            assert int(after) == 5 * int(before)
        except ValueError:
            assert after == before
