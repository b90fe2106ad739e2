"""Bounds of what relates the variables of two donors, estimated in every cell: `bounds(first, second | common + ...)`.

Belongs here: the bounds as estimands, with their variances. Does not belong here: the formulas (`bounds.py`), the
analysis repeated under an assumed dependence (`sensitivity.py`).

Implicates tell how either variable depends on the common ones, not how the two depend on each other given these. For
two categories the joint shares lie between Frechet's bounds in every class of the common variables, for two numbers the
correlation between those at partial correlations of -1 and 1. Beside them stands what independence given the common
variables makes of it. Bounds are functions of weighted moments, so they have variances as other estimands do; where a
bound has a corner (both sides of a minimum equal), the derivative of one side is taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from fusion_pipeline.errors import AnalysisError
from fusion_pipeline.inference.bounds import NOTHING, joint, partial
from fusion_pipeline.inference.distribution import ordered
from fusion_pipeline.inference.estimators import Array, Codes, Estimator, Sample
from fusion_pipeline.inference.regression import ROWS, terms_of
from fusion_pipeline.inference.weights import Weights

BOUNDS = ("lower", "independent", "upper")
Levels = Sequence[tuple[str, ...] | None]


def bounding(text: str, names: Sequence[str], columns: Sequence[str], levels: Levels) -> Estimator:
    """Make the estimator of bounds: joint shares of two categories, or the correlation of two numbers.

    Parameters
    ----------
    text : the estimand as it was written
    names, columns, levels : of the two variables and then the common ones; levels are None for numbers

    Raises
    ------
    AnalysisError
        If one of the two is a number and the other a category, or shares are asked for within classes of a number.
    """
    (first, second), common = levels[:2], levels[2:]
    if first is None and second is None:
        return CorrelationBounds(tuple(columns), labels=BOUNDS, levels=tuple(common))
    if first is None or second is None:
        number, category = (names[0], names[1]) if first is None else (names[1], names[0])
        raise AnalysisError(
            f"estimate {text}",
            f"relates the number {number} and the category {category}.",
            f"Make two categories of them, such as {number} > 100, or two numbers.",
        )
    if numbers := [name for name, known in zip(names[2:], common, strict=True) if known is None]:
        raise AnalysisError(
            f"estimate {text}",
            f"asks for bounds within classes of {numbers[0]}, which is a number.",
            f"Cut it into classes, such as {numbers[0]} > 5, or leave it out.",
        )
    labels = tuple(f"{a} & {b}: {bound}" for a in first for b in second for bound in BOUNDS)
    sizes = tuple(len(known or ()) for known in levels)
    return ShareBounds(tuple(columns), labels=labels, sizes=sizes)


@dataclass(frozen=True)
class ShareBounds(Estimator):
    """Frechet bounds of joint shares, within classes of the common variables and averaged over them.

    `sizes` has the number of levels of every column; labels are by level of the first, level of the second, bound.
    """

    sizes: tuple[int, ...] = ()

    def replicated(self, sample: Sample, cells: Codes) -> Array:
        """Bound by class, and average by the weight of the class."""
        classes, group = self._classes(sample, cells)
        weight, a, b = self._shares(sample, classes, len(group))
        out = np.full((sample.count, *self.sizes[:2], len(BOUNDS), weight.shape[1]), np.nan)
        for r in range(weight.shape[1]):
            total = np.bincount(group, weights=weight[:, r], minlength=sample.count)
            there = total > 0
            part = np.divide(weight[:, r], total[group], out=np.zeros(len(group)), where=there[group])
            for k, bound in enumerate(_bounds(a[..., r], b[..., r])):
                average = np.zeros(out.shape[:3])
                np.add.at(average, group, part[:, None, None] * bound)
                out[there, :, :, k, r] = average[there]
        return out.reshape(sample.count, len(self.labels), -1)

    def linearised(self, sample: Sample, cells: Codes, estimate: Array) -> Array:
        """z = (g + g_a (1[a] - a) + g_b (1[b] - b) - bound) / W, with g the bound in the record's class."""
        classes, group = self._classes(sample, cells)
        if not len(group):
            return np.full(estimate.shape, np.nan)
        _, a, b = (found[..., 0] for found in self._shares(sample, classes, len(group)))
        total = sample.totals(cells, sample.weights.main[sample.rows])[cells]
        first, second = (sample.codes[name] for name in self.columns[:2])
        by_label = estimate.reshape(-1, *self.sizes[:2], len(BOUNDS))
        out = np.empty(by_label.shape)
        for k, (bound, by_a, by_b) in enumerate(zip(_bounds(a, b), *_slopes(a, b), strict=True)):
            for i in range(self.sizes[0]):
                for j in range(self.sizes[1]):
                    off_a, off_b = (first == i) - a[classes, i], (second == j) - b[classes, j]
                    value = bound[classes, i, j] + by_a[classes, i, j] * off_a + by_b[classes, i, j] * off_b
                    off = np.where(cells >= 0, value - by_label[cells, i, j, k], 0.0)
                    influence = np.divide(off, total, out=np.zeros_like(off), where=cells >= 0)
                    out[:, i, j, k] = sample.influenced(cells, influence)
        return out.reshape(estimate.shape)

    def _classes(self, sample: Sample, cells: Codes) -> tuple[Codes, Codes]:
        """Number the classes that occur: (n,) class of each record, -1 for none; (classes,) cell of each class."""
        packed, there = cells.copy(), cells >= 0
        for name, size in zip(self.columns[2:], self.sizes[2:], strict=True):
            packed = packed * size + sample.codes[name]
        classes = np.full(len(cells), -1, dtype=np.int64)
        classes[there], found = pd.factorize(packed[there], sort=True)
        return classes, found // int(np.prod(self.sizes[2:], dtype=np.int64))

    def _shares(self, sample: Sample, classes: Codes, count: int) -> tuple[Array, Array, Array]:
        """Weights (classes, 1 + R), and shares of the levels of both variables (classes, levels, 1 + R)."""
        found = []
        for name, size in zip(self.columns[:2], self.sizes, strict=False):
            at = np.where(classes >= 0, classes * size + sample.codes[name], -1)
            sums = sample.sums(at, [np.ones(len(at))], max(count * size, 1))[: count * size, 0]
            found.append(sums.reshape(count, size, sums.shape[1]))
        weight = found[0].sum(axis=1)
        a, b = (
            np.divide(part, weight[:, None], out=np.zeros_like(part), where=weight[:, None] != 0)
            for part in found
        )
        return weight, a, b


@dataclass(frozen=True)
class CorrelationBounds(Estimator):
    """Bounds of a correlation given common variables: numbers as they are, categories as indicators.

    `levels` has the levels of the common variables, None for numbers.
    """

    levels: tuple[tuple[str, ...] | None, ...] = ()

    @property
    def parameters(self) -> int:  # type: ignore[override]
        """Number of coefficients of the common variables, and the mean."""
        return 1 + sum(1 if known is None else len(known) - 1 for known in self.levels)

    def replicated(self, sample: Sample, cells: Codes) -> Array:
        """Bound from the correlations of every cell, for the weight and its replicates."""
        out = np.full((sample.count, len(BOUNDS), 1 + sample.weights.replicates.shape[1]), np.nan)
        order, starts = ordered(cells, sample.count)
        for cell in range(sample.count):
            rows = order[starts[cell] : starts[cell + 1]]
            out[cell] = _correlated(self._columns(sample, rows), sample.weights, sample.rows[rows])
        return out

    def linearised(self, sample: Sample, cells: Codes, estimate: Array) -> Array:
        """With u, v standardised, f, g what the common variables explain of them: of the middle u g + v f - f g.

        Less middle (u^2 + v^2)/2; of the part of u explained, 2 u f - f^2 - part u^2; the bounds' by the chain rule.
        """
        out = np.full(estimate.shape, np.nan)
        order, starts = ordered(cells, sample.count)
        for cell in np.flatnonzero(np.isfinite(estimate).all(axis=1)):
            rows = order[starts[cell] : starts[cell + 1]]
            w, n = sample.weights.main[sample.rows[rows]], len(rows)
            if n < 2:
                continue
            share = w / w.sum()
            both = self._columns(sample, rows)
            both = both - share @ both
            sides, x = both[:, :2], both[:, 2:]
            sides = sides / np.sqrt(share @ sides**2)
            root = np.sqrt(share)[:, None]
            fitted = x @ np.linalg.lstsq(root * x, root * sides, rcond=None)[0]
            (u, v), (f, g) = sides.T, fitted.T
            of_u, of_v, middle = share @ (u * f), share @ (v * g), estimate[cell, 1]
            z = u * g + v * f - f * g - middle * (u * u + v * v) / 2
            z_u, z_v = 2 * u * f - f * f - of_u * u * u, 2 * v * g - g * g - of_v * v * v
            width = np.sqrt(max((1 - of_u) * (1 - of_v), 0.0))
            apart = -((1 - of_v) * z_u + (1 - of_u) * z_v) / (2 * width) if width > 0 else np.zeros(n)
            for k, influence in enumerate((z - apart, z, z + apart)):
                out[cell, k] = n / (n - 1) * ((share * influence) ** 2).sum()
        return out

    def _columns(self, sample: Sample, rows: Codes) -> Array:
        """Give the two variables and then the common ones: (n, 2 + p)."""
        two = [sample.values[name][rows] for name in self.columns[:2]]
        return np.column_stack([*two, *terms_of(sample, rows, self.columns[2:], self.levels)])


def _bounds(a: Array, b: Array) -> tuple[Array, Array, Array]:
    """Lower bound, independence and upper bound of joint shares (classes, I, J), from those of either variable."""
    lower, upper = joint(a, b)
    return lower, a[:, :, None] * b[:, None, :], upper


def _slopes(a: Array, b: Array) -> tuple[tuple[Array, Array, Array], tuple[Array, Array, Array]]:
    """Derivatives of `_bounds` by the share of the first variable, and by that of the second."""
    a, b = np.broadcast_arrays(a[:, :, None], b[:, None, :])
    both, least = (a + b > 1).astype(float), (a <= b).astype(float)
    return (both, b, least), (both, a, 1 - least)


def _correlated(columns: Array, weights: Weights, at: Codes) -> Array:
    """Bounds (3, 1 + R) of the correlation of the first two columns (n, k) given the others; `at`: rows of weights."""
    k, count = columns.shape[1], 1 + weights.replicates.shape[1]
    out = np.full((len(BOUNDS), count), np.nan)
    if not len(columns):
        return out
    # Of about one size and mean, so that moments lose no digits.
    spread = columns.std(axis=0)
    columns = (columns - columns.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    with_one = np.column_stack([np.ones(len(columns)), columns])
    moments = np.zeros((count, (k + 1) ** 2))
    for begin in range(0, len(columns), ROWS):
        part, rows = with_one[begin : begin + ROWS], at[begin : begin + ROWS]
        w = np.column_stack([weights.main[rows], weights.replicates[rows]])
        moments += w.T @ (part[:, :, None] * part[:, None, :]).reshape(len(part), -1)
    moments = moments.reshape(-1, k + 1, k + 1)
    total = moments[:, :1, :1]
    moments = np.divide(moments, total, out=np.zeros_like(moments), where=total > 0)
    covariance = moments[:, 1:, 1:] - moments[:, 1:, :1] * moments[:, :1, 1:]
    variance = np.diagonal(covariance, axis1=1, axis2=2)
    varies = variance > NOTHING
    # A common variable that is the same everywhere explains nothing.
    scale = np.sqrt(np.where(varies, variance, np.inf))
    r = covariance / scale[:, :, None] / scale[:, None, :]
    known = varies[:, :2].all(axis=1)
    lower, upper = partial(r[known, 0, 2:], r[known, 1, 2:], r[known, 2:, 2:])
    out[:, known] = lower, (lower + upper) / 2, upper
    return out
