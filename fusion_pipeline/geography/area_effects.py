"""What a household's fusion variables tell about its PUMA: effects of place, learned although no donor's PUMA is known.

Belongs here: regression of fusion variables on the spatial predictors expected of a donor, and the likelihood of every
candidate PUMA that follows. Does not belong here: the candidates (`candidates.py`), how fusion variables become numbers
and shares (`evidence.py`).

A wrongly placed donor flattens every effect of place, and a PUMA drawn from predictors alone is mostly wrong. Drawn
given the fusion variables too, the PUMAs are those of a proper imputation, and what a model learns from them is not
flattened (Rubin 1987, section 4.2: what is analysed must be in the imputation). The effects come from regression
calibration: E[y | x, location] is linear in E[spatial predictors | x, location] (Carroll et al. 2006, chapter 4).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fusion_pipeline.geography.evidence import Signal

Array = np.ndarray
MOST_COMPONENTS = 25
"""Principal components of the spatial predictors that may have an effect."""
CLASSES = 10
"""Classes of equal size, by expected value, within which the residual variance is taken to be the same."""
LEAST_VARIANCE = 0.1
"""Of a class, as a share of all residuals' variance."""
LEAST_SHARE = 0.1
"""The least probability of an answer, as a share of its frequency: effects are linear, probabilities are not."""
TRUST = 0.7
"""Share of the log-likelihood that counts, because effects are estimated and stand for known ones. At 1 fused means
differ too much between places and true PUMAs become less probable; at 0.35 they differ too little (ACS 2024,
development states of `benchmarks/place.py`, seeds 1 and 2)."""
RIDGE = 1.0
"""Prior precision of the predictors' effects, in households."""


@dataclass(frozen=True)
class AreaEffect:
    """How places shift one signal.

    Attributes
    ----------
    signal : the signal, of n donors
    fitted : (n,) expected from predictors and candidates together; of numbers, in normal scores
    level : (n,) expected from predictors, in standard deviations
    scale : (n,) standard deviation of the residual; not used for shares
    expected : (n,) effect expected of the donor's candidates
    main, slope : (P,) effect of a place, and what is added for each `level`
    residual : (n,) in standard deviations, 0 where the signal says nothing
    explained : share of the residual variance that expected places explain
    """

    signal: Signal
    fitted: Array
    level: Array
    scale: Array
    expected: Array
    main: Array
    slope: Array
    residual: Array
    explained: float

    def take(self, rows: Array) -> AreaEffect:
        """Some of the donors."""
        parts = {
            name: getattr(self, name)[rows] for name in ("fitted", "level", "scale", "expected", "residual")
        }
        return replace(self, signal=self.signal.take(rows), **parts)

    def log_likelihood(self, rows: Array, places: Array) -> Array:
        """(rows, places), up to a constant a row; 0 where the signal says nothing."""
        shift = self.level[rows, None] * self.slope[places] + self.main[places] - self.expected[rows, None]
        values, there = self.signal.values[rows, None], self.signal.there[rows]
        if self.signal.is_share:
            least = LEAST_SHARE * min(self.signal.mean, 1 - self.signal.mean)
            share = np.clip(self.fitted[rows, None] + shift, least, 1 - least)
            told = np.log(np.where(values > 0, share, 1 - share))
        else:
            scale = self.scale[rows, None]
            told = -0.5 * ((values - self.fitted[rows, None] - shift) / scale) ** 2
        told[~there] = 0
        return told


@dataclass(frozen=True)
class AreaEffects:
    """The effects on all signals, and how much each counts.

    `discount` (V,) is `TRUST` / the sum of squared correlations of a signal's residuals with all signals': signals
    that say the same count once together.
    """

    effects: tuple[AreaEffect, ...]
    discount: Array

    def take(self, rows: Array) -> AreaEffects:
        """Some of the donors."""
        return AreaEffects(tuple(effect.take(rows) for effect in self.effects), self.discount)

    def log_likelihood(self, rows: Array, places: Array) -> Array:
        """(rows, places) log-likelihood of every place, up to a constant a row."""
        total = np.zeros((len(rows), len(places)))
        for effect, discount in zip(self.effects, self.discount, strict=True):
            total += discount * effect.log_likelihood(rows, places)
        return total


def fit_area_effects(
    signals: Sequence[Signal],
    features: Array,
    expected_components: Array,
    place_components: Array,
    weight: Array,
) -> AreaEffects:
    """Learn how places shift fusion variables.

    Parameters
    ----------
    signals : of n donors each
    features : (n, F) of the harmonized predictors
    expected_components : (n, Q) components expected over each donor's candidates
    place_components : (P, Q), of `components`
    weight : (n,) of the donors
    """
    found = [
        _fit(signal, features.astype(np.float64), expected_components, place_components, weight)
        for signal in signals
    ]
    residuals = np.stack([effect.residual for effect in found]) if found else np.empty((0, len(weight)))
    there = np.stack([signal.there for signal in signals]) if found else residuals
    # Over donors for whom both say something.
    products = (residuals * weight) @ residuals.T
    squares = (residuals**2 * weight) @ there.T
    correlation = products / np.sqrt(np.maximum(squares * squares.T, 1e-300))
    np.fill_diagonal(correlation, 1)
    return AreaEffects(tuple(found), TRUST / (correlation**2).sum(axis=1))


def _fit(signal: Signal, features: Array, expected: Array, of_place: Array, weight: Array) -> AreaEffect:
    """Fit one signal.

    With h(x) its expectation from the predictors in standard deviations and c the expected components,

        y = features' a + c'b + h(x) c'd + e,  b ~ N(0, s_b I),  d ~ N(0, s_d I),

    with s_b, s_d by maximum marginal likelihood. The product lets a place move those more who have more.
    """
    rows, width, count = np.flatnonzero(signal.there), of_place.shape[1], len(signal.values)
    y, w = signal.values[rows], weight[rows] / weight[rows].mean()
    design = np.column_stack([np.ones(count), features])
    used = design[rows]
    gram = used.T @ (used * w[:, None])
    gram[np.diag_indices_from(gram)] += np.append(1e-9, np.full(features.shape[1], RIDGE))
    alone = design @ np.linalg.solve(gram, used.T @ (w * y))
    level = (alone - alone[rows].mean()) / (alone[rows].std() or 1.0)
    moved = np.hstack([expected, level[:, None] * expected])
    both = np.column_stack([moved[rows], y])
    of_features = np.linalg.solve(gram, used.T @ (both * w[:, None]))
    left = both - used @ of_features
    effect = _shrunk(left[:, :-1], left[:, -1], w, [width, width])
    fitted = design @ (of_features[:, -1] - of_features[:, :-1] @ effect) + moved @ effect
    residual = y - fitted[rows]
    scale = np.ones(count)
    scale[rows] = _scale(residual, alone[rows], w)
    standard = np.zeros(count)
    standard[rows] = residual / scale[rows]
    explained = 1 - np.average(residual**2, weights=w) / max(np.average(left[:, -1] ** 2, weights=w), 1e-300)
    return AreaEffect(
        signal,
        fitted,
        level,
        scale,
        moved @ effect,
        of_place @ effect[:width],
        of_place @ effect[width:],
        standard,
        float(explained),
    )


def components(values: Array, weight: Array, most: int = MOST_COMPONENTS) -> Array:
    """Principal components of what is known of places.

    Parameters
    ----------
    values : (P, Q) spatial predictors; NaN counts as the mean
    weight : (P,) of the places

    Returns
    -------
    (P, at most `most`) float64, of decreasing variance, the first of variance 1. Their scale stays, so that equal
    shrinkage in components is equal shrinkage in predictors.
    """
    share = (weight / weight.sum())[:, None]
    known = ~np.isnan(values)
    reach = np.maximum((known * share).sum(axis=0), 1e-12)
    centred = np.where(known, values - (np.where(known, values, 0) * share).sum(axis=0) / reach, 0.0)
    spread = np.sqrt((centred**2 * share).sum(axis=0))
    standard = centred[:, spread > 1e-9] / spread[spread > 1e-9]
    variance, direction = np.linalg.eigh(standard.T @ (standard * share))
    leading = np.argsort(-variance, kind="stable")[:most]
    leading = leading[variance[leading] > 1e-9]
    if not len(leading):
        return np.zeros((len(values), 0))
    return (standard @ direction[:, leading]) / np.sqrt(variance[leading[0]])


def _scale(residual: Array, alone: Array, weight: Array) -> Array:
    """(n,) standard deviation of the residual within classes of the expected value."""
    cuts = np.quantile(alone, np.linspace(0, 1, CLASSES + 1)[1:-1])
    of_row = np.searchsorted(cuts, alone)
    total = np.bincount(of_row, weights=weight, minlength=CLASSES)
    squares = np.bincount(of_row, weights=weight * residual**2, minlength=CLASSES)
    # A class in which hardly anybody differs would tell with certainty what is but a misfit of the effects.
    least = LEAST_VARIANCE * squares.sum() / total.sum()
    variance = np.maximum(squares / np.where(total > 0, total, 1), max(least, 1e-300))
    return np.sqrt(variance)[of_row]


def _shrunk(columns: Array, y: Array, weight: Array, sizes: Sequence[int]) -> Array:
    """Coefficients of blocks of columns, each with its own prior variance, by maximum marginal likelihood."""
    from scipy.optimize import minimize

    gram, cross = columns.T @ (columns * weight[:, None]), columns.T @ (y * weight)
    squares, count = float(y @ (y * weight)), len(y)
    block = np.repeat(np.arange(len(sizes)), sizes)
    if squares <= 0 or not len(block):
        return np.zeros(len(block))

    def posterior(log_variance: Any) -> tuple[Array, float]:
        root = np.exp(np.clip(log_variance, -25, 5) / 2)[block]
        lower = np.linalg.cholesky(np.eye(len(block)) + root[:, None] * gram * root)
        half = np.linalg.solve(lower, root * cross)
        left = np.maximum(squares - half @ half, 1e-12 * squares)
        loss = count / 2 * np.log(left / count) + np.log(np.diag(lower)).sum()
        return root * np.linalg.solve(lower.T, half), float(loss)

    best = minimize(
        lambda t: posterior(t)[1],
        np.full(len(sizes), -6.0),
        method="Nelder-Mead",
        options={"xatol": 0.05, "fatol": 0.01, "maxiter": 100 * len(sizes)},
    )
    return posterior(best.x)[0]
