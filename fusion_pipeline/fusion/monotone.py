"""Monotone adjustment: one variable made a function of another that never turns back.

Belongs here: `monotonic` and the smoother behind it. Does not belong here: fusing. It is meant for a pair of fused
variables that must rise together, such as the cost and the amount of a fuel at one price.

Method: Friedman's super smoother (Friedman 1984, "A variable span smoother") gives the course, its sorted values the
monotone course, and the weighted mean is kept.
"""

from __future__ import annotations

import numpy as np

from fusion_pipeline.errors import AnalysisError
from fusion_pipeline.fusion.arguments import whole

SPANS = (0.05, 0.2, 0.5)
"""Shares of the points that the three running lines see."""
FEW = 40
"""With fewer points one span is used for all."""


def monotonic(
    x: np.ndarray,
    y: np.ndarray,
    weight: np.ndarray | None = None,
    *,
    expenditure: bool = True,
    preserve: bool = True,
    most: int = 5000,
) -> np.ndarray:
    """Make `y` a monotone function of `x`.

    Parameters
    ----------
    x, y : (n,) numbers
    weight : (n,) numbers, optional
    expenditure : bool
        `y` is what is spent on `x`: neither is negative, `y` is 0 exactly where `x` is, and elsewhere at least the
        smallest positive `y` given.
    preserve : bool
        Keep the weighted mean of `y`.
    most : int
        Points the smoother sees; of more, this many at even ranks of `x`, both ends among them.

    Returns
    -------
    (n,) float64, or integers if `y` has integers. Equal `x` have equal results: what `y` varies at one `x` is gone, so
    this is for relations, not for distributions.

    Raises
    ------
    AnalysisError
        If a value is missing, or negative where an expenditure is asked for.

    Notes
    -----
    The direction is that of the correlation of `x` with the smoothed values. Rounding integers and the smallest
    positive value may move the mean a little.

    Examples
    --------
    >>> import numpy as np, fusion_pipeline as fp
    >>> used = np.array([0.0, 1, 2, 3, 4, 5])
    >>> spent = fp.monotonic(used, np.array([0.0, 2, 1, 4, 3, 6]))
    >>> bool((np.diff(spent) >= 0).all()), round(float(spent.mean()), 6)
    (True, 2.666667)
    """
    values, result = _numbers("x", x), _numbers("y", y).copy()
    mass = np.ones(len(values)) if weight is None else _numbers("weight", weight)
    most = whole("monotonic, most", most, 2, AnalysisError)
    _check(values, result, mass, expenditure)
    is_integer = np.issubdtype(np.asarray(y).dtype, np.integer)
    fitted = np.ones(len(values), dtype=bool)
    least = 0.0
    if expenditure:
        fitted = values > 0
        least = float(result[result > 0].min(initial=np.inf))
        result[~fitted] = 0
        result[fitted & (result == 0)] = least if np.isfinite(least) else 0.0
    if fitted.any():
        result[fitted] = _course(values[fitted], result[fitted], mass[fitted], most)
        now = np.average(result, weights=mass)
        if preserve and now != 0:
            result *= np.average(np.asarray(y, dtype=np.float64), weights=mass) / now
        if expenditure and np.isfinite(least):
            result[fitted] = np.maximum(result[fitted], least)
    return np.round(result).astype(np.asarray(y).dtype) if is_integer else result


def super_smoother(x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Smooth `y` over increasing `x`, each point with the span that cross-validation finds best near it.

    Parameters
    ----------
    x : (n,) not decreasing
    y, weight : (n,)

    Returns
    -------
    (n,) float64
    """
    if len(x) < 3 or x[0] == x[-1]:
        return np.full(len(x), np.average(y, weights=weight))
    if len(x) < FEW:
        return _running_lines(x, y, weight, 0.3)[0]
    fits, missed = zip(*(_running_lines(x, y, weight, span) for span in SPANS), strict=True)
    tweeter, middle = SPANS[:2]
    smoothed = np.stack([_running_lines(x, residual, weight, middle)[0] for residual in missed])
    best = np.array(SPANS)[np.argmin(smoothed, axis=0)]
    span = np.clip(_running_lines(x, best, weight, middle)[0], SPANS[0], SPANS[-1])
    at = np.clip(np.searchsorted(SPANS, span, side="right") - 1, 0, len(SPANS) - 2)
    part = (span - np.array(SPANS)[at]) / np.diff(SPANS)[at]
    rows, stacked = np.arange(len(x)), np.stack(fits)
    mixed = (1 - part) * stacked[at, rows] + part * stacked[at + 1, rows]
    return _running_lines(x, mixed, weight, tweeter)[0]


def _course(x: np.ndarray, y: np.ndarray, weight: np.ndarray, most: int) -> np.ndarray:
    order = np.argsort(x, kind="stable")
    if len(order) > most:
        order = order[np.linspace(0, len(order) - 1, most).round().astype(np.int64)]
    at, smooth = x[order], super_smoother(x[order], y[order], weight[order])
    # Of equal x one point: the mean of their smoothed values.
    known, first = np.unique(at, return_inverse=True)
    mass = np.maximum(weight[order], 1e-300)
    smooth = np.bincount(first, smooth * mass) / np.bincount(first, mass)
    falls = len(known) > 1 and np.ptp(smooth) > 0 and np.corrcoef(known, smooth)[0, 1] < 0
    rising = np.sort(smooth)
    return np.interp(x, known, rising[::-1] if falls else rising)


def _running_lines(
    x: np.ndarray, y: np.ndarray, weight: np.ndarray, span: float
) -> tuple[np.ndarray, np.ndarray]:
    """Fit a line to the neighbours of every point; return its value there, and how far it is off without the point."""
    n = len(x)
    half = max(2, int(0.5 * span * n + 0.5))
    width = min(2 * half + 1, n)
    first = np.clip(np.arange(n) - half, 0, n - width)

    def sums(values: np.ndarray) -> np.ndarray:
        total = np.concatenate([[0.0], np.cumsum(values)])
        return total[first + width] - total[first]

    # About the mean: sums of squares of large numbers would cancel.
    u, v = x - x.mean(), y - y.mean()
    mass = np.maximum(sums(weight), 1e-300)
    mean_u, mean_v = sums(weight * u) / mass, sums(weight * v) / mass
    spread = np.maximum(sums(weight * u * u) - mass * mean_u**2, 0)
    slope = np.where(
        spread > (1e-3 * (np.quantile(x, 0.75) - np.quantile(x, 0.25))) ** 2,
        (sums(weight * u * v) - mass * mean_u * mean_v) / np.where(spread > 0, spread, 1.0),
        0.0,
    )
    fit = mean_v + slope * (u - mean_u)
    leverage = weight / mass + np.where(
        spread > 0, weight * (u - mean_u) ** 2 / np.where(spread > 0, spread, 1.0), 0.0
    )
    missed = np.abs(v - fit) / np.maximum(1 - leverage, 1e-3)
    return fit + y.mean(), missed


def _numbers(name: str, values: np.ndarray) -> np.ndarray:
    """Return values as float64, one a row."""
    try:
        found = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        found = np.empty(())
    if found.ndim != 1:
        raise AnalysisError(
            f"monotonic, {name}",
            f"is a {type(values).__name__} that is no row of numbers.",
            "Give one a row.",
        )
    return found


def _check(x: np.ndarray, y: np.ndarray, weight: np.ndarray, expenditure: bool) -> None:
    if not len(x) == len(y) == len(weight):
        raise AnalysisError(
            "monotonic", f"got {len(x)}, {len(y)} and {len(weight)} values.", "Give one of each a row."
        )
    for name, values in (("x", x), ("y", y), ("weight", weight)):
        if bad := int((~np.isfinite(values)).sum()):
            raise AnalysisError(
                f"monotonic, {name}", f"is missing or infinite {bad} times.", "Leave these rows out."
            )
        if (expenditure or name == "weight") and (bad := int((values < 0).sum())):
            raise AnalysisError(
                f"monotonic, {name}", f"is negative {bad} times.", "Correct it, or give expenditure=False."
            )
    if len(weight) and not weight.any():
        raise AnalysisError("monotonic, weight", "is zero everywhere.", "Leave it out, or correct it.")
