"""Training: from donor microdata and a plan to a model set.

Belongs here: checks of the donor, who is modelled at each step, the order of work, putting the model set together.
Does not belong here: how a model is fitted (`boosting.py`) or a pool is chosen (`matching.py`).

Method: Ummel et al. 2024, "General strategy" and "Modeling details". Models use the donor's observed values of
earlier fusion variables, so all can be fitted at the same time; each is fitted on one thread, and nothing depends
on how many run beside it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import pyarrow as pa

from fusion_pipeline.errors import TrainingError
from fusion_pipeline.fusion.boosting import Objective, Tuning
from fusion_pipeline.fusion.modelset import (
    ModelSet,
    load_model_set,
    versions,
    write_manifest,
    write_pools,
)
from fusion_pipeline.fusion.specification import FusionPlan
from fusion_pipeline.fusion.variables import Variable
from fusion_pipeline.storage.atomic import atomic_directory
from fusion_pipeline.storage.tables import TableRef, write_table

VERSION = "1"
"""Raised when the same donor and settings would give another model set."""
OUTLIER_NEIGHBOURS = 10
OUTLIER_FACTOR = -2.75
"""A donor with a smaller negative outlier factor, at that many neighbours, is a local outlier."""
log = logging.getLogger(__name__)


def train(
    donor: pd.DataFrame | pa.Table | TableRef,
    plan: FusionPlan | None = None,
    *,
    y: Sequence[str | Sequence[str]] | None = None,
    x: Sequence[str] | None = None,
    weight: str | None = None,
    out: Path,
    seed: int = 1,
    threads: int = 1,
    folds: int = 5,
    groups: str | None = None,
    quantiles: Sequence[float] = (1 / 6, 1 / 2, 5 / 6),
    leaves: Sequence[int] = (16, 32, 64),
    learning_rate: float = 0.1,
    patience: int = 30,
    neighbours: int = 500,
    centres: int = 2000,
) -> ModelSet:
    """Fit every conditional expectation of a plan, build the donor pools, and write the model set.

    Parameters
    ----------
    donor : frame, table or handle
        Donor microdata; never changed. Categories must be categorical or boolean.
    plan : FusionPlan, optional
        Without it, `y` is fused in the order given, from `x` and all that was fused before.
    y, x, weight : optional
        Fusion variables (a list within the list is a block), predictors, column of weights.
    out : Path
        Directory of the model set; replaced as a whole when training has succeeded.
    seed : int
    threads : int
        Models fitted at the same time. The result does not depend on it.
    folds : int
        Of cross-validation.
    groups : str, optional
        Column of units (household, sampling unit) that must not be split over folds.
    quantiles : sequence of float
        Probabilities of the quantile models, increasing.
    leaves : sequence of int
        Tree sizes compared.
    learning_rate, patience :
        See `boosting.Tuning`.
    neighbours : int
        Largest donor pool (K).
    centres : int
        Largest number of points of conditional-expectation space that have a pool.

    Returns
    -------
    ModelSet

    Raises
    ------
    TrainingError
        If donor or plan cannot be modelled; the message names column, number of rows, and remedy.

    Notes
    -----
    Donors of zero weight are left out. A donor of positive weight is placed in conditional-expectation space by
    out-of-fold predictions; the paper places it by the predictions of the model it was fitted on.
    """
    if plan is None:
        if not y or not x:
            raise TrainingError("train", "needs a plan, or y and x.", "Give a FusionPlan, or name y and x.")
        plan = FusionPlan.chained(y, x, weight)
    if (
        len(quantiles) < 2
        or list(quantiles) != sorted(set(quantiles))
        or not 0 < quantiles[0] <= quantiles[-1] < 1
    ):
        raise TrainingError(
            "train, quantiles",
            f"are {tuple(quantiles)}.",
            "Give two or more increasing numbers between 0 and 1.",
        )
    tuning = Tuning(folds, tuple(leaves), learning_rate, patience)
    donors = _Donors.load(donor, plan, groups)
    jobs = [job for i in range(len(plan.steps)) for job in _jobs(donors, plan, i, tuning, quantiles, seed)]
    log.info(
        "training %d models of %d steps on %d donors",
        sum(len(j.objectives) for j in jobs),
        len(plan.steps),
        donors.count,
    )
    fitted = _fit_all(donors, jobs, tuning, threads)
    settings = {
        "seed": seed,
        "groups": groups,
        "quantiles": list(quantiles),
        "neighbours": neighbours,
        "centres": centres,
        **asdict(tuning),
    }
    with atomic_directory(Path(out)) as folder:
        (folder / "models").mkdir()
        records = [_write_models(folder, plan, job, models) for job, models in zip(jobs, fitted, strict=True)]
        pools = [
            _pools(
                donors, plan, i, [(j, f) for j, f in zip(jobs, fitted, strict=True) if j.step == i], settings
            )
            for i in range(len(plan.steps))
        ]
        write_table(folder / "donors.parquet", donors.values(plan, pools))
        described = donors.described(plan, jobs)
        manifest = {
            "engine": VERSION,
            "versions": versions(),
            "settings": settings,
            "donors": donors.count,
            "plan": asdict(plan),
            "variables": [described[v].to_json() for v in plan.known_after(len(plan.steps))],
            "predictors": [donors.predictors[v].to_json() for v in plan.predictors],
            "pools": [None if p is None else write_pools(folder, i, p) for i, p in enumerate(pools)],
            "models": [asdict(r) for group in records for r in group],
        }
        write_manifest(folder, manifest)
    log.info("model set written to %s", out)
    return load_model_set(Path(out))


@dataclass(frozen=True)
class _Job:
    """One label on one set of donors: all its models share binned features."""

    step: int
    variable: Variable
    part: Literal["classes", "zero", "value"]
    rows: np.ndarray
    label: np.ndarray
    fold: np.ndarray
    objectives: tuple[Objective, ...]


@dataclass
class _Donors:
    """Donors of positive weight: columns, weights (mean 1), features encoded once."""

    table: pa.Table
    weight: np.ndarray
    groups: np.ndarray | None
    predictors: dict[str, Variable]
    features: dict[str, np.ndarray]


"""placeholder"""
