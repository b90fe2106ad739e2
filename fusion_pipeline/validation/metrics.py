"""Measures of an estimate against what was really answered: percent error, value added, coverage, smoothed medians.

Belongs here: formulas on arrays. Does not belong here: which estimates are compared (`subset_estimates.py`,
`known_truth.py`), tables of scores (`subset_scores.py`, `area_scores.py`).

Source of the first three and of smoothing them over subset size: Ummel et al. 2024, "Internal validation".
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

NOTHING = 1e-12
"""Part of an estimate below which a difference or margin is rounding."""
SPAN = 0.3
"""Part of the estimates that a smoothed point looks at."""
FEWEST = 15
"""Estimates that a smoothed point looks at, at least."""


def percent_error(estimate: ArrayLike, truth: ArrayLike) -> Array:
    """100 |estimate - truth| / |truth|; undefined (NaN) where the truth is zero."""
    e, t = np.asarray(estimate, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    return np.divide(100 * np.abs(e - t), np.abs(t), out=np.full(e.shape, np.nan), where=t != 0)


def value_added(estimate: ArrayLike, truth: ArrayLike, grand: ArrayLike) -> Array:
    """max(0, 1 - |estimate - truth| / |grand - truth|), `grand` being the mean of everyone: 1 is no error.

    Undefined (NaN) where the mean of everyone is the truth already.
    """
    e, t, g = np.broadcast_arrays(*(np.asarray(x, dtype=np.float64) for x in (estimate, truth, grand)))
    gap = np.abs(g - t)
    lost = np.divide(np.abs(e - t), gap, out=np.full(e.shape, np.nan), where=gap > NOTHING * np.abs(t))
    return np.maximum(0, 1 - lost)


def relative_uncertainty(
    estimate: ArrayLike, margin: ArrayLike, truth: ArrayLike, truth_margin: ArrayLike
) -> Array:
    """(margin / |estimate|) / (truth_margin / |truth|); undefined (NaN) where one of the four is zero."""
    e, m, t, u = (np.abs(np.asarray(x, dtype=np.float64)) for x in (estimate, margin, truth, truth_margin))
    known = (m > NOTHING * e) & (u > NOTHING * t) & (e > 0) & (t > 0)
    return np.divide(m * t, e * u, out=np.full(e.shape, np.nan), where=known)


def weighted_median(values: Array, weight: Array) -> float:
    """Median of values under weights, interpolated between the two around half of the weight."""
    order = np.argsort(values, kind="stable")
    w = weight[order]
    middle = (np.cumsum(w) - w / 2) / w.sum()
    return float(np.interp(0.5, middle, values[order]))


def smoothed(size: ArrayLike, values: ArrayLike, at: ArrayLike) -> Array:
    """Smooth a metric over subset size by running medians, which single outlying subsets do not move.

    Parameters
    ----------
    size : (n,) positive sizes of the subsets
    values : (n,) metric; NaN is left out
    at : (g,) sizes at which the typical value is wanted

    Returns
    -------
    (g,) float64: at every size the median of the nearest `SPAN` of all subsets (`FEWEST` at least) on the scale
    of log(size), under tricube weights of their distance; NaN if there are fewer than `FEWEST`.
    """
    x, y = np.log(np.asarray(size, dtype=np.float64)), np.asarray(values, dtype=np.float64)
    known = ~np.isnan(y)
    x, y, grid = x[known], y[known], np.log(np.asarray(at, dtype=np.float64))
    if len(x) < FEWEST:
        return np.full(len(grid), np.nan)
    near = max(FEWEST, int(np.ceil(SPAN * len(x))))
    found = np.empty(len(grid))
    for i, point in enumerate(grid):
        distance = np.abs(x - point)
        # A little beyond the last of them, so that it counts; equal sizes may put all of them on one point.
        reach = 1.001 * np.partition(distance, near - 1)[near - 1] + 1e-9
        weight = np.clip(1 - (distance / reach) ** 3, 0, None) ** 3
        inside = weight > 0
        found[i] = weighted_median(y[inside], weight[inside])
    return found
