"""Imputation of answers that are missing by accident: refused, not known, suppressed.

Belongs here: filling them, once, by the project's own engine. Does not belong here: valid skips, which are answers
(`coding.py`), and multiple completed copies (the variance of a single imputation is not carried on).

Method: variables in the order of how many answers they miss; each is trained on the records that have it, with every
complete variable as predictor, and drawn for the others (chained, one pass, as fusionData does). A derived variable
is not predicted by what it was derived from: for the records without it, that says why it is missing, not what it is.
Full-universe amounts, such as the rent an owner's home would fetch, are filled the same way.
"""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa

from fusion_pipeline.storage.tables import categorical, codes_of, levels_of
from fusion_pipeline.surveys.codebook import Respondent

VERSION = "1"
_log = logging.getLogger(__name__)


def impute_missing(
    table: pa.Table, entry: Respondent, *, seed: int, threads: int = 1, stream_name: str = "impute"
) -> tuple[pa.Table, dict[str, int]]:
    """Fill missing answers of a survey's microdata.

    Parameters
    ----------
    table : microdata as ingested
    entry : its part of the codebook
    seed, threads, stream_name : as in `fusion.fusing.fuse`; the result depends on seed and name only

    Returns
    -------
    The table without missing answers, and how many were filled in each variable. A variable that nobody has
    answered stays missing, and so does a place: where a household lives is disclosed or not, never guessed here.

    Notes
    -----
    Drawn, not predicted: an imputed answer is one that a similar record gave, so that distributions are kept.
    """
    places = {name for name, variable in entry.variables.items() if variable.type == "place"}
    names = [name for name in entry.everything if name in table.column_names and name not in places]
    missing = {name: table[name].null_count for name in names if table[name].null_count}
    complete = [name for name in names if name not in missing and len(table[name].unique()) > 1]
    filled: dict[str, int] = {}
    for name in sorted(missing, key=lambda name: missing[name]):
        if missing[name] == table.num_rows:
            continue
        withheld = entry.never_predicts(name)
        predictors = [other for other in complete if other not in withheld]
        table = _fill(table, name, predictors, seed, threads, stream_name)
        complete.append(name)
        filled[name] = missing[name]
        _log.info("%s: %s missing answers imputed", name, f"{missing[name]:,}")
    return table, filled


def _fill(
    table: pa.Table, name: str, predictors: list[str], seed: int, threads: int, stream_name: str
) -> pa.Table:
    from fusion_pipeline.fusion.fusing import fuse
    from fusion_pipeline.fusion.training import train

    known = table[name].is_valid()
    donor = table.filter(known).select([*predictors, name, "weight"])
    recipient = table.filter(pa.array(~known.to_numpy())).select(predictors)
    with tempfile.TemporaryDirectory() as folder:
        models = train(
            donor,
            y=[name],
            x=predictors,
            weight="weight",
            out=Path(folder) / "models",
            seed=seed,
            threads=threads,
            bootstraps=0,
        )
        fused = fuse(
            recipient, models, implicates=1, seed=seed, retain=(), threads=threads, stream_name=stream_name
        )
    assert isinstance(fused, pa.Table)
    drawn = fused[name]
    rows = np.flatnonzero(~known.to_numpy())
    position = table.column_names.index(name)
    column = table[name]
    if pa.types.is_dictionary(column.type):
        levels = levels_of(column)
        codes = codes_of(column)
        codes[rows] = [levels.index(level) for level in drawn.to_pylist()]
        array = categorical(codes, levels, ordered=column.type.ordered)
    else:
        values = column.to_pandas().to_numpy(dtype=np.float64, na_value=np.nan, copy=True)
        values[rows] = drawn.to_numpy()
        array = pa.array(values).cast(column.type)
    return table.set_column(position, name, array)
