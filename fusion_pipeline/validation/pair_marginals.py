"""The marginals of one fusion pair, with what its files know: replicate weights of the donors, comparable donors.

Belongs here: putting the tables of a pair together for `marginals.py` and `comparable.py`. They are computed once; the
check and the report show the same ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from fusion_pipeline.errors import AnalysisError
from fusion_pipeline.fusion.specification import FusionPlan
from fusion_pipeline.keys import row_positions
from fusion_pipeline.registry import load_registry
from fusion_pipeline.storage.artefacts import PairTables
from fusion_pipeline.storage.tables import TableRef
from fusion_pipeline.surveys.codebook import load_codebook
from fusion_pipeline.validation.comparable import ComparableDonors, comparable_donors
from fusion_pipeline.validation.marginals import compare_marginals

DIGITS = 7
"""Significant digits of the table; the order of parallel summation shows in the last ones of a double."""


@dataclass(frozen=True)
class PairMarginals:
    """`table` is that of `marginals.compare_marginals`; `donors` says who is comparable."""

    table: pd.DataFrame
    donors: ComparableDonors


def pair_marginals(
    pair: str,
    files: Sequence[Path],
    *,
    prepared: PairTables,
    donors: Mapping[str, TableRef],
    households: TableRef,
    plan: FusionPlan,
    seed: int,
    memory_limit: int | str | None = None,
    threads: int | None = None,
) -> PairMarginals:
    """Compare a pair's implicates with its donors.

    Parameters
    ----------
    pair : name in the registry
    files : all implicates
    prepared : the pair's training and prediction tables
    donors : survey-year -> standardized households, for their replicate weights
    households : the recipient's standardized households, for their weights
    plan : the pair's fusion plan
    seed : int
        Of the sample of recipients in `comparable_donors`.
    memory_limit, threads : bounds for DuckDB

    Notes
    -----
    The donors' standard errors come from replicate weights if there is one donor survey-year; those of several designs
    cannot be put side by side, and the ratio variance takes their place.
    """
    static = households.read(["year", "hid", "weight"])
    recipients = _rows(static, prepared.recipient.read(["year", "hid"]), ["year", "hid"], "ACS households")
    comparable = comparable_donors(
        prepared.donor,
        prepared.recipient,
        static["weight"].to_numpy().astype(np.float64)[recipients],
        predictors=[name for name in prepared.recipient.columns if "__" in name],
        locations=load_registry().pair(pair).locations,
        seed=seed,
    )
    table, design = _with_replicates(
        prepared.donor.read(["survey", "hid", "weight", *plan.variables]), donors
    )
    found = compare_marginals(
        table, list(files), static, plan.variables,
        odds=comparable.odds, memory_limit=memory_limit, threads=threads, **design,
    )  # fmt: skip
    numbers = found.select_dtypes("number").columns
    found[numbers] = found[numbers].map(lambda value: float(f"{value:.{DIGITS - 1}e}"))
    return PairMarginals(found, comparable)


def _with_replicates(table: pa.Table, donors: Mapping[str, TableRef]) -> tuple[pa.Table, dict[str, Any]]:
    if len(donors) != 1:
        return table, {}
    [(survey, ref)] = donors.items()
    design = load_codebook(load_registry().donor(survey).codebook).households.replicates
    names = [f"rep_{r}" for r in range(1, design.count + 1)] if design else []
    if design is None or not set(names) <= set(ref.columns):
        return table, {}
    rows = pa.array(_rows(ref.read(["hid"]), table.select(["hid"]), ["hid"], survey))
    for name in names:
        table = table.append_column(name, ref.read([name])[name].take(rows))
    return table, {"replicate_weights": names, "replicate_scale": float(design.scale)}


def _rows(known: pa.Table, wanted: pa.Table, keys: Sequence[str], where: str) -> np.ndarray:
    rows = row_positions(known, wanted, keys)
    if (rows < 0).any():
        absent = wanted.slice(int(np.argmax(rows < 0)), 1).to_pylist()[0]
        raise AnalysisError(
            where,
            f"have no household {absent}, which was fused.",
            "Materialize fusion/harmonized of this pair again.",
        )
    return rows
