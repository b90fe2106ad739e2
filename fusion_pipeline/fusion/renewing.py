"""Mean models as redrawn donors would have them: the same trees, with other numbers in their leaves.

Belongs here: leaf values found anew with other weights. Does not belong here: growing trees (`boosting.py`), redrawing
weights (`donors.py`), what the renewed means are for (`loading.py`).

A set of redrawn weights has to say two things of a number: which donors count, and by how much the conditional mean
may be wrong. Donor pools say the first, and so also how far the mean of all donors with one expectation may be wrong.
They cannot say the second for households that differ though the model expects the same of them: their pool is one.
What pools already say is taken out of the renewed means, so that it does not count twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import lightgbm as lgb


def renewed_means(
    booster: lgb.Booster,
    features: np.ndarray,
    label: np.ndarray,
    weight: np.ndarray,
    redrawn: Sequence[np.ndarray],
    rate: float,
) -> tuple[lgb.Booster, ...]:
    """Renew a mean model for every set of redrawn weights.

    Parameters
    ----------
    booster : lightgbm.Booster
        Fitted with squared loss on `features`, `label` and `weight` at learning rate `rate`.
    features : (n, p) float32
    label, weight : (n,) float64
    redrawn : sequence of (n,) float64
    rate : float

    Returns
    -------
    One model a set, with the trees of `booster`. Their difference from it has no linear relation to what it predicts
    for the donors, and a weighted mean of zero.

    Notes
    -----
    LightGBM's own `Booster.refit` begins at zero instead of the mean of the labels, and so shrinks towards zero. What
    counts is the difference to leaves renewed with the weights as they are: LightGBM holds values of leaves that
    categories lead to a little back (`cat_l2`), and that is no matter of weights.
    """
    if not redrawn:
        return ()
    import lightgbm as lgb

    place = np.asarray(booster.predict(features, pred_leaf=True, num_threads=1)).reshape(len(label), -1)
    plain, fitted = leaf_values(booster), np.asarray(booster.predict(features, num_threads=1))
    sizes = [len(values) for values in plain]
    own, before = renew_leaves(place, sizes, label, weight, rate)
    text, models = booster.model_to_string(), []
    for other in redrawn:
        renewed, after = renew_leaves(place, sizes, label, other, rate)
        shift, slope = _line(fitted, after - before, weight)
        model = lgb.Booster(model_str=text)
        for tree, (now, new, old) in enumerate(zip(plain, renewed, own, strict=True)):
            values = (1 - slope) * now + (new - old) - (shift if tree == 0 else 0.0)
            for leaf, value in enumerate(values):
                model.set_leaf_output(tree, leaf, float(value))
        models.append(model)
    return tuple(models)


def renew_leaves(
    place: np.ndarray, leaves: Sequence[int], label: np.ndarray, weight: np.ndarray, rate: float
) -> tuple[list[np.ndarray], np.ndarray]:
    """Fit the leaves of boosted trees again, tree by tree.

    Parameters
    ----------
    place : (n, trees) int
        The leaf of every donor.
    leaves : (trees,) int
        Leaves of every tree.
    label, weight : (n,) float64
    rate : float
        Share of the mean residual of a leaf that it takes (LightGBM's learning rate).

    Returns
    -------
    Leaf values of every tree, the first with the weighted mean of the labels in it; and (n,) their sums.
    """
    start = float(np.average(label, weights=weight))
    fitted, found = np.full(len(label), start), []
    for tree, count in enumerate(leaves):
        at = place[:, tree]
        mass = np.bincount(at, weight, count)
        rest = np.bincount(at, weight * (label - fitted), count)
        values = rate * np.divide(rest, mass, out=np.zeros(count), where=mass > 0)
        fitted += values[at]
        found.append(values + (start if tree == 0 else 0.0))
    return found, fitted


def leaf_values(booster: lgb.Booster) -> list[np.ndarray]:
    """Return the numbers in the leaves of every tree."""
    return [
        np.array([booster.get_leaf_output(tree, leaf) for leaf in range(information["num_leaves"])])
        for tree, information in enumerate(booster.dump_model()["tree_info"])
    ]


def _line(x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> tuple[float, float]:
    """Return intercept and slope of the weighted least-squares line of y on x."""
    share = weight / weight.sum()
    away = x - share @ x
    spread = float(share @ away**2)
    slope = float(share @ (away * y)) / spread if spread > 0 else 0.0
    return float(share @ y) - slope * float(share @ x), slope
