"""What a table must look like, and Great Expectations to find out whether it does.

Belongs here: table specifications (columns, types, levels, ranges, keys) and their validation. Does not belong
here: statistics (`marginals.py`), checks on implicates (`implicates.py`).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa

Aspect = Literal["schema", "values"]
ASPECTS: tuple[Aspect, ...] = ("schema", "values")


@dataclass(frozen=True)
class ColumnSpec:
    """What one column must be."""

    name: str
    levels: tuple[str, ...] | None = None
    """Levels of a categorical column; None: numeric or text."""
    minimum: float | None = None
    maximum: float | None = None
    nullable: bool = False


@dataclass(frozen=True)
class TableSpec:
    """What a table must be: exactly these columns, this key, at least so many rows."""

    columns: tuple[ColumnSpec, ...]
    key: tuple[str, ...] = ()
    minimum_rows: int = 1


@dataclass(frozen=True)
class Finding:
    """One expectation and whether it was met; no raw values, which would end in the event log."""

    aspect: Aspect
    expectation: str
    passed: bool
    detail: str


def validate(table: pa.Table, spec: TableSpec) -> list[Finding]:
    """Hold a table against its specification, all expectations in one suite.

    Returns
    -------
    list of Finding
        One per expectation. An expectation that cannot be evaluated (its column is missing) has failed, and
        its detail says so.
    """
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    import great_expectations as gx
    import great_expectations.expectations as gxe
    from great_expectations.data_context.types.base import ProgressBarsConfig

    schema: dict[str, Any] = {"meta": {"aspect": "schema"}}
    values: dict[str, Any] = {"meta": {"aspect": "values"}}
    names = [column.name for column in spec.columns]
    expectations: list[Any] = [
        gxe.ExpectTableColumnsToMatchSet(column_set=names, exact_match=True, **schema),
        gxe.ExpectTableRowCountToBeBetween(min_value=spec.minimum_rows, **schema),
    ]
    if len(spec.key) == 1:
        expectations.append(gxe.ExpectColumnValuesToBeUnique(column=spec.key[0], **schema))
    elif spec.key:
        expectations.append(gxe.ExpectCompoundColumnsToBeUnique(column_list=list(spec.key), **schema))
    for column in spec.columns:
        name = column.name
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
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    suite = context.suites.add(gx.ExpectationSuite(name="table", expectations=expectations))
    batch = (
        context.data_sources.add_pandas("memory")
        .add_dataframe_asset("table")
        .add_batch_definition_whole_dataframe("whole")
        .get_batch({"dataframe": table.to_pandas()})
    )
    # No partial lists: they hold raw values of survey records.
    results = batch.validate(
        suite, result_format={"result_format": "SUMMARY", "partial_unexpected_count": 0}
    ).results
    return [_finding(result) for result in results]


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
