"""Parquet keeps levels, order, nulls and provenance; damage is named."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusion_pipeline.errors import StorageError
from fusion_pipeline.storage.tables import TableRef, categorical, read_table, table_digest, write_table

LEVELS = ["none", "some", "all"]


def table(codes: list[int], numbers: list[float | None]) -> pa.Table:
    return pa.table(
        {
            "share": categorical(np.array(codes, dtype=int), LEVELS, ordered=True),
            "amount": pa.array(numbers, pa.float32()),
        }
    )


rows = st.lists(
    st.tuples(st.integers(-1, 2), st.one_of(st.none(), st.floats(-1e6, 1e6, width=32))), max_size=30
)


@given(rows)
def test_table_comes_back_as_written_even_with_levels_that_never_occur(tmp_path_factory, drawn) -> None:
    path = tmp_path_factory.mktemp("t") / "t.parquet"
    written = table([code for code, _ in drawn], [number for _, number in drawn])
    write_table(path, written, {"asset": "a"})
    back = read_table(path)
    assert back.equals(written.combine_chunks()) or back.to_pydict() == written.to_pydict()
    assert back.schema.field("share").type.ordered
    assert TableRef(path).levels("share") == LEVELS
    assert back.to_pandas()["share"].cat.categories.tolist() == LEVELS
    assert table_digest(back) == table_digest(written)
    assert TableRef(path).provenance == {"asset": "a"}


def test_digest_ignores_chunking_and_sees_values_levels_and_names() -> None:
    whole = table([0, 1, 2, -1], [1, 2, 3, None])
    chunked = pa.concat_tables([whole.slice(0, 1), whole.slice(1)])
    assert table_digest(whole) == table_digest(chunked)
    assert table_digest(whole) != table_digest(table([0, 1, 2, -1], [1, 2, 4, None]))
    assert table_digest(whole) != table_digest(whole.rename_columns(["share", "sum"]))
    other = whole.set_column(
        0, "share", categorical(np.array([0, 1, 2, -1]), [*LEVELS, "more"], ordered=True)
    )
    assert table_digest(whole) != table_digest(other)


def test_same_table_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_table(tmp_path / name, table([0, 1], [1, 2]), {"asset": "x"})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_batches_cover_the_table_in_order_with_its_levels(tmp_path: Path) -> None:
    written = table([0, 1, 2, -1, 0], [1, 2, 3, 4, 5])
    write_table(tmp_path / "t", written)
    batches = list(TableRef(tmp_path / "t").batches(2, ["amount", "share"]))
    assert [b.num_rows for b in batches] == [2, 2, 1]
    assert pa.concat_tables(batches).select(["share", "amount"]).to_pydict() == written.to_pydict()


def test_truncated_parquet_is_named_with_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    write_table(path, table([0, 1], [1, 2]))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(StorageError, match=r"t\.parquet: is not a readable Parquet file.*materialize"):
        read_table(path)


@pytest.mark.parametrize(
    "read",
    [lambda t: t.read(), lambda t: list(t.batches(100)), lambda t: list(t.row_groups())],
    ids=["read", "batches", "row_groups"],
)
def test_damage_inside_a_file_is_named_however_it_is_read(tmp_path: Path, read) -> None:
    path = tmp_path / "t.parquet"
    numbers = np.random.default_rng(1).normal(size=5_000)
    write_table(path, pa.table({"amount": numbers}))
    content = bytearray(path.read_bytes())
    content[4:400] = bytes(396)
    path.write_bytes(content)
    with pytest.raises(StorageError, match=r"t\.parquet: is not a readable Parquet file"):
        read(TableRef(path))


def test_missing_file_and_missing_column_are_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"nowhere.*does not exist.*Materialize"):
        read_table(tmp_path / "nowhere")
    write_table(tmp_path / "t", table([0], [1]))
    with pytest.raises(StorageError, match=r"column income.*is not in the table"):
        read_table(tmp_path / "t", ["income"])


@pytest.mark.parametrize("levels", [[1, 2, 30], [0.5, 2.0], [False, True], ["b", "a"]])
@pytest.mark.parametrize("ordered", [True, False])
def test_levels_of_any_type_and_their_order_come_back(tmp_path, levels, ordered):
    values = pd.Categorical([levels[-1], None, levels[0]], categories=levels, ordered=ordered)
    write_table(tmp_path / "t.parquet", pa.table({"v": pa.array(values)}))
    handle = TableRef(tmp_path / "t.parquet")
    for frame in (handle.to_pandas(), next(handle.batches(3)).to_pandas()):
        assert frame["v"].tolist()[::2] == [levels[-1], levels[0]]
        assert frame["v"].isna().tolist() == [False, True, False]
        assert frame["v"].cat.categories.tolist() == levels
        assert frame["v"].cat.ordered == ordered
    assert handle.levels("v") == [str(level) for level in levels]
