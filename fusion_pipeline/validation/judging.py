"""Great Expectations on columns, as few evaluations as will do: one costs the same for a thousand columns as for one.

Belongs here: what is demanded of values, columns of one demand judged as one long column, the evaluation itself. Does
not belong here: what a table must look like (`expectations.py`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Literal

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

Aspect = Literal["schema", "values"]
TOGETHER = "*"
"""Stands for the names of columns that are judged as one."""
_UNKNOWN = -1.0


@dataclass(frozen=True)
class Finding:
    """One expectation and whether it was met; no raw values, which would end in the event log."""

    aspect: Aspect
    expectation: str
    passed: bool
    detail: str


@dataclass(frozen=True)
class Demand:
    """What is expected of values: that none is missing, that they are levels, or that they lie between bounds."""

    levels: tuple[str, ...] | None = None
    bounds: tuple[float | None, float | None] | None = None

    @property
    def name(self) -> str:
        """Name of the expectation."""
        if self.levels is not None:
            return "expect_column_values_to_be_in_set"
        return f"expect_column_values_to_{'be_between' if self.bounds is not None else 'not_be_null'}"

    def expectation(self, column: str) -> Any:
        """Return the expectation of one column."""
        import great_expectations.expectations as gxe

        values = about("values")
        if self.levels is not None:
            return gxe.ExpectColumnValuesToBeInSet(column=column, value_set=list(self.levels), **values)
        if self.bounds is not None:
            low, high = self.bounds
            return gxe.ExpectColumnValuesToBeBetween(column=column, min_value=low, max_value=high, **values)
        return gxe.ExpectColumnValuesToNotBeNull(column=column, **values)


Evaluate = Callable[[pd.DataFrame, list[Any]], list[Finding]]
"""Hold a frame against expectations."""


def judge(table: pa.Table, demands: Sequence[tuple[str, Demand]], evaluate: Evaluate) -> list[Finding]:
    """Hold the columns of a table against demands.

    Parameters
    ----------
    table : pa.Table
    demands : sequence of (str, Demand)
        Columns, which may be missing, and what is demanded of each.
    evaluate : callable
        Of `evaluator`.

    Returns
    -------
    list of Finding
        One for each demand. Demands of a kind are evaluated as one; where that fails, each by itself.
    """
    kinds: dict[Demand, list[tuple[str, Demand]]] = {}
    single: list[tuple[str, Demand]] = []
    for name, demand in demands:
        # Lists of levels differ, positions in them do not: one demand serves all.
        kind = replace(demand, levels=() if demand.levels is not None else None)
        (kinds.setdefault(kind, []) if _joins(table, name, demand) else single).append((name, demand))
    findings: list[Finding] = []
    for kind, some in kinds.items():
        passed = _together(table, kind, some, evaluate)
        findings += passed or []
        single += [] if passed else some
    if single:
        names = dict.fromkeys(name for name, _ in single if name in table.column_names)
        expectations = [demand.expectation(name) for name, demand in single]
        findings += evaluate(table.select(list(names)).to_pandas(), expectations)
    return findings


def _joins(table: pa.Table, name: str, demand: Demand) -> bool:
    """Whether values can be told apart as numbers, as those of a long column are."""
    if name not in table.column_names:
        return False
    stored = table.schema.field(name).type
    if demand.levels is not None:
        return pa.types.is_dictionary(stored) and pa.types.is_string(stored.value_type)
    return demand.bounds is None or pa.types.is_integer(stored) or pa.types.is_floating(stored)


def _together(
    table: pa.Table, kind: Demand, some: Sequence[tuple[str, Demand]], evaluate: Evaluate
) -> list[Finding] | None:
    """Judge columns by one evaluation; None if any of them fails."""
    chunks = [_numbers(chunk, demand) for name, demand in some for chunk in table.column(name).chunks]
    frame = pd.DataFrame({TOGETHER: pa.chunked_array(chunks, pa.float64()).to_pandas()})
    if kind.levels is not None:
        kind = Demand(bounds=(0.0, None))
    [found] = evaluate(frame, [kind.expectation(TOGETHER)])
    if not found.passed:
        return None
    # In the words of the demand itself, whatever the form it was judged in.
    return [
        replace(found, expectation=f"{demand.name} {name}", detail=f"0 of {table.num_rows} values")
        for name, demand in some
    ]


def _numbers(chunk: pa.Array, demand: Demand) -> pa.Array:
    """Values as numbers: positions among the levels, the numbers themselves, or whether there is a value at all."""
    if demand.levels is not None:
        positions = pc.index_in(chunk.dictionary, pa.array(demand.levels, chunk.dictionary.type))
        return pc.fill_null(positions.cast(pa.float64()), _UNKNOWN).take(chunk.indices)
    if demand.bounds is not None:
        # Whole numbers beyond 2^53 lose their last digits, which no bound asks for.
        return chunk.cast(pa.float64(), safe=False)
    return pc.if_else(pc.is_null(chunk, nan_is_null=True), None, 1.0)


def about(aspect: Aspect) -> dict[str, Any]:
    """Return the argument that tells what an expectation is about."""
    return {"meta": {"aspect": aspect}}


@cache
def evaluator() -> Evaluate:
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
