"""What a table must look like, and whether it does.

Belongs here: table specifications (columns, types, levels, ranges, keys) and their validation. Does not belong
here: how values are judged (`judging.py`), statistics (`marginals.py`), checks on implicates (`implicates.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import pandas as pd
import pyarrow as pa

from fusion_pipeline.storage.tables import TableRef
from fusion_pipeline.validation.judging import Aspect, Demand, Finding, about, evaluator, judge

VERSION = "1"
"""Of what is held against a specification; findings of another version are made again."""
Kind = Literal["category", "number", "text"]
ASPECTS: tuple[Aspect, ...] = ("schema", "values")
CELLS = 8_000_000
"""Values read at a time: 64 MB of doubles, and what Great Expectations makes of them."""


@dataclass(frozen=True)
class ColumnSpec:
    """What one column must be."""

    name: str
    levels: tuple[str, ...] | None = None
    """Levels of a categorical column; None: numeric or text."""
    minimum: float | None = None
    maximum: float | None = None
    nullable: bool = False
    kind: Kind | None = None
    """What it holds. Levels make it a category, bounds a number; without either and unset, anything."""

    @property
    def holds(self) -> Kind | None:
        """What it must hold, as given or as levels and bounds imply."""
        if self.kind is not None:
            return self.kind
        if self.levels is not None:
            return "category"
        return None if self.minimum is None and self.maximum is None else "number"

    @property
    def demands(self) -> list[Demand]:
        """What is expected of its values."""
        demands = [] if self.nullable else [Demand()]
        if self.levels is not None:
            demands.append(Demand(levels=self.levels))
        if self.minimum is not None or self.maximum is not None:
            demands.append(Demand(bounds=(self.minimum, self.maximum)))
        return demands


@dataclass(frozen=True)
class TableSpec:
    """What a table must be: exactly these columns, this key, at least so many rows."""

    columns: tuple[ColumnSpec, ...]
    key: tuple[str, ...] = ()
    minimum_rows: int = 1
    optional: tuple[ColumnSpec, ...] = ()
    """Columns that the data decide on: they may be missing, and are as specified if they are there."""


def validate(table: pa.Table | TableRef, spec: TableSpec) -> list[Finding]:
    """Hold a table against its specification.

    The columns are read in groups of at most `CELLS` values, whatever the number of rows and replicate weights, and
    columns without an expectation are not read at all.

    Returns
    -------
    list of Finding
        One per expectation, and one for the types of all columns. An expectation that cannot be evaluated (its
        column is missing) has failed, and its detail says so.
    """
    there = table.column_names if isinstance(table, pa.Table) else table.columns
    spec = replace(spec, columns=(*spec.columns, *(c for c in spec.optional if c.name in there)))
    read = table.select if isinstance(table, pa.Table) else table.read
    evaluate = evaluator()
    # The names alone: the set of columns needs no rows.
    findings = [*evaluate(pd.DataFrame(columns=there), _of_names(spec)), _of_types(table.schema, spec)]
    key = [name for name in spec.key if name in there]
    findings += evaluate(read(key or there[:1]).to_pandas(), _of_rows(spec))
    judged = [column for column in spec.columns if column.demands]
    size = max(1, CELLS // max(table.num_rows, 1))
    for start in range(0, len(judged), size):
        group = judged[start : start + size]
        demands = [(column.name, demand) for column in group for demand in column.demands]
        findings += judge(read([column.name for column in group if column.name in there]), demands, evaluate)
    return findings


def _of_types(schema: pa.Schema, spec: TableSpec) -> Finding:
    """Compare types as they are stored: a frame's columns no longer tell text from categories, or have other types."""
    wrong = [
        f"{column.name}: {schema.field(column.name).type}, not {column.holds}"
        for column in spec.columns
        if column.holds
        and column.name in schema.names
        and _kind(schema.field(column.name).type) != column.holds
    ]
    return Finding("schema", "column_types", not wrong, "; ".join(wrong)[:300])


def _kind(stored: pa.DataType) -> Kind | None:
    if pa.types.is_dictionary(stored):
        return "category"
    if pa.types.is_integer(stored) or pa.types.is_floating(stored):
        return "number"
    return "text" if pa.types.is_string(stored) or pa.types.is_large_string(stored) else None


def _of_names(spec: TableSpec) -> list[Any]:
    import great_expectations.expectations as gxe

    names = [column.name for column in spec.columns]
    return [gxe.ExpectTableColumnsToMatchSet(column_set=names, exact_match=True, **about("schema"))]


def _of_rows(spec: TableSpec) -> list[Any]:
    import great_expectations.expectations as gxe

    schema = about("schema")
    expectations: list[Any] = [gxe.ExpectTableRowCountToBeBetween(min_value=spec.minimum_rows, **schema)]
    if len(spec.key) == 1:
        expectations.append(gxe.ExpectColumnValuesToBeUnique(column=spec.key[0], **schema))
    elif spec.key:
        expectations.append(gxe.ExpectCompoundColumnsToBeUnique(column_list=list(spec.key), **schema))
    return expectations
