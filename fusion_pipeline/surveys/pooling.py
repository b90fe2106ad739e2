"""A pooled donor: interviews of several survey-years become households of one, with what is derived and predicted.

Belongs here: the order of the steps. Does not belong here: the steps (`panel.py`, `derive.py`, `predicting.py`).
"""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from fusion_pipeline.surveys import annualizing, ingest, panel, predicting
from fusion_pipeline.surveys.codebook import Codebook
from fusion_pipeline.surveys.panel import PanelReport, pool_persons

__all__ = ["VERSION", "PanelReport", "pool", "pool_persons"]

VERSION = f"{ingest.VERSION}.{panel.VERSION}.{annualizing.VERSION}.{predicting.VERSION}.1"


def pool(
    years: Mapping[str, pa.Table],
    teachers: Mapping[str, pa.Table],
    codebook: Codebook,
    *,
    seed: int,
    threads: int = 1,
    stream_name: str = "pool",
) -> tuple[pa.Table, PanelReport, dict[str, str]]:
    """Make the households of a pooled donor.

    Parameters
    ----------
    years : survey-year -> interviews, without missing answers
    teachers : survey-year -> households from which predicted variables are learnt
    codebook : of the pool
    seed, threads, stream_name : name the draws; threads change no result

    Returns
    -------
    table : `hid`, `year`, `weight`, the codebook's variables, summaries, derived and predicted variables, `rep_...`
    report : what became of the interviews
    left_out : what could not be made, or predictors not used, and for want of which column

    Raises
    ------
    IngestError, RegistryError
        As `pool_households` and `predict` do.
    """
    entry = codebook.households
    table, report = panel.pool_households(years, codebook, seed=seed, stream_name=stream_name)
    there, left_out = set(table.column_names), {}
    for name in entry.derived:
        if lacking := [part for part in entry.parts(name) if part not in {*there, "year"}]:
            left_out[name] = lacking[0]
        else:
            there.add(name)
    table = ingest.derive(table, entry, left_out)
    for name, predicted in entry.predicted.items():
        column, unused = predicting.predict(
            table,
            teachers[predicted.survey],
            name,
            predicted,
            seed=seed,
            threads=threads,
            stream_name=f"{stream_name}/{name}",
        )
        position = next(
            (i for i, n in enumerate(table.column_names) if n.startswith("rep_")), table.num_columns
        )
        table = table.add_column(position, name, column)
        left_out |= {f"{name} by {key}": column_name for key, column_name in unused.items()}
    return table, report, left_out
