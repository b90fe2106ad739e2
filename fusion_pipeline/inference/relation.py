"""Implicates joined with the recipient's own columns, as one DuckDB relation that need not fit in memory.

Belongs here: opening, joining, and knowing the columns and their levels. Does not belong here: estimates
(`analyze.py`), comparisons (`validation`).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import duckdb
import pandas as pd
import pyarrow as pa

from fusion_pipeline.errors import AnalysisError
from fusion_pipeline.storage.tables import TableRef, levels_of

Implicates: TypeAlias = pa.Table | Path | Sequence[Path]
KEYS = ("year", "hid", "pid")
IMPLICATE = "implicate"
_UNFIT = (
    duckdb.IOException,
    duckdb.InvalidInputException,
    duckdb.ConversionException,
    duckdb.BinderException,
)
"""What DuckDB raises when files are missing, damaged or of different columns."""


@dataclass(frozen=True)
class Column:
    """A column that can be analysed."""

    name: str
    sql: str
    """Expression: DOUBLE for numbers, VARCHAR for categories, text and truth values."""
    numeric: bool
    native: str
    """Expression in the column's own type."""
    levels: tuple[str, ...] | None
    """All levels in order, when the table states them."""
    ordered: bool = False


@dataclass(frozen=True)
class FusedRelation:
    """An open connection, the joined relation and its columns."""

    connection: duckdb.DuckDBPyConnection
    source: str
    """What follows FROM in a query."""
    columns: dict[str, Column]

    def column(self, name: str, purpose: str) -> Column:
        """Look a column up.

        Raises
        ------
        AnalysisError
            Listing the columns there are.
        """
        if name not in self.columns:
            raise AnalysisError(
                f"{purpose} {name}",
                "is neither in the implicates nor in the static table.",
                f"Choose among: {listing(self.columns)}.",
            )
        return self.columns[name]

    def query(self, sql: str) -> pd.DataFrame:
        """Run a query.

        Raises
        ------
        AnalysisError
            If a file is damaged or memory does not suffice.
        """
        try:
            return self.connection.sql(sql).df()
        except duckdb.OutOfMemoryException as error:
            raise AnalysisError(
                "analysis",
                f"does not fit in the memory limit ({_first_line(error)}).",
                "Raise FUSION_MEMORY_LIMIT.",
            ) from error
        except _UNFIT as error:
            raise AnalysisError(
                "implicates and static table",
                f"cannot be read as one relation ({_first_line(error)}).",
                "Check that all implicates come from one complete run of fusing.",
            ) from error


@contextmanager
def open_fused(
    implicates: Implicates,
    static: pa.Table | TableRef | None,
    *,
    memory_limit: int | str | None = None,
    threads: int | None = None,
) -> Iterator[FusedRelation]:
    """Open implicates and join the static table on `year`, `hid` and, where both have it, `pid`.

    Parameters
    ----------
    implicates : pa.Table with column `implicate`, Path or sequence of Path
        A folder with a dataset `implicate=NN/part-0.parquet`, or some of its files.
    static : pa.Table or TableRef, optional
        The recipient: weights and the columns that were not fused. Fused columns win where names clash.
        Implicate rows without a partner are left out, so that a part of the recipient can be analysed.
    memory_limit : int (bytes) or str such as "2GiB", optional
        Beyond it DuckDB spills to a temporary folder, which is removed at the end.

    Raises
    ------
    AnalysisError
        If there are no implicates, the tables share no key, or the static table repeats a key.
    """
    with tempfile.TemporaryDirectory(prefix="fusion-analysis-") as spill:
        config: dict[str, str | bool | int] = {"temp_directory": spill, "preserve_insertion_order": False}
        if memory_limit is not None:
            config["memory_limit"] = f"{memory_limit}B" if isinstance(memory_limit, int) else memory_limit
        if threads is not None:
            config["threads"] = threads
        connection = duckdb.connect(config=config)  # type: ignore[arg-type]
        try:
            yield _join(connection, implicates, static)
        finally:
            connection.close()


def quoted(name: str) -> str:
    """Quote an identifier for SQL."""
    return '"' + name.replace('"', '""') + '"'


def listing(names: Sequence[str] | dict[str, Column], most: int = 40) -> str:
    """List names for a message."""
    names = [name for name in names if not name.startswith("rep_")]
    return ", ".join(names[:most]) + (f" ... ({len(names)} in all)" if len(names) > most else "")


def _join(
    connection: duckdb.DuckDBPyConnection, implicates: Implicates, static: pa.Table | TableRef | None
) -> FusedRelation:
    fused, source = _implicates(connection, implicates)
    if static is None:
        return FusedRelation(connection, source, fused)
    if isinstance(static, TableRef):
        own = _columns(static.schema, "s", {n: tuple(static.levels(n)) for n in _dictionaries(static.schema)})
        scan = f"read_parquet({_text(str(static.path))})"
    else:
        static = static.unify_dictionaries()
        own = _columns(static.schema, "s", _levels_in(static))
        connection.register("static_table", static)
        scan = "static_table"
    shared = [key for key in KEYS if key in fused and key in own]
    if "hid" not in shared:
        raise AnalysisError(
            "static table",
            f"cannot be joined: implicates have {listing(fused)}, the static table has {listing(own)}.",
            "Both need hid (and year, pid where there are several); retain hid when fusing.",
        )
    result = FusedRelation(connection, "", own)
    unique = ", ".join(quoted(key) for key in KEYS if key in own)
    repeated = result.query(f"SELECT {unique} FROM {scan} GROUP BY ALL HAVING count(*) > 1 LIMIT 1")
    if len(repeated):
        raise AnalysisError(
            "static table",
            f"has more than one row with {repeated.iloc[0].to_dict()}, which would count weights repeatedly.",
            "Give one row a household (or person).",
        )
    using = " AND ".join(f"i.{quoted(key)} = s.{quoted(key)}" for key in shared)
    left = {name: column for name, column in own.items() if name not in fused}
    return FusedRelation(connection, f"{source} JOIN {scan} AS s ON {using}", {**fused, **left})


def _implicates(
    connection: duckdb.DuckDBPyConnection, implicates: Implicates
) -> tuple[dict[str, Column], str]:
    if isinstance(implicates, pa.Table):
        implicates = implicates.unify_dictionaries()
        connection.register("implicate_table", implicates)
        columns = _columns(implicates.schema, "i", _levels_in(implicates))
        if IMPLICATE not in columns:
            raise AnalysisError(
                "implicates", f"have no column {IMPLICATE}, only {listing(columns)}.", "Add it."
            )
        return columns, "implicate_table AS i"
    files = sorted(
        implicates.glob(f"{IMPLICATE}=*/*.parquet") if isinstance(implicates, Path) else implicates
    )
    if not files:
        raise AnalysisError(
            str(implicates), "holds no implicates (implicate=NN/part-0.parquet).", "Fuse the pair first."
        )
    first = TableRef(files[0])
    schema = first.schema.append(pa.field(IMPLICATE, pa.int32()))
    columns = _columns(schema, "i", {name: tuple(first.levels(name)) for name in _dictionaries(schema)})
    names = ", ".join(_text(str(file)) for file in files)
    hive = f"hive_partitioning = true, hive_types = {{{_text(IMPLICATE)}: INTEGER}}"
    return columns, f"read_parquet([{names}], {hive}) AS i"


def _columns(schema: pa.Schema, alias: str, levels: dict[str, tuple[str, ...]]) -> dict[str, Column]:
    found = {}
    for field in schema:
        native = f"{alias}.{quoted(field.name)}"
        floating = pa.types.is_floating(field.type)
        numeric = floating or pa.types.is_integer(field.type) or pa.types.is_decimal(field.type)
        sql = f"CAST({native} AS {'DOUBLE' if numeric else 'VARCHAR'})"
        if floating:
            # pandas writes missing numbers as NaN, which would make every sum NaN.
            sql = f"nullif({sql}, 'nan'::DOUBLE)"
        ordered = pa.types.is_dictionary(field.type) and field.type.ordered
        found[field.name] = Column(
            field.name, sql, numeric, native if numeric else sql, levels.get(field.name), ordered
        )
    return found


def _dictionaries(schema: pa.Schema) -> list[str]:
    return [f.name for f in schema if pa.types.is_dictionary(f.type) and b"levels" in (f.metadata or {})]


def _levels_in(table: pa.Table) -> dict[str, tuple[str, ...]]:
    names = [f.name for f in table.schema if pa.types.is_dictionary(f.type)]
    return {name: tuple(map(str, levels_of(table.column(name)))) for name in names}


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
