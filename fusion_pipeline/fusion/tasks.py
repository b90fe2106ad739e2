"""Which models a step needs: labels, donors, folds and objectives, before anything is fitted.

Belongs here: turning a step of a plan into tasks, with the checks that belong to them. Does not belong here: fitting
(`fitting.py`), the order of work (`training.py`).

Method: Ummel et al. 2024, "General strategy": a category needs one model of class probabilities; a number needs
its mean and its quantiles; a zero-inflated number a model of zero first, then mean and quantiles of the rest.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from fusion_pipeline.errors import TrainingError
from fusion_pipeline.fusion import boosting, matching
from fusion_pipeline.fusion.boosting import Objective
from fusion_pipeline.fusion.donors import Donors
from fusion_pipeline.fusion.rules import position as level_position
from fusion_pipeline.fusion.specification import FusionPlan
from fusion_pipeline.fusion.variables import Variable
from fusion_pipeline.randomness import stream

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Task:
    """One label on one set of donors: its models share binned features.

    `rows` are the donors modelled, `everyone` all donors of the step. `classes` are the codes that occur, in the
    order of the model's classes. A constant has no objectives: it is known without a model.
    """

    step: int
    variable: Variable
    part: Literal["classes", "zero", "value", "constant"]
    everyone: np.ndarray
    rows: np.ndarray
    label: np.ndarray
    fold: np.ndarray
    objectives: tuple[Objective, ...]
    classes: tuple[int, ...] = ()

    @property
    def cost(self) -> int:
        """Relative fitting time, to start the longest first."""
        return len(self.rows) * len(self.objectives) * max(1, len(self.classes) - 1)


def step_tasks(
    donors: Donors, plan: FusionPlan, position: int, folds: int, quantiles: Sequence[float], seed: int
) -> list[Task]:
    """List the labels of the step at `position` and the models each one needs.

    Raises
    ------
    TrainingError
        If a fusion variable has too few donors or groups, or does not fit its universe.
    """
    step = plan.steps[position]
    least = max(matching.LEAST_POOL, 2 * folds)
    everyone = donors.rows_of(step, least)
    tasks = []

    def add(
        variable: Variable,
        part: Literal["classes", "zero", "value"],
        rows: np.ndarray,
        label: np.ndarray,
        objectives: dict[str, dict[str, object]],
        classes: tuple[int, ...] = (),
    ) -> None:
        strata = boosting.rank_bins(label) if part == "value" else label
        units = None if donors.groups is None else donors.groups[rows]
        fold = boosting.assign_folds(strata, folds, stream(seed, "folds", variable.name, part), units)
        if len(np.unique(fold)) < folds:
            raise TrainingError(
                f"donor, step {step.name}",
                f"has {len(np.unique(fold))} groups of donors for {folds} folds.",
                "Use fewer folds, or no groups.",
            )
        seeded = tuple(
            Objective(role, parameters, int(stream(seed, "train", variable.name, role).integers(1 << 31)))
            for role, parameters in objectives.items()
        )
        tasks.append(Task(position, variable, part, everyone, rows, label, fold, seeded, classes))

    for name in step.variables:
        variable = donors.describe(name, everyone)
        label = donors.label(variable, everyone)
        distinct = np.unique(label)
        if variable.kind == "categorical":
            if step.universe is not None and step.outside is None:
                raise TrainingError(
                    f"donor, column {name}",
                    "is categorical, and a step with a universe is 0 outside it.",
                    "Name the level it has there (`outside`), or drop `universe`.",
                )
            if step.outside is not None:
                level_position(variable, step.outside, f"fusion plan, step {step.name}, outside")
        if len(distinct) < 2:
            log.warning(
                "%s is the same for all %d donors of its step, and fused as it is", name, len(everyone)
            )
            fold = np.zeros(len(everyone), dtype=np.int32)
            tasks.append(Task(position, variable, "constant", everyone, everyone, label, fold, ()))
            continue
        if variable.kind == "categorical":
            objective: dict[str, object] = {"objective": "binary", "metric": "binary_logloss"}
            if len(distinct) > 2:
                objective = {"objective": "multiclass", "metric": "multi_logloss", "num_class": len(distinct)}
            classes = tuple(int(c) for c in distinct)
            add(
                variable,
                "classes",
                everyone,
                np.searchsorted(distinct, label),
                {"classes": objective},
                classes,
            )
            continue
        rows = everyone
        if variable.kind == "zero-inflated":
            objective = {"objective": "binary", "metric": "binary_logloss"}
            add(variable, "zero", everyone, (label == 0).astype(np.float64), {"zero": objective})
            rows, label = everyone[label != 0], label[label != 0]
            if len(rows) < least:
                raise TrainingError(
                    f"donor, column {name}",
                    f"is not zero for only {len(rows)} donors; at least {least} are needed.",
                    "Leave it out, or make it a categorical.",
                )
        wanted: dict[str, dict[str, object]] = {"mean": {"objective": "regression", "metric": "l2"}}
        for i, p in enumerate(quantiles):
            wanted[f"quantile {i + 1}"] = {"objective": "quantile", "metric": "quantile", "alpha": p}
        add(variable, "value", rows, label, wanted)
    return tasks
