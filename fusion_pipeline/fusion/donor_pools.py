"""Donor pools of a step: its donors placed among each other by what its models expect of them.

Belongs here: the donors' coordinates in conditional-expectation space. Does not belong here: fitting (`fitting.py`),
choosing pools among coordinates (`matching.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fusion_pipeline.fusion import matching
from fusion_pipeline.fusion.calibration import observed_levels
from fusion_pipeline.fusion.donors import Donors
from fusion_pipeline.fusion.fitting import Fitted
from fusion_pipeline.fusion.matching import DonorPools
from fusion_pipeline.fusion.specification import FusionStep
from fusion_pipeline.randomness import stream


def pool_donors(
    donors: Donors,
    step: FusionStep,
    parts: Sequence[Fitted],
    quantiles: Sequence[float],
    neighbours: int,
    centres: int,
    seed: int,
) -> DonorPools | None:
    """Place the donors of a step among each other and choose their pools.

    Parameters
    ----------
    donors : Donors
    step : FusionStep
    parts : sequence of Fitted
        Of the step.
    quantiles : sequence of float
        Probabilities of the quantile models.
    neighbours : int
        Most donors in a pool; of a block: donors in every pool.
    centres, seed
        As in `training.train`.

    Returns
    -------
    DonorPools; None for a step that draws no donors: a category on its own, or constants.
    """
    parts = [part for part in parts if part.models]
    if not parts or (not step.is_block and parts[0].task.variable.kind == "categorical"):
        return None
    solo = None if step.is_block else parts[-1]
    used = parts if solo is None else [solo]
    columns, is_probability = [], []
    for part in used:
        expected = (
            _expectations(part, donors, step.predictors)
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


def _expectations(fitted: Fitted, donors: Donors, predictors: Sequence[str]) -> np.ndarray:
    """Return (everyone, models or classes): out-of-fold, or plain for donors no model has seen."""
    task, models = fitted.task, fitted.models
    known = np.column_stack([m.out_of_fold for m in models])
    if len(task.rows) == len(task.everyone):
        return known
    unseen = np.setdiff1d(task.everyone, task.rows, assume_unique=True)
    features, _ = donors.features(predictors, unseen)
    plain = np.column_stack([np.asarray(m.booster.predict(features, num_threads=1)) for m in models])
    result = np.empty((len(task.everyone), known.shape[1]))
    result[np.searchsorted(task.everyone, task.rows)] = known
    result[np.searchsorted(task.everyone, unseen)] = plain
    return result
