"""In which area does a household with these predictors live? A multinomial logit learned from the recipients.

Belongs here: fitting, and probabilities. Does not belong here: which areas a donor may live in
(`candidates.py`), what fusion variables tell beyond predictors (`area_effects.py`).

Recipients know their PUMA and have the donors' predictors, so P(PUMA | predictors, disclosed location) is estimated
from them and needs no distance: predictors count as far as they tell PUMAs apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Array = np.ndarray
PRIOR_VARIANCE = 0.1
"""Of the coefficients. Mean log probability of hidden PUMAs in four states of the ACS 2024: -3.77, -3.67, -3.62 at
.001, .01, .1, and -3.87 without predictors."""
MOST_CELLS = 15_000_000
"""Households x areas of one model; beyond, it is learned from a systematic sample by weight. Every area stays."""
MOST_STEPS = 100


@dataclass(frozen=True)
class AreaModel:
    """Probabilities of areas, given features.

    Attributes
    ----------
    areas : (K,) ascending
    coefficients : (F, K) float32
    intercepts : (K,) float32
    """

    areas: Array
    coefficients: Array
    intercepts: Array

    def probabilities(self, features: Array) -> Array:
        """(n, K) float32, rows sum to one."""
        score = features @ self.coefficients + self.intercepts
        score -= score.max(axis=1, keepdims=True)
        np.exp(score, out=score)
        return score / score.sum(axis=1, keepdims=True)


def fit_area_model(features: Array, area: Array, weight: Array) -> AreaModel:
    """Learn which areas households live in.

    Parameters
    ----------
    features : (n, F) float32
    area : (n,) int
    weight : (n,) positive

    Notes
    -----
    Multinomial logit with a normal prior on the coefficients, none on the intercepts: with features that tell nothing
    the probabilities are the areas' shares of the weight. Weights are scaled to mean 1.
    """
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    areas, codes = np.unique(area, return_inverse=True)
    width = features.shape[1]
    weight = weight / weight.mean()
    if len(areas) == 1 or width == 0:
        share = np.bincount(codes, weights=weight) / weight.sum()
        return AreaModel(areas, np.zeros((width, len(areas)), np.float32), np.log(share).astype(np.float32))
    with threadpool_limits(1):  # sums in one order, whatever the machine
        model = LogisticRegression(C=PRIOR_VARIANCE, max_iter=MOST_STEPS, tol=1e-3)
        model.fit(features, codes, sample_weight=weight)
    slopes, intercepts = model.coef_, model.intercept_
    if len(areas) == 2:  # one score for two areas
        slopes, intercepts = np.vstack([np.zeros_like(slopes), slopes]), np.append(0.0, intercepts)
    return AreaModel(areas, np.ascontiguousarray(slopes.T, dtype=np.float32), intercepts.astype(np.float32))


def learning_sample(area: Array, most_cells: int = MOST_CELLS) -> Array:
    """Rows to learn from, ascending: all, or so many that households x areas stay below `most_cells`.

    They are taken evenly from every area, so that weights keep their meaning, and one at least of each.
    """
    order = np.argsort(area, kind="stable")
    starts = np.flatnonzero(np.diff(area[order], prepend=-1))
    size = max(most_cells // max(len(starts), 1), 1)
    if len(area) <= size:
        return np.arange(len(area))
    ticks = np.floor(np.arange(size) * (len(area) / size)).astype(np.int64)
    return np.sort(order[np.union1d(ticks, starts)])
