"""Rows found by their keys."""

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from fusion_pipeline.keys import positions, row_positions
from fusion_pipeline.storage.tables import categorical


@given(known=st.lists(st.integers(0, 30), unique=True), wanted=st.lists(st.integers(0, 30)))
def test_every_wanted_key_is_found_where_it_stands_or_is_unknown(known, wanted) -> None:
    found = positions(np.array(known, dtype=np.int64), np.array(wanted, dtype=np.int64))
    assert found.tolist() == [known.index(key) if key in known else -1 for key in wanted]


def test_rows_are_found_by_all_their_keys_and_categories_by_label() -> None:
    known = pa.table({"survey": categorical(np.array([0, 1, 0]), ["A", "B"]), "hid": [1, 1, 2]})
    wanted = pa.table({"survey": categorical(np.array([1, 0, 0]), ["B", "A"]), "hid": [2, 1, 1]})
    assert row_positions(known, wanted, ["survey", "hid"]).tolist() == [2, 1, 1]
    assert row_positions(
        known, wanted.slice(0, 1).set_column(0, "survey", [["C"]]), ["survey", "hid"]
    ).tolist() == [-1]
