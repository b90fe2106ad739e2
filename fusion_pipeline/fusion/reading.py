"""Reading implicates back: some of them, some columns, some households, without reading the rest.

Belongs here: `read_fused`. Does not belong here: writing (`fusing.py`), estimates (`inference/`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa

from fusion_pipeline.errors import StorageError
from fusion_pipeline.fusion.arguments import implicate_numbers, listed
from fusion_pipeline.fusion.fusing import implicate_file
from fusion_pipeline.storage.tables import TableRef

if TYPE_CHECKING:
    import duckdb

Keys: TypeAlias = pd.DataFrame | pa.Table | Mapping[str, Sequence[Any]]
_ROWS = 1 << 17
_FORMS = ("arrow", "pandas", "batches", "duckdb")
_REMEDY = "Fuse it with `fuse(..., out=...)`, or correct the folder."


def read_fused(
    path: Path | str,
    *,
    implicates: int | Sequence[int] | None = None,
    columns: Sequence[str] | None = None,
    keys: Keys | None = None,
    to: Literal["arrow", "pandas", "batches", "duckdb"] = "arrow",
) -> Any:
    """Read implicates that `fuse` wrote.

    Parameters
    ----------
    path : Path
        Folder of ``implicate=07/part-0.parquet``.
    implicates : int or sequence of int, optional
        The first so many, or 1-based numbers; all without it.
    columns : sequence of str, optional
        In the order wanted; all without it.
    keys : frame, table or mapping of column to values, optional
        Only rows whose values in these columns are a row of it, such as ``{"hid": [7, 9]}``. The columns need not be
        among `columns`.
    to : "arrow", "pandas", "batches" or "duckdb"
        A table or a frame; an iterator of tables of at most 131,072 rows, read when asked for; or a DuckDB
        relation that is read when it is used (categories are text there).

    Returns
    -------
    Column `implicate` (int16), then the columns; rows by implicate, then as in the recipient.

    Raises
    ------
    StorageError
        If an implicate, column or key is not there, or the implicates were drawn from different model sets, seeds or
        recipients; the message names it and lists those that are.

    Examples
    --------
    >>> import fusion_pipeline as fp, tempfile
    >>> donor, recipient = fp.example_tables()
    >>> folder = tempfile.mkdtemp()
    >>> models = fp.train(donor, y=["size"], x=["group"], weight="weight", out=f"{folder}/models", leaves=[4])
    >>> _ = fp.fuse(recipient, models, implicates=3, out=f"{folder}/fused")
    >>> table = fp.read_fused(f"{folder}/fused", implicates=[2, 3], columns=["size"], keys={"hid": [1000, 1001]})
    >>> table.column_names, table["implicate"].to_pylist()
    (['implicate', 'size'], [2, 2, 3, 3])
    """
    if to not in _FORMS:
        raise StorageError("read_fused, to", f"is {to!r}.", f"Choose one of {', '.join(_FORMS)}.")
    files = _files(Path(path), implicates)
    _check_origin(files)
    wanted = _keys(keys)
    first = TableRef(next(iter(files.values())))
    names = first.columns if columns is None else listed("read_fused, columns", columns, StorageError)
    for name in (*names, *(wanted.columns if wanted is not None else ())):
        if name not in first.columns:
            raise StorageError(
                f"{first.path}, column {name}",
                f"is not there (it has {', '.join(first.columns)}).",
                "Choose one it has.",
            )
    if to == "duckdb":
        return _relation(files, names, wanted)
    parts = _batches(files, names, wanted)
    if to == "batches":
        return parts
    whole = pa.concat_tables(parts)
    return whole.to_pandas() if to == "pandas" else whole


def _files(folder: Path, implicates: int | Sequence[int] | None) -> dict[int, Path]:
    there = {
        int(file.parent.name.removeprefix("implicate=")): file
        for file in sorted(folder.glob("implicate=*/part-0.parquet"))
    }
    if not there:
        raise StorageError(str(folder), "holds no implicates.", _REMEDY)
    numbers = sorted(there)
    if implicates is not None:
        numbers = implicate_numbers("read_fused, implicates", implicates, StorageError)
    if absent := [m for m in numbers if m not in there]:
        raise StorageError(
            str(implicate_file(folder, absent[0])),
            f"is not there ({len(there)} implicates are: {', '.join(map(str, sorted(there)))}).",
            _REMEDY,
        )
    return {m: there[m] for m in numbers}


def _check_origin(files: Mapping[int, Path]) -> None:
    """Refuse implicates that are not of one fusion."""
    origins: dict[str, list[Path]] = {}
    for file in files.values():
        told = {k: v for k, v in TableRef(file).provenance.items() if k not in ("implicate", "fingerprint")}
        origins.setdefault(json.dumps(told, sort_keys=True), []).append(file)
    if len(origins) > 1:
        first, other = list(origins.values())[:2]
        one, another = (json.loads(text) for text in list(origins)[:2])
        differ = [name for name in {**one, **another} if one.get(name) != another.get(name)]
        raise StorageError(
            ", ".join(str(file) for file in other),
            f"differs from {', '.join(str(file) for file in first)} in {', '.join(differ)}: not one fusion.",
            "Fuse them again together, remove those left over, or choose among them by `implicates`.",
        )


def _keys(keys: Keys | None) -> pd.DataFrame | None:
    if keys is None:
        return None
    frame = keys.to_pandas() if isinstance(keys, pa.Table) else pd.DataFrame(keys)
    return frame.drop_duplicates()


def _batches(
    files: Mapping[int, Path], names: Sequence[str], keys: pd.DataFrame | None
) -> Iterator[pa.Table]:
    own = [] if keys is None else list(keys.columns)
    for number, file in files.items():
        for batch in TableRef(file).batches(_ROWS, list(dict.fromkeys([*names, *own]))):
            if keys is not None:
                batch = batch.filter(pa.array(_is_wanted(batch, keys)))
            numbers = pa.array(np.full(batch.num_rows, number, dtype=np.int16))
            yield batch.select(list(names)).add_column(0, "implicate", numbers)


def _is_wanted(batch: pa.Table, keys: pd.DataFrame) -> np.ndarray:
    def plain(values: pd.Series) -> pd.Series:
        return values.astype(object) if isinstance(values.dtype, pd.CategoricalDtype) else values

    rows = pd.DataFrame({name: plain(batch[name].to_pandas()) for name in keys.columns})
    wanted = pd.DataFrame({name: plain(keys[name]) for name in keys.columns})
    if len(keys.columns) == 1:
        return rows.iloc[:, 0].isin(wanted.iloc[:, 0]).to_numpy()
    return pd.MultiIndex.from_frame(rows).isin(pd.MultiIndex.from_frame(wanted))


def _relation(
    files: Mapping[int, Path], names: Sequence[str], keys: pd.DataFrame | None
) -> duckdb.DuckDBPyRelation:
    import duckdb

    def quoted(name: str) -> str:
        return '"' + name.replace('"', '""') + '"'

    connection = duckdb.connect()
    relation = connection.read_parquet([str(file) for file in files.values()], hive_partitioning=True)
    if keys is not None:
        connection.register("wanted", pa.Table.from_pandas(keys, preserve_index=False))
        same = " AND ".join(f"fused.{quoted(n)} = wanted.{quoted(n)}" for n in keys.columns)
        relation = relation.set_alias("fused").filter(f"EXISTS (SELECT 1 FROM wanted WHERE {same})")
    return relation.project(", ".join(['CAST("implicate" AS SMALLINT) AS "implicate"', *map(quoted, names)]))
