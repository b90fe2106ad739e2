"""All models of a plan, several fitted at the same time.

Belongs here: the order and threads in which tasks are fitted, and which of them again on redrawn weights. Does not
belong here: which models are needed (`tasks.py`), how one is fitted (`boosting.py`).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Any

import numpy as np

from fusion_pipeline.fusion import boosting
from fusion_pipeline.fusion.boosting import FittedModel
from fusion_pipeline.fusion.donors import Donors
from fusion_pipeline.fusion.growing import Tuning
from fusion_pipeline.fusion.specification import FusionPlan
from fusion_pipeline.fusion.tasks import Task

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Fitted:
    """A task done: its models, in the order of its objectives, with features no longer held."""

    task: Task
    models: list[FittedModel]


def fit_tasks(
    donors: Donors,
    plan: FusionPlan,
    tasks: Sequence[Task],
    growth: Mapping[str, Any],
    draws: int,
    threads: int,
    redrawn: Sequence[np.ndarray],
) -> list[Fitted]:
    """Fit all tasks, the longest first, `threads` at a time; results in the order of `tasks`.

    Parameters
    ----------
    donors : Donors
    plan : FusionPlan
    tasks : sequence of Task
    growth : mapping
        Arguments of `growing.Tuning.for_donors`.
    draws : int
        Rows that stand for a donor.
    threads : int
    redrawn : sequence of (donors,) float64
        Sets of donor weights that the models of drawn probabilities, and of means, are had for again.
    """

    def fit(task: Task) -> list[FittedModel]:
        if not task.objectives:
            return []
        features, nominal = donors.features(plan.steps[task.step].predictors, task.rows)
        weight = donors.weight[task.rows]
        tuning = Tuning.for_donors(len(task.rows), draws, **growth)
        # Probabilities of a block place its donors, and nothing is drawn from them.
        is_asked = task.part == "value" or not plan.steps[task.step].is_block
        again = [w[task.rows] for w in redrawn] if is_asked else []
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
    return [Fitted(task, models) for task, models in zip(tasks, results, strict=True)]
