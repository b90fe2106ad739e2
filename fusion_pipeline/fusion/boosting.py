"""Conditional expectations: LightGBM models whose size and number of trees come from cross-validation.

Belongs here: folds, the final fit, out-of-fold predictions. Does not belong here: when growth stops and which size wins
(`growing.py`), which variables and donors (`training.py`), what the predictions are for (`matching.py`, `drawing.py`).

Method: Ummel et al. 2024, "Modeling details": k-fold cross-validation finds the number of trees and their size;
80 % of predictors in each tree; leaves of at least 0.1 % of donors (minimum 20). Deviations, each measured
(`benchmarks/quality.py`):

- early stopping waits for `patience` rounds, not 2: with sampled predictors the loss is noisy, and an early stop
  under-fits;
- trees may be as small as 4 leaves, and their thresholds may be drawn at random (extremely randomized trees, Geurts et
  al. 2006), if cross-validation prefers that, as it does for few donors: many small effects are then found beside
  the few large ones, which correlations and subset means need;
- probabilities are fitted with the square roots of the weights where that predicts the weighted held-out donors better:
  very unequal weights leave the loss to few donors (NHTS 2017: 63,000 weigh like 12,000), but weights that tell of the
  answer itself must be kept;
- the predictions of the fold models for the donors they have not seen are kept: donors are placed among each other
  by these, because predictions for donors a model was fitted on are spread wider than those for recipients, which
  it has never seen;
- probabilities are calibrated on these predictions (`calibration.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fusion_pipeline.fusion.calibration import fit_calibration, move, write_into
from fusion_pipeline.fusion.growing import Growth, Tuning, choose_trees
from fusion_pipeline.fusion.renewing import renewed_means

if TYPE_CHECKING:
    import lightgbm as lgb

PROBABILITIES = ("classes", "zero")
"""Roles whose predictions are probabilities, and are calibrated."""
WEIGHT_POWER = 0.5
"""Probabilities may be fitted with this power of the donor weights."""
CATEGORIES = {"min_data_per_group": 20, "cat_l2": 1, "cat_smooth": 1}
"""LightGBM's own settings (100, 10, 10) shrink the effects of categories towards each other where donors are few."""
STRATA = 10
"""Rank bins that folds are balanced on, for continuous labels."""


@dataclass(frozen=True)
class Objective:
    """One model of a label: its role, LightGBM's parameters for it, and its seed."""

    role: str
    parameters: Mapping[str, Any]
    seed: int


@dataclass(frozen=True)
class FittedModel:
    """A model fitted on all donors, and what cross-validation said of it.

    `out_of_fold` is (n,) or (n, classes): the prediction for each donor by the fold model that has not seen it.
    `losses` has the loss of each tree size tried, on the folds that sizes are compared on; it is empty where the size
    was chosen for an earlier objective of the same label. `redrawn` has the model of each set of redrawn weights:
    probabilities fitted again, means with renewed leaves, no quantiles.
    """

    role: str
    booster: lgb.Booster
    redrawn: tuple[lgb.Booster, ...]
    out_of_fold: np.ndarray
    loss: float
    losses: dict[int, float]
    rounds: int
    leaves: int


def fit_models(
    features: np.ndarray,
    nominal: Sequence[int],
    label: np.ndarray,
    weight: np.ndarray,
    fold: np.ndarray,
    objectives: Sequence[Objective],
    tuning: Tuning,
    redrawn: Sequence[np.ndarray] = (),
) -> list[FittedModel]:
    """Fit the models of one label. Features are binned once, and tree size is chosen once, for the first objective.

    Parameters
    ----------
    features : (n, p) float32
    nominal : positions of the features that are unordered categories
    label, weight : (n,) float64
    fold : (n,) int, 0-based
    redrawn : sequence of (n,) float64
        Other weights. Probabilities are fitted on them again, with the size and number of trees found once; means keep
        their trees (`renewing.py`); quantiles stay.

    Returns
    -------
    One fitted model per objective.
    """
    import lightgbm as lgb

    # One thread per model: these fits are too small to gain from more, and sums keep their order.
    shared: dict[str, Any] = {
        "verbosity": -1,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": 1,
        "min_data_in_leaf": tuning.smallest_leaf,
        "feature_fraction": 0.8,
        **CATEGORIES,
        "extra_trees": True,
    }
    full = lgb.Dataset(
        features,
        label,
        weight=weight,
        categorical_feature=list(nominal),
        params=shared,
        free_raw_data=False,
    ).construct()
    held_out = [np.flatnonzero(fold == k) for k in range(int(fold.max()) + 1)]
    splits = [
        (full.subset(np.flatnonzero(fold != k).tolist()).construct(), full.subset(rows.tolist()).construct())
        for k, rows in enumerate(held_out)
    ]
    tempered = weight**WEIGHT_POWER
    share = np.divide(tempered, weight, out=np.zeros_like(weight), where=weight > 0)

    def temper() -> list[tuple[lgb.Dataset, lgb.Dataset]]:
        """Give the training parts tempered weights; what is held out counts by the donors' own."""
        again = []
        for k, (_, validation) in enumerate(splits):
            rows = np.flatnonzero(fold != k)
            again.append((full.subset(rows.tolist()).construct().set_weight(tempered[rows]), validation))
        return again

    fitted = []
    trees: dict[str, Any] = {}
    given: np.ndarray | float = 1.0
    for objective in objectives:
        rate = tuning.class_learning_rate if objective.role in PROBABILITIES else tuning.learning_rate
        parameters = shared | dict(objective.parameters) | {"seed": objective.seed, "learning_rate": rate}
        if not trees:
            growth, losses = choose_trees(splits, parameters, tuning)
            trees = {key: growth.parameters[key] for key in ("num_leaves", "extra_trees")}
            if objective.role in PROBABILITIES and np.ptp(weight) > 0:
                rival = Growth(temper(), parameters | trees, tuning)
                folds = min(tuning.size_folds, len(splits))
                if rival.grow(folds)[0] < growth.grow(folds)[0]:
                    growth, given = rival, share
        else:
            growth, losses = Growth(splits, parameters | trees, tuning), {}
        parameters |= trees
        loss, rounds = growth.finish()
        others = redrawn if objective.role in PROBABILITIES else ()
        booster, *again = [
            _fit_again(full.set_weight(one * given), parameters, rounds) for one in (weight, *others)
        ]
        if objective.role == "mean":
            again = [*renewed_means(booster, features, label, weight, redrawn, rate)]
        predicted = [
            np.asarray(b.predict(features[r], num_iteration=rounds, num_threads=1))
            for b, r in zip(growth.boosters, held_out, strict=True)
        ]
        out_of_fold = np.empty((len(label), *predicted[0].shape[1:]))
        for r, p in zip(held_out, predicted, strict=True):
            out_of_fold[r] = p
        if objective.role in PROBABILITIES:
            correction = fit_calibration(out_of_fold, label, weight)
            out_of_fold = correction.apply(out_of_fold)
            write_into(booster, correction)
            for model, other in zip(again, redrawn, strict=True):
                write_into(model, move(correction, label, weight, other))
        fitted.append(
            FittedModel(
                objective.role, booster, tuple(again), out_of_fold, loss, losses, rounds, trees["num_leaves"]
            )
        )
    return fitted


def assign_folds(
    strata: np.ndarray, folds: int, random: np.random.Generator, groups: np.ndarray | None = None
) -> np.ndarray:
    """Deal donors out to folds so that every fold has its share of every stratum.

    Parameters
    ----------
    strata : (n,)
        Class, or rank bin, of each donor.
    groups : (n,), optional
        Donors of one group (a household, a sampling unit) stay together; the group's first donor stands for it.

    Returns
    -------
    (n,) int32, 0-based. The same strata and generator give the same folds.
    """
    if groups is None:
        first, member = np.arange(len(strata)), np.arange(len(strata))
    else:
        _, first, member = np.unique(groups, return_index=True, return_inverse=True)
    order = np.lexsort((random.random(len(first)), strata[first]))
    dealt = np.empty(len(first), dtype=np.int32)
    dealt[order] = np.arange(len(first)) % folds
    return dealt[member]


def rank_bins(values: np.ndarray, bins: int = STRATA) -> np.ndarray:
    """Cut values into bins of nearly equal size by rank; equal values share a bin."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    below = np.cumsum(counts) - counts / 2
    return np.minimum((below * bins / len(values)).astype(np.int32), bins - 1)[inverse]


def _fit_again(full: lgb.Dataset, parameters: dict[str, Any], rounds: int) -> lgb.Booster:
    import lightgbm as lgb

    booster = lgb.Booster(parameters, full)
    for _ in range(rounds):
        booster.update()
    return booster
