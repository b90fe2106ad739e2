"""Training: from donor microdata and a plan to a model set.

Belongs here: the order of work. Does not belong here: the donor table (`donors.py`), which models a step needs
(`tasks.py`), fitting them (`fitting.py`), donor pools (`donor_pools.py`), what is written (`saving.py`).

Method: Ummel et al. 2024, "General strategy" and "Modeling details". Models use the donor's observed values of
earlier fusion variables, so all can be fitted at the same time; each is fitted on one thread, and nothing depends
on how many run beside it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
import pyarrow as pa

from fusion_pipeline.errors import TrainingError
from fusion_pipeline.fusion import matching
from fusion_pipeline.fusion.arguments import number, path, whole
from fusion_pipeline.fusion.donor_pools import pool_donors
from fusion_pipeline.fusion.donors import bayesian_bootstrap, load_donors
from fusion_pipeline.fusion.fitting import fit_tasks
from fusion_pipeline.fusion.growing import Search
from fusion_pipeline.fusion.modelset import ModelSet, load_model_set
from fusion_pipeline.fusion.saving import save_model_set
from fusion_pipeline.fusion.specification import FusionPlan
from fusion_pipeline.fusion.tasks import step_tasks
from fusion_pipeline.fusion.variables import column_names
from fusion_pipeline.logs import progress_level
from fusion_pipeline.storage.tables import TableRef

VERSION = "7"
"""Raised when the same donor and settings would give another model set."""
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
    draws: int = 1,
    quantiles: Sequence[float] = (1 / 6, 1 / 2, 5 / 6),
    leaves: Sequence[int] = (4, 8, 16, 32, 64),
    learning_rate: float | None = None,
    class_learning_rate: float = 0.25,
    patience: int | None = None,
    search: Search = "climb",
    neighbours: int = 100,
    block_neighbours: int = 10,
    centres: int = 2000,
    bootstraps: int = 10,
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
        Directory of the model set; a model set there is replaced as a whole when training has succeeded, anything
        else is refused.
    seed : int
    threads : int
        Models fitted at the same time. The result does not depend on it.
    folds : int
        Of cross-validation.
    groups : str, optional
        Column of units (household, sampling unit) that must not be split over folds.
    draws : int
        Rows that stand for one donor, if what is uncertain of it, such as its place, was drawn several times; their
        weights are parts of its weight, and they are a unit of `groups`. Whatever counts donors counts such rows.
    quantiles : sequence of float
        Probabilities of the quantile models, increasing, two or more.
    leaves : sequence of int
        Tree sizes to choose from.
    learning_rate, class_learning_rate, patience : optional
        See `growing.Tuning`; without a rate or a patience, what suits the number of donors (.15 and 20 rounds, from
        20,000 donors on .25 and 8).
    search : "climb" or "grid"
        Tree sizes are climbed from the second one in the direction of smaller loss, on one or two folds, or all are
        tried on all folds.
    neighbours : int
        Largest donor pool (K; 500 in the paper: larger pools than 100 blur, and fit the expectations no better).
    block_neighbours : int
        Donors in every pool of a block (10 in fusionModel too): several variables have no one distribution that could
        choose it.
    centres : int
        Largest number of points of conditional-expectation space that have a pool.
    bootstraps : int
        Number of sets of Bayesian-bootstrap weights that implicates are drawn with in turn; 0: the donors' own
        weights for all.

    Returns
    -------
    ModelSet

    Raises
    ------
    TrainingError
        If donor or plan cannot be modelled; the message names column, number of rows, and remedy.

    Notes
    -----
    Donors of zero weight are left out. Donors are placed in conditional-expectation space by out-of-fold
    predictions; the paper places them by the predictions of the models they were fitted on.

    With `bootstraps`, implicate m is drawn from set (m - 1) mod bootstraps + 1 of donor weights redrawn by the Bayesian
    bootstrap (Rubin 1981): its donors are drawn with these weights, and its class and zero models are fitted again
    on them, with the size and number of trees found once. Mean models keep their trees and get the leaves that these
    weights give (`renewing.py`): recipients are placed among donors as far beside their expectation as it may be
    wrong. Donors stay where they are, and so do quantiles, which move with the mean.

    Examples
    --------
    >>> import fusion_pipeline as fp, tempfile
    >>> donor, recipient = fp.example_tables()
    >>> folder = tempfile.mkdtemp()
    >>> models = fp.train(donor, y=["size", "cool"], x=["group", "income"], weight="weight", out=folder, leaves=[4])
    >>> models.report()[["variable", "model"]].values.tolist()[:2]
    [['size', 'mean'], ['size', 'quantile 1']]
    """
    if plan is None:
        if not y or not x:
            raise TrainingError("train", "needs a plan, or y and x.", "Give a FusionPlan, or name y and x.")
        plan = FusionPlan.chained(y, x, weight)
    elif not isinstance(plan, FusionPlan):
        raise TrainingError("train, plan", f"is a {type(plan).__name__}.", "Give a FusionPlan, or y and x.")
    elif (y, x, weight) != (None, None, None):
        raise TrainingError(
            "train, y, x and weight", "stand beside a plan, which has its own.", "Leave them out."
        )
    out = path("train, out", out, TrainingError)
    seed, threads, folds, draws, neighbours, block_neighbours, centres, bootstraps = _check(
        donor,
        quantiles,
        leaves,
        (learning_rate, class_learning_rate),
        patience,
        seed=(seed, 0),
        threads=(threads, 1),
        folds=(folds, 2),
        draws=(draws, 1),
        neighbours=(neighbours, matching.LEAST_POOL),
        block_neighbours=(block_neighbours, 1),
        centres=(centres, 1),
        bootstraps=(bootstraps, 0),
    )
    _refuse_other_things(out)
    if search not in get_args(Search):
        raise TrainingError("train, search", f"is {search!r}.", "Give 'climb' or 'grid'.")
    growth = {
        "leaves": tuple(sorted(leaves)),
        "learning_rate": learning_rate,
        "class_learning_rate": class_learning_rate,
        "patience": patience,
        "search": search,
    }
    donors = load_donors(donor, plan, groups)
    redrawn = [bayesian_bootstrap(donors, seed, k) for k in range(1, bootstraps + 1)]
    tasks = [
        task for i in range(len(plan.steps)) for task in step_tasks(donors, plan, i, folds, quantiles, seed)
    ]
    models = sum(len(task.objectives) for task in tasks)
    counted = f"{donors.count // draws:,} donors" + (f" x {draws} places" if draws > 1 else "")
    log.log(progress_level(), "training %d models of %d steps on %s", models, len(plan.steps), counted)
    fitted = fit_tasks(donors, plan, tasks, growth, draws, threads, redrawn)
    pools = []
    for i, step in enumerate(plan.steps):
        parts = [done for done in fitted if done.task.step == i]
        most = draws * (block_neighbours if step.is_block else neighbours)
        pools.append(pool_donors(donors, step, parts, quantiles, most, centres, seed))
    settings = {
        "seed": seed,
        "groups": groups,
        "draws": draws,
        "quantiles": list(quantiles),
        "neighbours": neighbours,
        "block_neighbours": block_neighbours,
        "centres": centres,
        "folds": folds,
        **growth,
    }
    save_model_set(out, donors, plan, fitted, pools, redrawn, VERSION, settings)
    log.log(progress_level(), "model set written to %s", out)
    return load_model_set(out)


def _refuse_other_things(out: Path) -> None:
    """Refuse to replace what is no model set; a damaged one may be replaced."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if any((out / name).exists() for name in ("manifest.json", "manifest.sha256", "donors.parquet")):
        return
    raise TrainingError(
        f"train, out={out}",
        "holds something that is no model set.",
        "Name a folder that is not there yet, an empty one, or one of an earlier model set.",
    )


def _check(
    donor: pd.DataFrame | pa.Table | TableRef,
    quantiles: Sequence[float],
    leaves: Sequence[int],
    rates: Sequence[float | None],
    patience: int | None,
    **counts: tuple[int, int],
) -> list[int]:
    """Refuse arguments that make no sense; return the `counts` (value, least value) as plain integers."""
    column_names(donor, "donor", TrainingError)
    levels = quantiles if isinstance(quantiles, Sequence | np.ndarray) else []
    for level in levels:
        number("train, quantiles", level, 0, 1, TrainingError)
    if len(levels) < 2 or list(levels) != sorted(set(levels)) or levels[-1] == 1:
        raise TrainingError(
            "train, quantiles",
            f"are {quantiles!r}.",
            "Give two or more increasing numbers between 0 and 1.",
        )
    if not isinstance(leaves, Sequence) or not leaves:
        raise TrainingError(
            "train, leaves", f"are {leaves!r}.", "Give a list of tree sizes, such as [8, 16]."
        )
    for size in leaves:
        whole("train, leaves", size, 2, TrainingError)
    for rate in rates:
        if rate is not None:
            number("train, learning rates", rate, 0, 1, TrainingError)
    if patience is not None:
        whole("train, patience", patience, 1, TrainingError)
    return [whole(f"train, {name}", value, least, TrainingError) for name, (value, least) in counts.items()]
