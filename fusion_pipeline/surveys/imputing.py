"""Imputation of answers that are missing by accident: refused, not known, suppressed.

Belongs here: which of a survey's variables are filled, and in what order. Does not belong here: how
(`fusion/imputation.py`), valid skips, which are answers (`coding.py`), and multiple completed copies (the variance of a
single imputation is not carried on).

Answers are filled first; what is derived from them is then worked out again, so that it agrees with them. Only what
an expression cannot tell is filled itself, such as the rent that an owner's home would fetch. It is not predicted by
what it was derived from: for the records without it, that says why it is missing, not what it is.

Keys, weights, replicate weights and places are never filled, and nothing is filled from them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fusion_pipeline.storage.tables import categorical, codes_of, levels_of
from fusion_pipeline.surveys.deriving import derived_column
from fusion_pipeline.surveys.respondents import Respondent

VERSION = "4"
MOST_LEVELS = 100
"""An ordered variable of more, such as the minute of arrival at work, is filled as a number, its place among them: a
class for every minute would have a few records to learn from, and take hours."""


def impute_missing(
    table: pa.Table, entry: Respondent, *, seed: int, threads: int = 1, stream_name: str = "impute"
) -> tuple[pa.Table, dict[str, int]]:
    """Fill missing answers of a survey's microdata.

    Parameters
    ----------
    table : microdata as ingested
    entry : its part of the codebook
    seed, threads, stream_name : as in `fusion.imputation.impute`; the result depends on seed and name only

    Returns
    -------
    The table without missing answers, and how many were filled in each variable. A variable that nobody has
    answered stays missing, and so does a place: where a household lives is disclosed or not, never guessed here.

    Notes
    -----
    Drawn, not predicted: an imputed answer is one that a similar record gave, so that distributions are kept.
    """
    from fusion_pipeline.fusion.imputation import impute

    places = {name for name, variable in entry.variables.items() if variable.type == "place"}
    names = [name for name in entry.everything if name in table.column_names and name not in places]

    def filled(part: pa.Table, columns: Sequence[str], without: frozenset[str]) -> pa.Table:
        long = [name for name in columns if part[name].null_count and _is_long(part[name])]
        complete = impute(
            _with_places(part, long),
            columns=columns,
            withheld=dict.fromkeys(columns, without),
            weight="weight",
            seed=seed,
            threads=threads,
            stream_name=stream_name,
        )
        return _with_levels(complete, part, long)

    unfinished = {name for name in names if name in entry.derived and table[name].null_count}
    answers = [name for name in names if name not in unfinished]
    completed = filled(table, answers, frozenset()) if any(table[n].null_count for n in answers) else table
    for name in (name for name in names if name in unfinished):
        column = derived_column(entry.derived[name], completed)
        completed = _with_gaps_filled(completed, name, column)
        if completed[name].null_count:
            complete = [other for other in names if other not in unfinished]
            completed = filled(completed, [*complete, name], entry.never_predicts(name))
        unfinished.discard(name)
    counts = {name: table[name].null_count - completed[name].null_count for name in names}
    return completed, {name: count for name, count in counts.items() if count}


def _is_long(column: pa.ChunkedArray) -> bool:
    kind = column.type
    return pa.types.is_dictionary(kind) and kind.ordered and len(levels_of(column)) > MOST_LEVELS


def _with_places(table: pa.Table, names: Sequence[str]) -> pa.Table:
    """Put numbers, the places among the levels, in place of ordered columns."""
    for name in names:
        codes = codes_of(table[name]).astype(np.int32)
        table = table.set_column(table.column_names.index(name), name, pa.array(codes, mask=codes < 0))
    return table


def _with_levels(table: pa.Table, before: pa.Table, names: Sequence[str]) -> pa.Table:
    """Put the levels back."""
    for name in names:
        places = pc.fill_null(table[name], -1).to_numpy()
        column = categorical(places, levels_of(before[name]), ordered=True)
        table = table.set_column(table.column_names.index(name), name, column)
    return table


def _with_gaps_filled(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    column = table[name]
    filled = pc.coalesce(column, values.cast(column.type))
    return table.set_column(table.column_names.index(name), name, filled)
