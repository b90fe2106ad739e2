"""Training: from donor microdata and a plan to a model set.

Belongs here: the order of work, putting the model set together. Does not belong here: the donor table
(`donors.py`), which models a step needs (`tasks.py`), how a model is fitted (`boosting.py`) or a pool is chosen
(`matching.py`).

Method: Ummel et al. 2024, "General strategy" and "Modeling details". Models use the donor's observed values of
earlier fusion variables, so all can be fitted at the same time; each is fitted on one thread, and nothing depends
on how many run beside it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from fusion_pipeline.errors import TrainingError
from fusion_pipeline.fusion import boosting, matching
from fusion_pipeline.fusion.arguments import whole
from fusion_pipeline.fusion.boosting import FittedModel
from fusion_pipeline.fusion.calibration import observed_levels
from fusion_pipeline.fusion.donors import Donors, bayesian_bootstrap, load_donors
from fusion_pipeline.fusion.growing import Search, Tuning
from fusion_pipeline.fusion.matching import DonorPools
from fusion_pipeline.fusion.modelset import (
    ModelRecord,
    ModelSet,
    load_model_set,
    model_file,
    versions,
    weight_column,
    write_manifest,
    write_pools,
)
from fusion_pipeline.fusion.specification import FusionPlan
from fusion_pipeline.fusion.tasks import Task, step_tasks
from fusion_pipeline.fusion.variables import Variable, column_names, values_to_draw
from fusion_pipeline.randomness import stream
from fusion_pipeline.storage.atomic import atomic_directory
from fusion_pipeline.storage.tables import TableRef, write_table

VERSION = "5"
"""Raised when the same donor and settings would give another model set."""
REDRAWN = ("classes", "zero")
"""Parts that are drawn from a model's probabilities: these models are fitted again on every set of weights."""
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
        Directory of the model set; replaced as a whole when training has succeeded.
    seed : int
    threads : int
        Models fitted at the same time. The result does not depend on it.
    folds : int
        Of cross-validation.
    groups : str, optional
        Column of units (household, sampling unit) that must not be split over folds.
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
    on them, with the size and number of trees found once. Mean and quantile models are not: donors and recipients must
    be placed by the same models.

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
    seed, threads, folds, neighbours, block_neighbours, centres, bootstraps = _check(
        donor,
        quantiles,
        leaves,
        (learning_rate, class_learning_rate),
        patience,
        seed=(seed, 0),
        threads=(threads, 1),
        folds=(folds, 2),
        neighbours=(neighbours, matching.K_RANGE[0]),
        block_neighbours=(block_neighbours, 1),
        centres=(centres, 1),
        bootstraps=(bootstraps, 0),
    )
    growth = {
        "leaves": tuple(sorted(leaves)),
        "learning_rate": learning_rate,
        "class_learning_rate": class_learning_rate,
        "patience": patience,
        "search": search,
    }
    donors = load_donors(donor, plan, groups)
    redrawn = [bayesian_bootstrap(donors, seed, number) for number in range(1, bootstraps + 1)]
    tasks = [
        task for i in range(len(plan.steps)) for task in step_tasks(donors, plan, i, folds, quantiles, seed)
    ]
    models = sum(len(task.objectives) for task in tasks)
    log.info("training %d models of %d steps on %d donors", models, len(plan.steps), donors.count)
    work = [
        _Fitted(task, fit)
        for task, fit in zip(tasks, _fit(donors, plan, tasks, growth, threads, redrawn), strict=True)
    ]
    with atomic_directory(Path(out)) as folder:
        (folder / "models").mkdir()
        records = [record for done in work for record in _write_models(folder, done)]
        described = {done.task.variable.name: done.task.variable for done in work}
        pools: list[dict[str, Any] | None] = []
        for i, step in enumerate(plan.steps):
            parts = [done for done in work if done.task.step == i and done.models]
            if parts and (step.is_block or parts[0].task.variable.kind != "categorical"):
                most = block_neighbours if step.is_block else neighbours
                built = _build_pools(donors, plan, parts, quantiles, most, centres, seed)
                pools.append(write_pools(folder, i, built))
            else:
                pools.append(None)
        matched = [v for i, step in enumerate(plan.steps) for v in step.variables if pools[i] is not None]
        table = donors.table.select(matched)
        for number, weight_of_set in enumerate([donors.weight, *redrawn]):
            table = table.append_column(weight_column(number), pa.array(weight_of_set))
        write_table(folder / "donors.parquet", table)
        known = plan.known_after(len(plan.steps))
        products = {name: Variable(name, "continuous", "double") for name in plan.products}
        constants = {
            task.variable.name: values_to_draw(donors.table[task.variable.name], task.variable)[
                task.rows[0]
            ].item()
            for task in tasks
            if not task.objectives
        }
        write_manifest(
            folder,
            {
                "engine": VERSION,
                "versions": versions(),
                "settings": {
                    "seed": seed,
                    "groups": groups,
                    "quantiles": list(quantiles),
                    "neighbours": neighbours,
                    "block_neighbours": block_neighbours,
                    "centres": centres,
                    "folds": folds,
                    **growth,
                },
                "donors": donors.count,
                "bootstraps": bootstraps,
                "plan": plan.to_dict(),
                "variables": [(described | products)[name].to_json() for name in known],
                "predictors": [donors.describe(name).to_json() for name in plan.predictors],
                "pools": pools,
                **({"constants": constants} if constants else {}),
                "models": [asdict(record) for record in records],
            },
        )
    log.info("model set written to %s", out)
    return load_model_set(Path(out))


@dataclass(frozen=True)
class _Fitted:
    """A task done, with features no longer held."""

    task: Task
    models: list[FittedModel]

    def expectations(self, donors: Donors, predictors: Sequence[str]) -> np.ndarray:
        """Return (everyone, models or classes): out-of-fold, or plain for donors no model has seen."""
        task = self.task
        known = np.column_stack([m.out_of_fold for m in self.models])
        if len(task.rows) == len(task.everyone):
            return known
        unseen = np.setdiff1d(task.everyone, task.rows, assume_unique=True)
        features, _ = donors.features(predictors, unseen)
        plain = np.column_stack([np.asarray(m.booster.predict(features, num_threads=1)) for m in self.models])
        result = np.empty((len(task.everyone), known.shape[1]))
        result[np.searchsorted(task.everyone, task.rows)] = known
        result[np.searchsorted(task.everyone, unseen)] = plain
        return result


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
    increasing = list(quantiles) == sorted(set(quantiles))
    if len(quantiles) < 2 or not increasing or not 0 < quantiles[0] <= quantiles[-1] < 1:
        raise TrainingError(
            "train, quantiles",
            f"are {tuple(quantiles)}.",
            "Give two or more increasing numbers between 0 and 1.",
        )
    if not isinstance(leaves, Sequence) or not leaves:
        raise TrainingError(
            "train, leaves", f"are {leaves!r}.", "Give a list of tree sizes, such as [8, 16]."
        )
    for size in leaves:
        whole("train, leaves", size, 2, TrainingError)
    if not all(rate is None or 0 < rate <= 1 for rate in rates):
        raise TrainingError(
            "train, learning rates", f"are {tuple(rates)}.", "Give numbers above 0, at most 1."
        )
    if patience is not None:
        whole("train, patience", patience, 1, TrainingError)
    return [whole(f"train, {name}", value, least, TrainingError) for name, (value, least) in counts.items()]


def _fit(
    donors: Donors,
    plan: FusionPlan,
    tasks: Sequence[Task],
    growth: Mapping[str, Any],
    threads: int,
    redrawn: Sequence[np.ndarray],
) -> list[list[FittedModel]]:
    """Fit all tasks, the longest first, `threads` at a time; results in the order of `tasks`."""

    def fit(task: Task) -> list[FittedModel]:
        if not task.objectives:
            return []
        features, nominal = donors.features(plan.steps[task.step].predictors, task.rows)
        weight = donors.weight[task.rows]
        tuning = Tuning.for_donors(len(task.rows), **growth)
        # In a block they place donors, as means do: see Notes of `train`.
        drawn_from = task.part in REDRAWN and not plan.steps[task.step].is_block
        again = [w[task.rows] for w in redrawn] if drawn_from else []
        return boosting.fit_models(
            features, nominal, task.label, weight, task.fold, task.objectives, tuning, again
        )

    results: list[list[FittedModel]] = [[] for _ in tasks]
    with ThreadPoolExecutor(max(1, threads)) as pool:
        order = sorted(range(len(tasks)), key=lambda i: -tasks[i].cost)
        futures = {pool.submit(fit, tasks[i]): i for i in order}
        try:
            for done, future in enumerate(as_completed(futures), start=1):
                i = futures[future]
                results[i] = future.result()
                rounds = ", ".join(f"{m.role} {m.rounds} x {m.leaves}" for m in results[i])
                log.info(
                    "fitted %s (trees x leaves: %s): %d of %d",
                    tasks[i].variable.name,
                    rounds,
                    done,
                    len(tasks),
                )
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return results


def _build_pools(
    donors: Donors,
    plan: FusionPlan,
    parts: Sequence[_Fitted],
    quantiles: Sequence[float],
    neighbours: int,
    centres: int,
    seed: int,
) -> DonorPools:
    """Place the donors of a step among each other and choose their pools."""
    step = plan.steps[parts[0].task.step]
    solo = None if step.is_block else parts[-1]
    used = parts if solo is None else [solo]
    columns, is_probability = [], []
    for part in used:
        expected = (
            part.expectations(donors, step.predictors)
            if solo is None
            else np.column_stack([m.out_of_fold for m in part.models])
        )
        if part.task.part == "value":
            expected[:, 1:] = np.sort(expected[:, 1:], axis=1)
        columns.append(expected)
        is_probability += [part.task.part != "value"] * expected.shape[1]
    rows = used[0].task.everyone if solo is None else solo.task.rows
    levels = tuple(quantiles)
    if solo is not None:
        levels = observed_levels(columns[0][:, 1:], solo.task.label, donors.weight[rows], levels)
    return matching.build_pools(
        np.column_stack(columns),
        is_probability,
        rows,
        donors.weight[rows],
        values=None if solo is None else solo.task.label,
        levels=levels,
        neighbours=neighbours,
        centres=centres,
        seed=int(stream(seed, "centres", step.name).integers(1 << 31)),
    )


def _write_models(folder: Path, done: _Fitted) -> list[ModelRecord]:
    records = []
    for model in done.models:
        for number, booster in enumerate([model.booster, *model.redrawn]):
            name = model_file(done.task.step, done.task.variable.name, model.role, number)
            (folder / name).write_text(booster.model_to_string())
            records.append(
                ModelRecord(
                    step=done.task.step,
                    variable=done.task.variable.name,
                    role=model.role,
                    set=number,
                    file=name,
                    donors=len(done.task.rows),
                    classes=done.task.classes,
                    loss=model.loss,
                    rounds=model.rounds,
                    leaves=model.leaves,
                    losses={str(leaves): loss for leaves, loss in model.losses.items()},
                    importance=tuple(float(g) for g in booster.feature_importance("gain")),
                )
            )
    return records
