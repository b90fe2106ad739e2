"""What households learn from their persons, vehicles and trips: counts, sums, means, extremes, shares, common answers.

Belongs here: evaluating the summaries of a codebook. Does not belong here: their schema (`variables.py`), which records
belong to which household (`relating.py`).

Missing answers: a count or sum is missing as soon as it is unknown whether a record counts, or how much; means,
extremes, shares and common answers are those of the records that gave one, and missing if none did. A household without
a record that counts has the value that the codebook gives (`none`), 0 for counts and sums.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fusion_pipeline.storage.tables import categorical, levels_of
from fusion_pipeline.surveys.allocating import shares_of
from fusion_pipeline.surveys.derive import evaluate
from fusion_pipeline.surveys.relating import positions
from fusion_pipeline.surveys.variables import Share, Summary

Array = np.ndarray


def summarize(records: pa.Table, households: Array, summaries: Mapping[str, Summary]) -> dict[str, pa.Array]:
    """Summarise one kind of record.

    Parameters
    ----------
    records : of the households given and no others
    households : (n,) keys
    summaries : by the name of the variable that they make

    Returns
    -------
    One column of n rows for each, in the order of `households`.
    """
    row = positions(records["hid"].to_numpy(), households)
    return {name: _column(records, row, households.size, summary) for name, summary in summaries.items()}


def _column(records: pa.Table, row: Array, size: int, summary: Summary) -> pa.Array:
    counted, unsure = _condition(records, summary.where)
    doubtful = np.bincount(row[unsure], minlength=size) > 0
    some = np.bincount(row[counted], minlength=size) > 0
    if summary.statistic == "shared":
        return _shared(records, row[counted], counted, some, summary)
    if summary.statistic == "count":
        return _number(np.bincount(row[counted], minlength=size).astype(float), doubtful, summary)
    value = _value(records, summary)
    if summary.share is not None:
        shares, counted = _shares(records, summary.share, counted)
        value = (np.abs(value) if summary.share.absolute else value) * shares
    value = value[counted]
    answered = ~np.isnan(value)
    of, value, unanswered = row[counted][answered], value[answered], row[counted][~answered]
    if summary.statistic == "sum":
        doubtful |= np.bincount(unanswered, minlength=size) > 0
        return _number(np.bincount(of, value, minlength=size), doubtful, summary)
    known = np.bincount(of, minlength=size)
    if summary.statistic in ("mean", "share"):
        result = np.bincount(of, value, minlength=size) / np.maximum(known, 1)
    else:
        smallest = summary.statistic == "min"
        result = np.full(size, np.inf if smallest else -np.inf)
        (np.minimum if smallest else np.maximum).at(result, of, value)
    result = np.where(some | doubtful, result, float(summary.none or 0))
    return _number(result, (some | doubtful) & (known == 0), summary)


def _shared(records: pa.Table, row: Array, counted: Array, some: Array, summary: Summary) -> pa.Array:
    """The level that all records of a household have, or the label of those that differ."""
    size = some.size
    column = records[summary.value or ""].combine_chunks()
    levels = np.array([summary.labels.index(level) for level in levels_of(column)], dtype=np.int64)
    codes = pc.fill_null(column.indices, -1).to_numpy(zero_copy_only=False)[counted]
    answered = codes >= 0
    row, position = row[answered], levels[codes[answered]]
    low, high = np.full(size, len(summary.labels)), np.full(size, -1)
    np.minimum.at(low, row, position)
    np.maximum.at(high, row, position)
    several, none = (
        summary.labels.index(label) if label else -1 for label in (summary.several, summary.none)
    )
    result = np.where(low == high, low, np.where(high >= 0, several, -1))
    return categorical(np.where(some, result, none), summary.labels)


def _condition(records: pa.Table, where: str | None) -> tuple[Array, Array]:
    """Which records count, and of which it is not known."""
    if where is None:
        return np.ones(records.num_rows, dtype=bool), np.zeros(records.num_rows, dtype=bool)
    found = evaluate(where, records)
    counted = pc.fill_null(found, False).to_numpy(zero_copy_only=False)
    return counted, pc.is_null(found).to_numpy(zero_copy_only=False)


def _shares(records: pa.Table, share: Share, counted: Array) -> tuple[Array, Array]:
    """Share of every record, and which records count: those with one."""
    column = records[share.by].combine_chunks()
    by_level = np.append(shares_of(levels_of(column), share.table, share.category), 0.0)
    shares = by_level[pc.fill_null(column.indices, -1).to_numpy(zero_copy_only=False)]
    return shares, counted & (shares != 0)


def _value(records: pa.Table, summary: Summary) -> Array:
    found = evaluate(summary.value or "", records)
    return pc.cast(found, pa.float64()).to_numpy(zero_copy_only=False)


def _number(values: Array, missing: Array, summary: Summary) -> pa.Array:
    if summary.type == "number":
        return pa.array(values, mask=missing)
    whole = np.where(missing, 0, np.rint(values)).astype(np.int64)
    return pa.array(whole, mask=missing)
