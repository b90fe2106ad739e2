"""Calibration: what out-of-fold predictions show to be wrong on average is put right.

Belongs here: corrections of class probabilities and of the levels of quantiles, fitted on donors that the models have
not seen. Does not belong here: fitting models (`boosting.py`), donor pools (`donor_pools.py`).

Boosted probabilities are too timid or too bold as a whole, and their mean is not the share of the class where growth
stopped early. One slope and one shift per class correct both (Guo et al. 2017, "On calibration of modern neural
networks": temperature and vector scaling; Platt 1999 for two classes). They are written into the leaves, so a model
file remains all that a draw needs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import lightgbm as lgb

SMALLEST = 1e-9
"""Probabilities are held away from 0 and 1 by this much while a correction is fitted."""
SLOPES = (0.5, 2.0)
"""A slope outside this range says that there is no signal to correct, not that it should be blown up."""


@dataclass(frozen=True)
class Calibration:
    """Corrected scores are ``slope * score + shift``, one shift per class; for two classes that of the second."""

    slope: float
    shift: np.ndarray

    def apply(self, probabilities: np.ndarray) -> np.ndarray:
        """Correct (n,) probabilities of the second of two classes, or (n, classes)."""
        if probabilities.ndim == 1:
            return 1 / (1 + np.exp(-self.slope * _score(probabilities) - self.shift[0]))
        score = self.slope * _score(probabilities) + self.shift
        odds = np.exp(score - score.max(axis=1, keepdims=True))
        return odds / odds.sum(axis=1, keepdims=True)


def fit_calibration(probabilities: np.ndarray, label: np.ndarray, weight: np.ndarray) -> Calibration:
    """Find the slope and shifts that give the smallest weighted log-loss.

    Parameters
    ----------
    probabilities : (n,) or (n, classes) float64
        Predictions for units that the model has not seen.
    label : (n,) class numbers, 0-based
    weight : (n,) float64

    Notes
    -----
    Where the slope is inside its range, the derivative of the loss by a shift is zero only if the class's mean
    probability is its weighted share; outside, shifts are fitted with the slope at its bound: the same holds.
    """
    from scipy.optimize import minimize

    binary = probabilities.ndim == 1
    score = _score(probabilities)
    classes = 1 if binary else score.shape[1]
    hit = label[:, None] == (np.arange(1, 2) if binary else np.arange(classes))
    share = weight / weight.sum()

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        margin = (parameters[0] * score).reshape(len(score), classes) + parameters[1:]
        if binary:
            total = np.logaddexp(0.0, margin[:, 0])
            expected = np.exp(margin - total[:, None])
        else:
            top = margin.max(axis=1)
            total = top + np.log(np.exp(margin - top[:, None]).sum(axis=1))
            expected = np.exp(margin - total[:, None])
        missed = share[:, None] * (expected - hit)
        value = float(share @ (total - (margin * hit).sum(axis=1)))
        slope = float((missed * score.reshape(len(score), classes)).sum())
        return value, np.concatenate([[slope], missed.sum(axis=0)])

    bounds = [SLOPES, *[(None, None)] * classes]
    start = np.concatenate([[1.0], np.zeros(classes)])
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"ftol": 1e-13})
    return Calibration(float(found.x[0]), found.x[1:])


def move(calibration: Calibration, label: np.ndarray, weight: np.ndarray, other: np.ndarray) -> Calibration:
    """Carry a correction over to a model fitted on other weights.

    Parameters
    ----------
    calibration : Calibration
        Fitted with `weight`.
    label : (n,) class numbers
    weight, other : (n,) float64

    Notes
    -----
    The slope is to change how far scores are from the classes' shares, not the shares: the shift follows these by
    (1 - slope) times the change of their score.
    """
    classes = max(2, len(calibration.shift))
    shares = [np.bincount(label.astype(np.intp), w, classes) / w.sum() for w in (weight, other)]
    if len(calibration.shift) == 1:
        before, after = (_score(share[1:]) for share in shares)
    else:
        before, after = (_score(share[None])[0] for share in shares)
    return Calibration(calibration.slope, calibration.shift + (1 - calibration.slope) * (after - before))


def write_into(booster: lgb.Booster, calibration: Calibration) -> None:
    """Correct a model in place: scale every leaf, and shift the leaves of each class's first tree."""
    classes = len(calibration.shift)
    for tree, information in enumerate(booster.dump_model()["tree_info"]):
        shift = calibration.shift[tree] if tree < classes else 0.0
        for leaf in range(information["num_leaves"]):
            value = booster.get_leaf_output(tree, leaf)
            booster.set_leaf_output(tree, leaf, calibration.slope * value + shift)


def observed_levels(
    quantiles: np.ndarray, values: np.ndarray, weight: np.ndarray, levels: tuple[float, ...]
) -> tuple[float, ...]:
    """Return the levels that predicted quantiles really have: the weighted share of values up to each.

    Parameters
    ----------
    quantiles : (n, p) float64
        Predicted out of fold, for the levels `levels`; not decreasing along a row.
    values, weight : (n,) float64

    Returns
    -------
    (p,) levels; `levels` as they were given if what is observed is not increasing between 0 and 1.
    """
    found = tuple(float(s) for s in np.average(values[:, None] <= quantiles, axis=0, weights=weight))
    sensible = found[0] > 0 and found[-1] < 1 and list(found) == sorted(set(found))
    return found if sensible else levels


def _score(probabilities: np.ndarray) -> np.ndarray:
    inside = np.clip(probabilities, SMALLEST, 1 - SMALLEST)
    return np.log(inside / (1 - inside)) if probabilities.ndim == 1 else np.log(inside)
