"""Implicates as arrays, one at a time: values, categories, groups, and the row of each record's weights.

Belongs here: turning expressions into columns, coding categories, loading weights. Does not belong here: joining
(`relation.py`), estimation (`estimators.py`).

Only what was asked for is read, and one implicate a thread is in memory, so memory does not grow with the number of
implicates. Replicate weights do not depend on the implicate: they are loaded once, as float32 (beyond half of the
memory limit into a file that is mapped), and records point into them.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fusion_pipeline.errors import AnalysisError, listing
from fusion_pipeline.inference.expressions import Expression, read_expression
from fusion_pipeline.inference.relation import (
    IMPLICATE,
    KEYS,
    NEST,
    ROW,
    STATIC,
    FusedRelation,
    quoted,
)
from fusion_pipeline.inference.weights import ReplicateDesign, Weights, checked

_NUMERIC = (
    "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT",
    "FLOAT", "DOUBLE", "DECIMAL",
)  # fmt: skip


@dataclass(frozen=True)
class Factor:
    """A categorical column: its values in order; a missing value has code -1."""

    key: str
    values: tuple[Any, ...]
    stated: bool = False
    """Whether the table states them, as text."""
    ordered: bool = False

    @property
    def labels(self) -> tuple[str, ...]:
        """The values as text."""
        return tuple(str(value) for value in self.values)


@dataclass(frozen=True)
class Block:
    """One implicate."""

    rows: NDArray[np.int64]
    """Row of each record in `weights`."""
    kept: NDArray[np.bool_]
    """Whether the filter keeps the record."""
    values: dict[str, NDArray[np.float64]]
    codes: dict[str, NDArray[np.int64]]
    weights: Weights


@dataclass
class Microdata:
    """Columns to be read from every implicate.

    Parameters
    ----------
    relation : the open implicates
    derive : expressions by name, each of which may use those before it
    where : filter
    universes : condition by the column that it is a condition of; outside, the column is missing
    """

    relation: FusedRelation
    derive: Mapping[str, str] = field(default_factory=dict)
    where: str | None = None
    universes: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check all expressions before anything is read."""
        names: dict[str, object] = dict(self.relation.columns)
        self._derived: dict[str, Expression] = {}
        self._universes: dict[str, Expression] = {}
        self._select: dict[str, str] = {}
        self._numbers: set[str] = set()
        self._factors: dict[str, Factor] = {}
        self._used: set[str] = set()
        self._weights: Weights | None = None
        self._lock = threading.Lock()
        for name, text in self.universes.items():
            self.relation.column(name, "universe of")
            self._universes[name] = read_expression(text, names, f"universe of {name}")
        for name, text in self.derive.items():
            if name in names:
                raise AnalysisError(
                    f"derived variable {name}", "is a column already.", "Choose another name."
                )
            self._derived[name] = read_expression(text, names, f"derived variable {name} =")
            names[name] = None
        self._names = names
        self._filter = self._read(self.where, "where") if self.where else None
        if self._filter and self._type(self._filter) != "BOOLEAN":
            raise AnalysisError(
                f"where {self.where}", "is not a condition.", "Write one, such as income < 30000."
            )

    def origins(self, text: str, purpose: str) -> dict[str, str]:
        """Return the columns behind an expression and the survey that each comes from (`STATIC`: the recipient)."""
        found: dict[str, str] = {}
        for name in self._read(text, purpose).columns:
            if name in self._derived:
                found |= self.origins(self.derive[name], f"derived variable {name} =")
            else:
                found[name] = self.relation.columns[name].origin
        return found

    @property
    def limited(self) -> dict[str, str]:
        """Columns asked for so far that have a universe, and its condition."""
        return {name: text for name, text in self.universes.items() if name in self._used}

    def number(self, text: str, purpose: str) -> str:
        """Ask for a numeric column; true and false count as 1 and 0.

        Raises
        ------
        AnalysisError
            If it is not numeric.
        """
        expression = self._read(text, purpose)
        column = self.relation.columns.get(text.strip())
        kind = self._type(expression)
        if (column is not None and not column.numeric) or not (
            kind.startswith(_NUMERIC) or kind == "BOOLEAN"
        ):
            numbers = listing([c.name for c in self.relation.columns.values() if c.numeric])
            verb = purpose.split("(")[0].removeprefix("estimate ")
            raise AnalysisError(
                purpose,
                f"{text} is categorical and has no {verb}.",
                f"Use proportion({text}), a condition such as {text} = 'level', or one of the numeric variables: "
                f"{numbers}.",
            )
        key = f"number {expression.sql}"
        self._select[key] = f"CAST({expression.sql} AS DOUBLE)"
        self._numbers.add(key)
        return key

    def category(self, text: str, purpose: str) -> Factor:
        """Ask for a categorical column of text or truth values.

        Raises
        ------
        AnalysisError
            If it is numeric.
        """
        if self.is_number(text, purpose):
            categories = listing([c.name for c in self.relation.columns.values() if not c.numeric])
            raise AnalysisError(
                purpose,
                f"{text} is numeric and has no levels.",
                f"Use mean({text}), or one of the categorical variables: {categories}.",
            )
        return self.factor(text, purpose)

    def is_number(self, text: str, purpose: str) -> bool:
        """Tell whether an expression is numeric."""
        return self._type(self._read(text, purpose)).startswith(_NUMERIC)

    def factor(self, text: str, purpose: str) -> Factor:
        """Ask for a column as groups, of whatever type."""
        expression = self._read(text, purpose)
        key = f"factor {expression.sql}"
        if key not in self._factors:
            self._select[key] = expression.sql
            column = self.relation.columns.get(text.strip())
            if column is not None and column.levels is not None:
                self._factors[key] = Factor(key, column.levels, True, column.ordered)
            else:
                self._factors[key] = Factor(key, self._distinct(expression))
        return self._factors[key]

    def weigh(self, weight: str | None, design: ReplicateDesign) -> None:
        """Choose the weights; those of the static table are loaded now, others with each implicate."""
        self._weight, self._design = weight, design
        names = [*([weight] if weight else []), *design.columns]
        for name in names:
            purpose = "weight" if name == weight else "replicate weight"
            if not self.relation.column(name, purpose).numeric:
                raise AnalysisError(f"{purpose} {name}", "is not numeric.", "Name a numeric column.")
        if self.relation.own and all(self.relation.columns[name].origin == STATIC for name in names):
            [[rows]] = self.relation.query(f"SELECT count(*) FROM {self.relation.own}").to_numpy()
            self._weights = self._load(int(rows))

    def read(self, member: tuple[int, ...]) -> Block:
        """Read one implicate; threads may call it side by side.

        Raises
        ------
        AnalysisError
            If a level occurs that the first implicate's list has not, or a record stands in it twice.
        """
        selected = [f"{sql} AS {quoted(key)}" for key, sql in self._select.items()]
        if self._filter:
            selected.append(f"{self._filter.sql} AS kept")
        row = f"s.{ROW}" if self.relation.own else "row_number() OVER () - 1"
        base = [f"{row} AS row"]
        if self._weights is None:
            names = [*([self._weight] if self._weight else []), *self._design.columns]
            base += [f"{self.relation.columns[name].sql} AS {quoted(f'weight {name}')}" for name in names]
            selected += [quoted(f"weight {name}") for name in names]
        source = f"{self.relation.source} WHERE {self._which(member)}"
        with self._lock:
            table = self.relation.arrow(self._view(f"SELECT {', '.join(['row', *selected])}", base, source))
        rows = table["row"].to_numpy().astype(np.int64, copy=False)
        order = None if np.all(rows[1:] > rows[:-1]) else np.argsort(rows, kind="stable")
        if order is not None and self.relation.one_to_one:
            self._refuse_twice(rows[order], member)

        def arranged(column: NDArray[Any]) -> NDArray[Any]:
            return column if order is None else column[order]

        values = {key: arranged(_floats(table[key])) for key in self._numbers}
        codes = {key: arranged(_codes(table[key], factor, member)) for key, factor in self._factors.items()}
        kept = np.ones(len(rows), bool)
        if self._filter:
            kept = arranged(table["kept"].combine_chunks().fill_null(False).to_numpy(zero_copy_only=False))
        if self._weights is not None:
            return Block(arranged(rows), kept, values, codes, self._weights)
        return Block(np.arange(len(rows)), kept, values, codes, self._weights_in(table, arranged, member))

    def _refuse_twice(self, rows: NDArray[np.int64], member: tuple[int, ...]) -> None:
        again = rows[1:][rows[1:] == rows[:-1]]
        if not len(again):
            return
        keys = ", ".join(quoted(key) for key in KEYS if key in self.relation.columns)
        with self._lock:
            found = self.relation.query(f"SELECT {keys} FROM {self.relation.own} WHERE s.{ROW} = {again[0]}")
        raise AnalysisError(
            f"implicate {member[-1]}",
            f"has {len(again):,} records more than once, such as {found.iloc[0].to_dict()}.",
            "Give every record once an implicate: here it would count double.",
        )

    def _read(self, text: str, purpose: str) -> Expression:
        expression = read_expression(text, self._names, purpose)
        for name in expression.columns:
            self._use(name)
        return expression

    def _use(self, name: str) -> None:
        self._used.add(name)
        if name in self._derived:
            for inner in self._derived[name].columns:
                self._use(inner)
        if name in self._universes:
            # Read as it is, whatever universe it has itself.
            self._used.update(self._universes[name].columns)

    def _view(self, head: str, base: list[str], source: str) -> str:
        """Put universes and derived variables, one after another, between the columns and what is selected."""
        columns = [self.relation.columns[name] for name in sorted(self._used) if name not in self._derived]
        inner = ", ".join([*base, *(f"{c.native} AS {quoted(c.name)}" for c in columns)]) or "1"
        sql = f"SELECT {inner} FROM {source}"
        limited = [
            f"CASE WHEN {condition.sql} THEN {quoted(name)} END AS {quoted(name)}"
            for name, condition in self._universes.items()
            if name in self._used
        ]
        if limited:
            sql = f"SELECT * REPLACE ({', '.join(limited)}) FROM ({sql})"
        for name, expression in self._derived.items():
            if name in self._used:
                sql = f"SELECT *, {expression.sql} AS {quoted(name)} FROM ({sql})"
        return f"{head} FROM ({sql})"

    def _which(self, member: tuple[int, ...]) -> str:
        names = [NEST, IMPLICATE][-len(member) :]
        return " AND ".join(f"i.{quoted(name)} = {value}" for name, value in zip(names, member, strict=True))

    def _type(self, expression: Expression) -> str:
        head = f"SELECT {expression.sql} AS e"
        frame = self.relation.query(f"DESCRIBE {self._view(head, [], f'{self.relation.source} LIMIT 0')}")
        return str(frame["column_type"].iloc[0])

    def _distinct(self, expression: Expression) -> tuple[Any, ...]:
        used, self._used = self._used, set()
        for name in expression.columns:
            self._use(name)
        plain = [name for name in self._used if name not in self._derived]
        static = all(self.relation.columns[name].origin == STATIC for name in plain)
        source = self.relation.own if static and self.relation.own else self.relation.source
        sql = self._view(f"SELECT DISTINCT {expression.sql} AS e", [], source)
        self._used |= used
        values = self.relation.arrow(f"SELECT e FROM ({sql}) WHERE e IS NOT NULL ORDER BY e")["e"].to_pylist()
        return tuple(values)

    def _load(self, count: int) -> Weights:
        """Load the static table's weights by row."""
        main = np.ones(count)
        names = list(self._design.columns)
        replicates: NDArray[np.float32]
        if count * len(names) * 4 > self.relation.memory / 2:
            replicates = np.memmap(
                self.relation.spill / "weights", np.float32, "w+", shape=(count, len(names))
            )
        else:
            replicates = np.empty((count, len(names)), dtype=np.float32)
        wanted = [
            f"s.{ROW}",
            *(self.relation.columns[n].sql for n in [*([self._weight] if self._weight else []), *names]),
        ]
        for batch in self.relation.batches(f"SELECT {', '.join(wanted)} FROM {self.relation.own}"):
            rows = batch.column(0).to_numpy(zero_copy_only=False)
            if self._weight:
                main[rows] = _floats(batch.column(1))
            if names:
                first = batch.num_columns - len(names)
                columns = [_floats(batch.column(first + r)) for r in range(len(names))]
                replicates[rows] = np.stack(columns, axis=1)
        checked(main, replicates, self._weight, "")
        return self._made(main, replicates)

    def _weights_in(self, table: pa.Table, arranged: Any, member: tuple[int, ...]) -> Weights:
        """Take weights that come with the implicate."""
        main = np.ones(len(table))
        if self._weight:
            main = arranged(_floats(table[f"weight {self._weight}"]))
        replicates = np.empty((len(table), len(self._design.columns)), dtype=np.float32)
        for r, name in enumerate(self._design.columns):
            replicates[:, r] = arranged(_floats(table[f"weight {name}"]))
        checked(main, replicates, self._weight, f" in implicate {member[-1]}")
        return self._made(main, replicates)

    def _made(self, main: NDArray[np.float64], replicates: NDArray[np.float32]) -> Weights:
        return Weights(main, replicates, self._design.factors, self._design.df)


def _floats(column: pa.ChunkedArray | pa.Array) -> NDArray[np.float64]:
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return array.cast(pa.float64()).fill_null(np.nan).to_numpy(zero_copy_only=False)


def _codes(column: pa.ChunkedArray, factor: Factor, member: tuple[int, ...]) -> NDArray[np.int64]:
    encoded = pc.dictionary_encode(column.combine_chunks())
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    positions = {value: position for position, value in enumerate(factor.values)}
    found = encoded.dictionary.to_pylist()
    if unknown := [value for value in found if value is not None and value not in positions]:
        raise AnalysisError(
            f"implicate {member[-1]}",
            f"holds the level {unknown[0]!r}, which the first one's list ({', '.join(factor.labels)}) has not.",
            "Fuse all implicates with one model set.",
        )
    table = np.array([positions.get(value, -1) for value in found] + [-1], dtype=np.int64)
    indices = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    return table[indices]


def frame_of(
    factors: Sequence[Factor], codes: NDArray[np.int64], names: Sequence[str], total: str
) -> pd.DataFrame:
    """Turn codes of groups (groups, factors) into columns.

    A code of -1 is a missing value, one of -2 the total over the factor. Without totals, stated levels become a
    categorical column and other values stay as they are; with totals, columns are categorical text, totals last.
    """
    columns: dict[str, Any] = {}
    for k, (factor, name) in enumerate(zip(factors, names, strict=True)):
        at = codes[:, k]
        if (at == -2).any():
            labels = [*factor.labels, total]
            columns[name] = _categories(np.where(at == -2, len(labels) - 1, at), labels, factor.ordered)
        elif factor.stated:
            columns[name] = _categories(at, factor.labels, factor.ordered)
        else:
            lookup = pd.Series([*factor.values, None])
            columns[name] = lookup.iloc[at].reset_index(drop=True)
    return pd.DataFrame(columns, index=range(len(codes)))


def _categories(codes: NDArray[np.int64], labels: Sequence[str], ordered: bool) -> pd.Categorical:
    return pd.Categorical.from_codes(
        codes.astype(np.intp), pd.Index(list(labels), dtype="str"), ordered=ordered
    )
