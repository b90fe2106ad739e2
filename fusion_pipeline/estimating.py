"""Estimates from a fusion pair's implicates on disk, joined to the ACS households they belong to.

Belongs here: finding a pair's files, the areas around its households, the design of its replicate weights.
Does not belong here: estimation (`inference/`).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa

from fusion_pipeline.errors import AnalysisError
from fusion_pipeline.geography.concordance import add_areas
from fusion_pipeline.inference.analyze import analyze
from fusion_pipeline.registry import load_registry
from fusion_pipeline.storage.layout import Layout
from fusion_pipeline.storage.tables import TableRef
from fusion_pipeline.surveys.codebook import load_codebook

ORIGIN = ("model_set", "recipient", "seed", "stream")
"""What all implicates of a pair must have in common, by their provenance."""


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
        If the pair has no implicates yet, if they are not the implicates 1..M of one model set, recipient,
        seed and stream, or as `analyze` does.
    """
    vintage = load_registry().recipients[load_registry().pair(pair).recipient]
    files = implicates_of(pair, layout)
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


def implicates_of(pair: str, layout: Layout) -> list[Path]:
    """Find a pair's implicates 1..M, all of one origin.

    Raises
    ------
    AnalysisError
        If there are none, one is missing, or one is foreign to the first: pooled, two models would look like
        one with a huge variance between implicates.
    """
    folder = layout.implicates(pair)
    files = sorted(folder.glob("implicate=*/part-0.parquet"), key=_number)
    if not files:
        raise AnalysisError(str(folder), "holds no implicates.", f"Make them with `fusion run {pair}`.")
    for position, file in enumerate(files, start=1):
        if file != layout.implicate(pair, position):
            raise AnalysisError(
                str(file),
                f"stands where implicate {position} should be: implicates are numbered 1 to M without a gap.",
                f"Delete it, or make implicate {position} again with `fusion run {pair}`.",
            )
    first = TableRef(files[0]).provenance
    for file in files:
        found = TableRef(file).provenance
        for key in ORIGIN:
            if key not in found or found[key] != first.get(key):
                raise AnalysisError(
                    str(file),
                    f"does not come from the same {key} as {files[0].parent.name} "
                    f"({_short(found.get(key))}, not {_short(first.get(key))}).",
                    "Delete the implicates of the wrong origin, and materialize their chunks of "
                    f"fusion/implicates again, in the UI or with `fusion run {pair}`.",
                )
    return files


def _number(file: Path) -> tuple[int, str]:
    text = file.parent.name.removeprefix("implicate=")
    # Names that are no number come last, so that the file that is wrong is the one named.
    return (int(text) if text.isdecimal() else sys.maxsize, text)


def _short(value: object) -> str:
    return "unknown" if value is None else str(value)[:12]


def _static(households: TableRef, asked: Sequence[str], replicates: Sequence[str]) -> pa.Table:
    # Only what is asked for: the ACS has ten times as many columns.
    text = " ".join(asked)
    named = [name for name in households.columns if name in text and not name.startswith("rep_")]
    keys = ["year", "hid", "weight", "state", "puma10"]
    there = [name for name in replicates if name in households.columns]
    return add_areas(households.read(list(dict.fromkeys([*keys, *named, *there]))))
