"""Arrow tables on disk: Parquet with full level lists and provenance, and handles that read on demand.

Belongs here: the one way tables are written, read and hashed. Does not belong here: what a table means
(`surveys`, `harmonize`, `geography`, `fusion`) or where it lies (`layout.py`).

A categorical column is an Arrow dictionary with its levels in order; `ordered` says whether the order means
anything. Parquet keeps only the levels that occur, and that a column is a category only if its levels are text, so the
full list travels in the field's metadata.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fusion_pipeline.errors import StorageError
from fusion_pipeline.storage.atomic import atomic_file

PROVENANCE = b"fusion_pipeline"
LEFT_OUT = "left out"
"""Part of a provenance: kind -> name -> why the table lacks what was declared, such as a harmony."""
IMPUTED, OUTSIDE = "imputed", "outside"
"""Part of a provenance: name -> missing answers that were filled in the column."""
_LEVELS, _ORDERED = b"levels", b"ordered"


def categorical(
    codes: np.ndarray, levels: Sequence[str], *, ordered: bool = False, kind: pa.DataType | None = None
) -> pa.DictionaryArray:
    """Build a categorical column.

    Parameters
    ----------
    codes : (n,) integer array
        0-based positions in `levels`; negative means missing.
    levels : sequence of str
        Every level there can be, in order.
    ordered : bool
        Whether the order means anything.
    kind : pyarrow.DataType, optional
        What the levels are, written as text; without it, text.
    """
    integer = next(t for t in (pa.int8(), pa.int16(), pa.int32()) if len(levels) < 1 << (t.bit_width - 1))
    indices = pa.array(np.asarray(codes), mask=np.asarray(codes) < 0).cast(integer)
    names = pa.array(list(levels), pa.string()).cast(kind or pa.string())
    return pa.DictionaryArray.from_arrays(indices, names, ordered=ordered)


def levels_of(column: pa.ChunkedArray | pa.Array) -> list[str]:
    """Return the full, ordered level list of a categorical column."""
    if isinstance(column, pa.ChunkedArray):
        if column.num_chunks == 0:
            return []
        column = column.chunk(0)
    return column.dictionary.to_pylist()


def codes_of(column: pa.ChunkedArray) -> np.ndarray:
    """Return the 0-based positions in the levels, -1 for missing."""
    codes = [chunk.indices.fill_null(-1).to_numpy() for chunk in column.unify_dictionaries().chunks]
    return np.concatenate([np.empty(0, dtype=np.int64), *codes])


def write_table(path: Path, table: pa.Table, provenance: Mapping[str, Any] | None = None) -> None:
    """Write a table atomically; the same table and provenance give the same bytes."""
    with atomic_file(path) as temporary:
        pq.write_table(encode(table, provenance), temporary, compression="zstd", row_group_size=1 << 17)


def encode(table: pa.Table, provenance: Mapping[str, Any] | None = None) -> pa.Table:
    """Put level lists and provenance into the schema, where Parquet keeps them."""
    table = table.unify_dictionaries()
    fields = []
    for field, column in zip(table.schema, table.columns, strict=True):
        if pa.types.is_dictionary(field.type):
            told = {_LEVELS: json.dumps([str(level) for level in levels_of(column)]).encode()}
            if not _is_text(field.type.value_type):
                told[_ORDERED] = json.dumps(field.type.ordered).encode()
            field = field.with_metadata(told)
        fields.append(field)
    metadata = {PROVENANCE: json.dumps(dict(provenance or {}), sort_keys=True).encode()}
    return table.cast(pa.schema(fields)).replace_schema_metadata(metadata)


def read_table(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a table, or some of its columns, with the levels it was written with."""
    return TableRef(path).read(columns)


@dataclass(frozen=True)
class TableRef:
    """A table on disk that is read when, and as far as, it is needed."""

    path: Path

    @property
    def schema(self) -> pa.Schema:
        """Arrow schema, with level lists in the fields' metadata."""
        return self._open().schema_arrow

    @property
    def columns(self) -> list[str]:
        """Column names in order."""
        return self.schema.names

    @property
    def num_rows(self) -> int:
        """Number of rows, from the file's footer."""
        return self._open().metadata.num_rows

    @property
    def provenance(self) -> dict[str, Any]:
        """What the writer recorded: asset, partition, source, code version, versions of the inputs."""
        return json.loads((self.schema.metadata or {}).get(PROVENANCE, b"{}"))

    def levels(self, column: str) -> list[str]:
        """Return the full level list of a categorical column, as text, without reading rows."""
        return json.loads((self.schema.field(column).metadata or {})[_LEVELS])

    def read(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Read all columns, or those named, in the order named."""
        file = self._open()
        schema = file.schema_arrow
        names = schema.names
        if columns is not None and (absent := [c for c in columns if c not in names]):
            raise StorageError(
                f"{self.path}, column {absent[0]}",
                f"is not in the table (it has {', '.join(names[:12])} ...).",
                "Ask for a column it has, or materialize the asset that adds it.",
            )
        table = self._told(file.read, columns=list(columns) if columns is not None else None)
        table = _restore_levels(table, schema)
        return table.select(list(columns)) if columns is not None else table

    def to_pandas(self, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """Read into a frame; categorical columns keep all levels and their order."""
        return self.read(columns).to_pandas()

    def batches(self, rows: int, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """Read in blocks of at most `rows` rows, in order."""
        file = self._open()
        batches = file.iter_batches(batch_size=rows, columns=list(columns) if columns is not None else None)
        while (batch := self._told(next, batches, None)) is not None:
            table = _restore_levels(pa.Table.from_batches([batch]), file.schema_arrow)
            yield table.select(list(columns)) if columns is not None else table

    def row_groups(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """Read the row groups, as the writer made them, in order."""
        file = self._open()
        for number in range(file.num_row_groups):
            table = self._told(
                file.read_row_group, number, columns=list(columns) if columns is not None else None
            )
            table = _restore_levels(table, file.schema_arrow)
            yield table.select(list(columns)) if columns is not None else table

    def _told(self, read: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """Read a part of the file; what is damaged in it names the file."""
        try:
            return read(*arguments, **named)
        except (pa.ArrowInvalid, OSError) as error:
            raise _damaged(self.path, error) from error

    def _open(self) -> pq.ParquetFile:
        try:
            return pq.ParquetFile(self.path)
        except FileNotFoundError as error:
            raise StorageError(
                str(self.path), "does not exist.", "Materialize the asset and partition it belongs to first."
            ) from error
        except (pa.ArrowInvalid, OSError) as error:
            raise _damaged(self.path, error) from error


def table_digest(table: pa.Table) -> str:
    """Hash a table's names, types, levels and values: equal content, equal digest, whatever the chunking."""
    digest = hashlib.sha256()
    for name, column in zip(table.column_names, table.unify_dictionaries().columns, strict=True):
        digest.update(f"{name}:{column.type}".encode())
        if pa.types.is_dictionary(column.type):
            digest.update(json.dumps(levels_of(column), default=str).encode())
        if pa.types.is_nested(column.type):
            digest.update(json.dumps(column.to_pylist()).encode())
            continue
        # Through pandas' row hash: Arrow's buffers differ with offsets and padding though the values are equal.
        values = column.to_pandas()
        digest.update(pd.util.hash_pandas_object(values, index=False).to_numpy().tobytes())
    return digest.hexdigest()[:32]


def _restore_levels(table: pa.Table, schema: pa.Schema) -> pa.Table:
    for position, name in enumerate(table.column_names):
        field, column = schema.field(name), table.column(position)
        told = field.metadata or {}
        if _LEVELS not in told:
            continue
        levels = json.loads(told[_LEVELS])
        if pa.types.is_dictionary(field.type):
            codes = pd.Categorical(column.to_pandas(), categories=levels).codes
            array = categorical(codes, levels, ordered=field.type.ordered)
        else:
            known = pa.array(levels, pa.string()).cast(field.type)
            codes = pc.fill_null(pc.index_in(column, known), -1).to_numpy()
            array = categorical(codes, levels, ordered=json.loads(told[_ORDERED]), kind=field.type)
        table = table.set_column(position, pa.field(name, array.type), array)
    return table.replace_schema_metadata(None)


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _damaged(path: Path, error: Exception) -> StorageError:
    return StorageError(
        str(path),
        f"is not a readable Parquet file ({error}).",
        "Delete it and materialize its asset again; its inputs are untouched.",
    )
