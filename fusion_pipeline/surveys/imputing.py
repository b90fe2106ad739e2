"""Imputation of answers that are missing by accident: refused, not known, suppressed.

Belongs here: which of a survey's variables are filled. Does not belong here: how (`fusion/imputation.py`), valid skips,
which are answers (`coding.py`), and multiple completed copies (the variance of a single imputation is not carried on).

A derived variable is not predicted by what it was derived from: for the records without it, that says why it is
missing, not what it is. Full-universe amounts, such as the rent an owner's home would fetch, are filled the same way.
"""

from __future__ import annotations

import pyarrow as pa

from fusion_pipeline.surveys.respondents import Respondent

VERSION = "1"


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
    completed = impute(
        table,
        columns=names,
        withheld={name: entry.never_predicts(name) for name in names if name in entry.derived},
        weight="weight",
        seed=seed,
        threads=threads,
        stream_name=stream_name,
    )
    filled = {name: table[name].null_count - completed[name].null_count for name in names}
    return completed, {name: count for name, count in filled.items() if count}
