"""What a table must look like, and Great Expectations to find out whether it does.

Belongs here: table specifications (columns, types, levels, ranges, keys) and their validation. Does not belong
here: statistics (`marginals.py`), checks on implicates (`implicates.py`).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Literal

import pandas as pd
import pyarrow as pa

from fusion_pipeline.storage.tables import TableRef

VERSION = "1"
"""Of what is held against a specification; findings of another version are made again."""
Aspect = Literal["schema", "values"]
Kind = Literal["category", "number", "text"]
ASPECTS: tuple[Aspect, ...] = ("schema", "values")
CELLS = 8_000_000
"""Values read at a time: 64 MB of doubles, and what Great Expectations makes of them."""
ALIKE = 4
"""Columns of one specification (replicate weights, answers of yes and no) that are judged together from so many on: an
evaluation costs the same for eighty columns as for one."""


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
    def judged(self) -> bool:
        """Whether anything is expected of its values."""
        return not self.nullable or any(x is not None for x in (self.levels, self.minimum, self.maximum))


@dataclass(frozen=True)
class TableSpec:
    """What a table must be: exactly these columns, this key, at least so many rows."""

    columns: tuple[ColumnSpec, ...]
    key: tuple[str, ...] = ()
    minimum_rows: int = 1
    optional: tuple[ColumnSpec, ...] = ()
    """Columns that the data decide on: they may be missing, and are as specified if they are there."""


@dataclass(frozen=True)
class Finding:
    """One expectation and whether it was met; no raw values, which would end in the event log."""

    aspect: Aspect
    expectation: str
    passed: bool
    detail: str


Evaluate = Callable[[pd.DataFrame, list[Any]], list[Finding]]
"""Hold a frame against expectations."""


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
    batch = _batches()
    # The names alone: the set of columns needs no rows.
    findings = [*batch(pd.DataFrame(columns=there), _of_names(spec)), _of_types(table.schema, spec)]
    key = [name for name in spec.key if name in there]
    findings += batch(read(key or there[:1]).to_pandas(), _of_rows(spec))
    judged = [column for column in spec.columns if column.judged]
    size = max(1, CELLS // max(table.num_rows, 1))
    for start in range(0, len(judged), size):
        names = [column.name for column in judged[start : start + size]]
        findings += _of_group(read([n for n in names if n in there]), judged[start : start + size], batch)
    return findings


def _of_group(table: pa.Table, columns: list[ColumnSpec], batch: Evaluate) -> list[Finding]:
    """Judge columns: those alike as one long column, and each by itself where one of these fails."""
    alike: dict[Any, list[ColumnSpec]] = {}
    for column in columns:
        kind = _kind(table.schema.field(column.name).type) if column.name in table.column_names else None
        key = (kind, replace(column, name="" if kind in ("number", "category") else column.name))
        alike.setdefault(key, []).append(column)
    findings: list[Finding] = []
    single: list[ColumnSpec] = []
    for some in alike.values():
        found = _of_alike(table, some, batch) if len(some) >= ALIKE else None
        single += some if found is None else []
        findings += found or []
    frame = table.select([c.name for c in single if c.name in table.column_names]).to_pandas()
    expectations = [expectation for column in single for expectation in _of_column(column)]
    return findings + (batch(frame, expectations) if expectations else [])


def _of_alike(table: pa.Table, columns: list[ColumnSpec], batch: Evaluate) -> list[Finding] | None:
    """Judge columns of one specification by one evaluation; None if any of them fails."""
    numbers = _kind(table.schema.field(columns[0].name).type) == "number"
    stored = pa.float64() if numbers else pa.large_string()
    parts = pa.chunked_array(
        [chunk.cast(stored) for column in columns for chunk in table.column(column.name).chunks], stored
    )
    together = pd.DataFrame({"*": (parts if numbers else parts.dictionary_encode()).to_pandas()})
    found = batch(together, _of_column(replace(columns[0], name="*")))
    if not all(finding.passed for finding in found):
        return None
    return [
        replace(
            f, expectation=f.expectation.replace("*", column.name), detail=f"0 of {table.num_rows} values"
        )
        for column in columns
        for f in found
    ]


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
    return [gxe.ExpectTableColumnsToMatchSet(column_set=names, exact_match=True, **_aspect("schema"))]


def _of_rows(spec: TableSpec) -> list[Any]:
    import great_expectations.expectations as gxe

    schema = _aspect("schema")
    expectations: list[Any] = [gxe.ExpectTableRowCountToBeBetween(min_value=spec.minimum_rows, **schema)]
    if len(spec.key) == 1:
        expectations.append(gxe.ExpectColumnValuesToBeUnique(column=spec.key[0], **schema))
    elif spec.key:
        expectations.append(gxe.ExpectCompoundColumnsToBeUnique(column_list=list(spec.key), **schema))
    return expectations


def _of_column(column: ColumnSpec) -> list[Any]:
    import great_expectations.expectations as gxe

    name, values = column.name, _aspect("values")
    expectations: list[Any] = []
    if not column.nullable:
        expectations.append(gxe.ExpectColumnValuesToNotBeNull(column=name, **values))
    if column.levels is not None:
        levels = list(column.levels)
        expectations.append(gxe.ExpectColumnValuesToBeInSet(column=name, value_set=levels, **values))
    if column.minimum is not None or column.maximum is not None:
        low, high = column.minimum, column.maximum
        expectations.append(
            gxe.ExpectColumnValuesToBeBetween(column=name, min_value=low, max_value=high, **values)
        )
    return expectations


def _aspect(aspect: Aspect) -> dict[str, Any]:
    return {"meta": {"aspect": aspect}}


@cache
def _batches() -> Evaluate:
    """Open a context, once a process, and return what evaluates expectations on a frame; it keeps no frame."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    definition = (
        context.data_sources.add_pandas("memory")
        .add_dataframe_asset("table")
        .add_batch_definition_whole_dataframe("whole")
    )

    def evaluate(frame: pd.DataFrame, expectations: list[Any]) -> list[Finding]:
        suite = gx.ExpectationSuite(name="table", expectations=expectations)
        # No partial lists: they hold raw values of survey records.
        form = {"result_format": "SUMMARY", "partial_unexpected_count": 0}
        results = definition.get_batch({"dataframe": frame}).validate(suite, result_format=form).results
        return [_finding(result) for result in results]

    return evaluate


def _finding(result: Any) -> Finding:
    config = result.expectation_config
    column = config.kwargs.get("column") or config.kwargs.get("column_list") or ""
    raised = any(
        info.get("raised_exception")
        for info in (result.exception_info or {}).values()
        if isinstance(info, dict)
    )
    if raised or (result.exception_info or {}).get("raised_exception") is True:
        detail = "could not be evaluated (is the column there?)"
    elif "unexpected_count" in (result.result or {}):
        detail = f"{result.result['unexpected_count']} of {result.result['element_count']} values"
    else:
        detail = "" if result.success else str(result.result.get("observed_value", ""))[:300]
    return Finding(config.meta["aspect"], f"{config.type} {column}".strip(), bool(result.success), detail)
