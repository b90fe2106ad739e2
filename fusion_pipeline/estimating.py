"""Estimates from a fusion pair's implicates on disk, joined to the ACS households they belong to.

Belongs here: finding a pair's files, the areas around its households, the design of its replicate weights.
Does not belong here: estimation (`inference/`).
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import pyarrow as pa

from fusion_pipeline.errors import AnalysisError
from fusion_pipeline.geography.concordance import add_areas
from fusion_pipeline.inference.analyze import analyze
from fusion_pipeline.registry import load_registry
from fusion_pipeline.storage.layout import Layout
from fusion_pipeline.storage.tables import TableRef
from fusion_pipeline.surveys.codebook import load_codebook


def estimate_pair(
    pair: str,
    layout: Layout,
    estimates: Sequence[str],
    by: Sequence[str] = (),
    *,
    level: float = 0.90,
    memory_limit: int | None = None,
    threads: int | None = None,
) -> pd.DataFrame:
    """Estimate from all implicates of a pair, with the recipient's replicate weights.

    Parameters
    ----------
    pair : a fusion pair of the registry
    layout : where its artefacts lie
    estimates, level : as in `inference.analyze.analyze`
    by : columns of the recipient's households, `region`, `division`, or fusion variables

    Raises
    ------
    AnalysisError
        If the pair has no implicates yet, or as `analyze` does.
    """
    vintage = load_registry().recipients[load_registry().pair(pair).recipient]
    files = sorted(layout.implicates(pair).glob("implicate=*/part-0.parquet"))
    if not files:
        raise AnalysisError(
            str(layout.implicates(pair)), "holds no implicates.", f"Make them with `fusion run {pair}`."
        )
    households = TableRef(layout.table(("acs", "households"), vintage.vintage))
    design = load_codebook(vintage.codebook).households.replicates
    replicates = [f"rep_{r}" for r in range(1, design.count + 1)] if design else []
    return analyze(
        files,
        _static(households, [*by, *estimates], replicates),
        estimates=estimates,
        by=by,
        replicate_weights=[name for name in replicates if name in households.columns],
        replicate_scale=design.scale if design else None,
        level=level,
        memory_limit=memory_limit,
        threads=threads,
    )


def _static(households: TableRef, asked: Sequence[str], replicates: Sequence[str]) -> pa.Table:
    # Only what is asked for: the ACS has ten times as many columns.
    text = " ".join(asked)
    named = [name for name in households.columns if name in text and not name.startswith("rep_")]
    keys = ["year", "hid", "weight", "state", "puma10"]
    there = [name for name in replicates if name in households.columns]
    return add_areas(households.read(list(dict.fromkeys([*keys, *named, *there]))))
