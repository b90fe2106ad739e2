"""Implicates joined with the recipient's own columns, as one DuckDB relation that need not fit in memory.

Belongs here: opening, joining (also several donors' implicates on the same households), and knowing the columns,
their levels and where they come from. Does not belong here: estimates (`analyze.py`), comparisons
(`validation`).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
from pydantic import ByteSize, TypeAdapter

from fusion_pipeline.errors import AnalysisError, choose_among, listing
from fusion_pipeline.inference.given import IMPLICATE, Implicates, Recipient, recipient_of, surveys_of
from fusion_pipeline.storage.tables import TableRef, levels_of

KEYS = ("year", "hid", "pid")
NEST = "nest"
"""Column (or folder `nest=N`) of implicates that come in nests: completed data sets with synthetic ones of each."""
ROW = "file_row_number"
"""Number of a row of the static table, from 0; DuckDB's own name for it."""
STATIC = "static table"
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
    """Expression in the column's own type: whole numbers and truth values as they are, else as in `sql`."""
    levels: tuple[str, ...] | None
    """All levels in order, when the table states them."""
    ordered: bool = False
    origin: str = ""
    """Name of the fused survey it comes from; `STATIC` for the recipient's own."""


@dataclass(frozen=True)
class FusedRelation:
    """An open connection, the joined relation and its columns."""

    connection: duckdb.DuckDBPyConnection
    source: str
    """What follows FROM in a query."""
    columns: dict[str, Column]
    fused: tuple[str, ...] = ()
    """What follows FROM for the implicates of each survey alone."""
    own: str | None = None
    """What follows FROM for the static table alone; its rows are numbered by `ROW`."""
    one_to_one: bool = False
    """Whether an implicate has every row of the static table once: both have the same keys."""
    spill: Path = Path()
    """Temporary folder, removed at the end."""

    def members(self) -> tuple[list[tuple[int, ...]], str]:
        """Find the implicates, as (nest, implicate) or (implicate,), and say in words if some are left out.

        Raises
        ------
        AnalysisError
            If their numbers have a gap, a record has none, or nests have different implicates.
        """
        names = [NEST, IMPLICATE] if NEST in self.columns else [IMPLICATE]
        listed = ", ".join(f"i.{quoted(name)}" for name in names)
        found = []
        for k, source in enumerate(self.fused):
            sql = f"SELECT DISTINCT {listed.replace('i.', f'{_alias(k)}.')} FROM {source} ORDER BY ALL"
            numbers = self.query(sql)
            if numbers.isna().to_numpy().any():
                raise AnalysisError(
                    f"implicates, column {' or '.join(names)}",
                    "has records without a number.",
                    "Give every record that of its implicate.",
                )
            found.append([tuple(int(v) for v in row) for row in numbers.to_numpy()])
        for members in found:
            _check_numbers(members)
        common = sorted(set(found[0]).intersection(*found))
        most = max(map(len, found))
        note = (
            ""
            if len(common) == most
            else f"surveys differ in implicates: the {len(common)} in common are used"
        )
        return common, note

    def column(self, name: str, purpose: str) -> Column:
        """Look a column up.

        Raises
        ------
        AnalysisError
            Naming columns that are spelled alike, or those there are.
        """
        if name not in self.columns:
            raise AnalysisError(
                f"{purpose} {name}",
                "is neither in the implicates nor in the static table.",
                choose_among(name, self.columns),
            )
        return self.columns[name]

    def query(self, sql: str) -> pd.DataFrame:
        """Run a query.

        Raises
        ------
        AnalysisError
            If a file is damaged or memory does not suffice.
        """
        with _explained():
            return self.connection.sql(sql).df()

    def arrow(self, sql: str) -> pa.Table:
        """Run a query whose result stays in Arrow; errors as in `query`."""
        with _explained():
            return self.connection.sql(sql).to_arrow_table()

    def batches(self, sql: str, rows: int = 1 << 16) -> Iterator[pa.RecordBatch]:
        """Run a query whose result comes in pieces; errors as in `query`."""
        with _explained():
            yield from self.connection.sql(sql).to_arrow_reader(rows)

    @property
    def memory(self) -> int:
        """Memory limit in bytes."""
        [[limit]] = self.connection.sql("SELECT current_setting('memory_limit')").fetchall()
        return int(TypeAdapter(ByteSize).validate_python(limit.replace(" ", "")))


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
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
    implicates: Implicates | Mapping[str, Implicates],
    static: Recipient | None,
    *,
    parts: str | None = None,
    memory_limit: int | str | None = None,
    threads: int | None = None,
) -> Iterator[FusedRelation]:
    """Open implicates and join the static table on `year`, `hid` and, where both have it, `pid`.

    Parameters
    ----------
    implicates : table with column `implicate`, folder or files, or a mapping of names to such
        A frame, Arrow table or DuckDB relation; the folder of a dataset `implicate=NN/part-0.parquet`, or some of
        its files. Several surveys fused onto the same households, by name, are joined household by household and
        implicate by implicate.
    static : frame, pa.Table or TableRef, optional
        The recipient: weights and the columns that were not fused. Fused columns win where names clash.
        Implicate rows without a partner are left out, so that a part of the recipient can be analysed.
    parts : str, optional
        Column of the static table that tells the rows of one household apart, such as the areas that share it.
    memory_limit : int (bytes) or str such as "2GiB", optional
        Beyond it DuckDB spills to a temporary folder, which is removed at the end.

    Raises
    ------
    AnalysisError
        If there are no implicates, the tables share no key, the static table repeats a key (within a part), or two
        surveys have a variable of the same name.
    """
    with tempfile.TemporaryDirectory(prefix="fusion-analysis-") as spill:
        config: dict[str, str | bool | int] = {"temp_directory": spill, "preserve_insertion_order": False}
        if memory_limit is not None:
            config["memory_limit"] = f"{memory_limit}B" if isinstance(memory_limit, int) else memory_limit
        if threads is not None:
            config["threads"] = threads
        connection = duckdb.connect(config=config)  # type: ignore[arg-type]
        try:
            own = None if static is None else recipient_of(static)
            yield replace(_join(connection, surveys_of(implicates), own, parts), spill=Path(spill))
        finally:
            connection.close()


def quoted(name: str) -> str:
    """Quote an identifier for SQL."""
    return '"' + name.replace('"', '""') + '"'


def _join(
    connection: duckdb.DuckDBPyConnection,
    surveys: Mapping[str, pa.Table | list[Path]],
    static: pa.Table | TableRef | None,
    parts: str | None,
) -> FusedRelation:
    fused, sources = _fused(connection, surveys)
    source = sources[0] + "".join(
        f" JOIN {scan} ON "
        + " AND ".join(
            f"i.{quoted(k)} = {_alias(n)}.{quoted(k)}"
            for k in (*KEYS, NEST, IMPLICATE)
            if k in fused[0] and k in fused[n]
        )
        for n, scan in enumerate(sources[1:], start=1)
    )
    columns: dict[str, Column] = {}
    for survey in reversed(fused):
        columns = {**survey, **{n: c for n, c in columns.items() if n not in survey}}
    if static is None:
        return FusedRelation(connection, source, columns, tuple(sources))
    if isinstance(static, TableRef):
        own = _columns(
            static.schema, "s", {n: tuple(static.levels(n)) for n in _dictionaries(static.schema)}, STATIC
        )
        scan = f"read_parquet({_text(str(static.path))}, {ROW} = true)"
    else:
        table: pa.Table = static.unify_dictionaries()
        own = _columns(table.schema, "s", _levels_in(table), STATIC)
        numbered = table.append_column(ROW, pa.array(np.arange(len(table))))
        connection.register("static_table", numbered)
        scan = "static_table"
    shared = [key for key in KEYS if key in columns and key in own]
    if "hid" not in shared:
        raise AnalysisError(
            "static table",
            f"cannot be joined: implicates have {listing(columns)}, the static table has {listing(own)}.",
            "Both need hid (and year, pid where there are several); retain hid when fusing.",
        )
    result = FusedRelation(connection, "", own)
    if parts is not None:
        result.column(parts, "parts")
    unique = ", ".join(quoted(key) for key in (*KEYS, *([parts] if parts else [])) if key in own)
    repeated = result.query(f"SELECT {unique} FROM {scan} GROUP BY ALL HAVING count(*) > 1 LIMIT 1")
    if len(repeated):
        raise AnalysisError(
            "static table",
            f"has more than one row with {repeated.iloc[0].to_dict()}, which would count weights repeatedly.",
            "Give one row a household (or person), or name the column that tells its rows apart with `parts`.",
        )
    using = " AND ".join(f"i.{quoted(key)} = s.{quoted(key)}" for key in shared)
    left = {name: column for name, column in own.items() if name not in columns}
    joined = f"{source} JOIN {scan} AS s ON {using}"
    alike = all(key in own for key in KEYS if key in columns) and parts is None
    return FusedRelation(
        connection, joined, {**columns, **left}, tuple(sources), f"{scan} AS s", one_to_one=alike
    )


def _fused(
    connection: duckdb.DuckDBPyConnection, surveys: Mapping[str, pa.Table | list[Path]]
) -> tuple[list[dict[str, Column]], list[str]]:
    fused: list[dict[str, Column]] = []
    sources: list[str] = []
    for number, (name, implicates) in enumerate(surveys.items()):
        columns, scan = _implicates(connection, implicates, number, name)
        if number and ("hid" not in columns or "hid" not in fused[0]):
            raise AnalysisError(
                f"implicates of {name}", "cannot be joined: they need hid.", "Retain hid when fusing."
            )
        for other, earlier in zip(surveys, fused, strict=False):
            if both := sorted((set(columns) & set(earlier)) - {*KEYS, NEST, IMPLICATE}):
                raise AnalysisError(
                    f"implicates of {name}, column {both[0]}",
                    f"is in those of {other} too.",
                    "Rename it, or leave it out of one of them.",
                )
        fused.append(columns)
        sources.append(scan)
    return fused, sources


def _implicates(
    connection: duckdb.DuckDBPyConnection, implicates: pa.Table | list[Path], number: int, survey: str
) -> tuple[dict[str, Column], str]:
    alias = _alias(number)
    if isinstance(implicates, pa.Table):
        implicates = implicates.unify_dictionaries()
        connection.register(f"implicate_table_{alias}", implicates)
        columns = _columns(implicates.schema, alias, _levels_in(implicates), survey)
        if IMPLICATE not in columns:
            raise AnalysisError(
                "implicates", f"have no column {IMPLICATE}, only {listing(columns)}.", "Add it."
            )
        return columns, f"implicate_table_{alias} AS {alias}"
    files = sorted(implicates)
    first = TableRef(files[0])
    schema = first.schema.append(pa.field(IMPLICATE, pa.int32()))
    types = f"{_text(IMPLICATE)}: INTEGER"
    if files[0].parent.parent.name.startswith(f"{NEST}="):
        schema = schema.append(pa.field(NEST, pa.int32()))
        types += f", {_text(NEST)}: INTEGER"
    levels = {name: tuple(first.levels(name)) for name in _dictionaries(schema)}
    names = ", ".join(_text(str(file)) for file in files)
    hive = f"hive_partitioning = true, hive_types = {{{types}}}"
    return _columns(schema, alias, levels, survey), f"read_parquet([{names}], {hive}) AS {alias}"


def _alias(number: int) -> str:
    return "i" if number == 0 else f"i{number + 1}"


def _check_numbers(members: Sequence[tuple[int, ...]]) -> None:
    nests: dict[tuple[int, ...], list[int]] = {}
    for *nest, implicate in members:
        nests.setdefault(tuple(nest), []).append(implicate)
    first = next(iter(nests.values()))
    for which, numbers in nests.items():
        missing = sorted(set(range(min(numbers), max(numbers) + 1)) - set(numbers))
        where = f"implicates of nest {which[0]}" if which else "implicates"
        if missing:
            raise AnalysisError(
                where,
                f"lack number {missing[0]} of {numbers[0]} to {numbers[-1]}.",
                "Make it again by fusing.",
            )
        if numbers != first:
            raise AnalysisError(
                where,
                f"are {len(numbers)}, those of another nest {len(first)}.",
                "Give every nest the same number.",
            )


def _columns(
    schema: pa.Schema, alias: str, levels: dict[str, tuple[str, ...]], origin: str
) -> dict[str, Column]:
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
        as_it_is = not floating and (numeric or pa.types.is_boolean(field.type))
        found[field.name] = Column(
            field.name, sql, numeric, native if as_it_is else sql, levels.get(field.name), ordered, origin
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
