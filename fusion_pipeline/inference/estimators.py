"""Estimators: an estimand's value and variance in every cell of one implicate.

Belongs here: the interface, and estimands that are functions of weighted sums. Does not belong here: quantiles and
Gini (`distribution.py`), regressions (`regression.py`), pooling (`pooling.py`).

Variances without replicates are those of linearised estimates (Deville 1999; Woodruff 1971): with z_i the influence of
record i on the estimate of its cell, Var = n/(n - 1) sum (w_i z_i)^2. For a mean this is Cochran's (1977) ratio
variance in the form of Gatz and Smith (1995), n / ((n - 1) W^2) sum w^2 (x - x')^2.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fusion_pipeline.errors import AnalysisError
from fusion_pipeline.inference.weights import Weights

Array = NDArray[np.float64]
Codes = NDArray[np.int64]


@dataclass(frozen=True)
class Sample:
    """Records of one implicate and the cell of each, in one grouping.

    `cells` (n,) holds -1 for records that are filtered out; `count` is the number of cells; `values` has float64
    columns with NaN for missing, `codes` categorical ones with -1 for missing. A record without weight is in no cell.
    """

    cells: Codes
    count: int
    rows: Codes
    weights: Weights
    values: Mapping[str, Array]
    codes: Mapping[str, Codes]
    z: float = 1.6448536269514722
    """Normal quantile of the confidence level: Agresti-Coull and Woodruff use it."""
    known: dict[int, Array] = field(default_factory=dict)
    """Sums of weights that estimators of this grouping share, by the identity of the weights."""

    def where(self, *names: str) -> Codes:
        """Cells of the records that have all of some columns, -1 for others."""
        there = np.ones(len(self.cells), dtype=bool)
        for name in names:
            there &= (self.codes[name] >= 0) if name in self.codes else ~np.isnan(self.values[name])
        return self.cells if there.all() else np.where(there, self.cells, -1)

    def sums(self, cells: Codes, values: Sequence[Array], count: int | None = None) -> Array:
        """Weighted sums (cells, values, 1 + R) of arrays (n,) that are finite where `cells` is not negative."""
        from fusion_pipeline.inference.kernels import weighted_sums

        matrix = np.where(cells >= 0, np.stack(values), 0.0)
        out = np.zeros((count or self.count, len(values), 1 + self.weights.replicates.shape[1]))
        weighted_sums(cells, self.rows, self.weights.main, self.weights.replicates, matrix, out)
        return out

    def weighed(self, cells: Codes) -> Array:
        """Sums of the weight and its replicates (cells, 1 + R); made once for variables without missing values."""
        key = id(self.weights)
        if cells is not self.cells:
            return self.sums(cells, [np.ones(len(cells))])[:, 0]
        if key not in self.known:
            self.known[key] = self.sums(cells, [np.ones(len(cells))])[:, 0]
        return self.known[key]

    def totals(self, cells: Codes, values: Array) -> Array:
        """Unweighted sums (cells,)."""
        there = cells >= 0
        counted = np.bincount(cells[there], weights=values[there], minlength=self.count)
        return counted.astype(np.float64)

    def sizes(self, cells: Codes) -> tuple[Array, Array]:
        """Records and effective records (Kish: (sum w)^2 / sum w^2) of each cell."""
        w = self.weights.main[self.rows]
        square = self.totals(cells, w * w)
        with np.errstate(divide="ignore", invalid="ignore"):
            return self.totals(cells, np.ones_like(w)), np.where(
                square > 0, self.totals(cells, w) ** 2 / square, 0
            )

    def influenced(self, cells: Codes, influence: Array) -> Array:
        """Var = n/(n - 1) sum (w z)^2 of each cell, z (n,); unknown for a single record."""
        w = self.weights.main[self.rows]
        n = self.totals(cells, np.ones_like(w))
        with np.errstate(divide="ignore", invalid="ignore"):
            square = self.totals(cells, np.where(cells >= 0, (w * influence) ** 2, 0.0))
            return np.where(n > 1, n / (n - 1) * square, np.nan)


@dataclass(frozen=True)
class Within:
    """Results of one implicate: arrays (cells, labels), the sizes (cells,)."""

    estimate: Array
    variance: Array
    n: Array
    effective_n: Array


@dataclass(frozen=True)
class Estimator(ABC):
    """An estimand over columns of a sample.

    Subclasses give `replicated`, the estimate for the weight and each replicate (cells, labels, 1 + R), and
    `linearised`, its variance without replicates (cells, labels).
    """

    columns: tuple[str, ...]
    labels: tuple[str | None, ...] = field(default=(None,), kw_only=True)
    parameters = 1
    """Taken from n for the complete-data degrees of freedom."""
    absent: ClassVar[float] = np.nan
    """Estimate in a group that an implicate has no record of."""
    bounded: ClassVar[bool] = True
    """Whether an infinite value leaves no estimate."""

    def within(self, sample: Sample) -> Within:
        """Estimate in every cell, with variances by replicates if there are any, else linearised."""
        if not sample.count:
            nothing = np.empty((0, len(self.labels)))
            return Within(nothing, nothing, nothing[:, 0], nothing[:, 0])
        cells = sample.where(*self.columns)
        if self.bounded:
            self._refuse_infinite(sample, cells)
        n, effective = sample.sizes(cells)
        theta = self.replicated(sample, cells)
        if theta.shape[2] > 1:
            off = theta[:, :, 1:] - theta[:, :, :1]
            # A replicate in which a cell has no weight has no estimate and says nothing.
            variance = np.sum(sample.weights.factors * np.where(np.isnan(off), 0.0, off) ** 2, axis=2)
        else:
            variance = self.linearised(sample, cells, theta[:, :, 0])
        estimate = theta[:, :, 0]
        variance = self.at_the_edge(sample, estimate, variance, effective)
        return Within(estimate, np.where(np.isnan(estimate), np.nan, variance), n, effective)

    def _refuse_infinite(self, sample: Sample, cells: Codes) -> None:
        for name in self.columns:
            if name in sample.values and (count := int((np.isinf(sample.values[name]) & (cells >= 0)).sum())):
                raise AnalysisError(
                    name,
                    f"is infinite in {count:,} records, which leaves nothing to add up.",
                    "Divide by nullif(x, 0) to leave them out as missing, or filter them with `where`; "
                    "medians and quantiles take them as they are.",
                )

    @abstractmethod
    def replicated(self, sample: Sample, cells: Codes) -> Array:
        """Estimate for the weight and each replicate: (cells, labels, 1 + R)."""

    @abstractmethod
    def linearised(self, sample: Sample, cells: Codes, estimate: Array) -> Array:
        """Variance without replicates: (cells, labels)."""

    def at_the_edge(self, sample: Sample, estimate: Array, variance: Array, effective: Array) -> Array:
        """Put right what the formula gets wrong at the edge of the possible; nothing, by default."""
        return variance


class Mean(Estimator):
    """Weighted mean of a number."""

    def replicated(self, sample: Sample, cells: Codes) -> Array:
        """sum(w x) / sum(w)."""
        x = sample.values[self.columns[0]]
        return _over(sample.sums(cells, [x])[:, 0], sample.weighed(cells))[:, None]

    def linearised(self, sample: Sample, cells: Codes, estimate: Array) -> Array:
        """z = (x - x') / W."""
        x = sample.values[self.columns[0]]
        weight = sample.totals(cells, sample.weights.main[sample.rows])
        return sample.influenced(cells, _over(x - estimate[cells, 0], weight[cells]))[:, None]


class Sum(Estimator):
    """Weighted sum of a number."""

    absent = 0.0

    def replicated(self, sample: Sample, cells: Codes) -> Array:
        """sum(w x); unknown where there is no weight."""
        x = sample.values[self.columns[0]]
        there = sample.weighed(cells)[:, :1] > 0
        return np.where(there, sample.sums(cells, [x])[:, 0], np.nan)[:, None]

    def linearised(self, sample: Sample, cells: Codes, estimate: Array) -> Array:
        """W^2 Var(mean): the number of households is known, as the paper has it."""
        weight = sample.totals(cells, sample.weights.main[sample.rows])[:, None]
        return Mean(self.columns).linearised(sample, cells, _over(estimate, weight)) * weight**2


class Proportion(Estimator):
    """Weighted share of every level of a category, `labels` being the levels."""

    def replicated(self, sample: Sample, cells: Codes) -> Array:
        """sum(w 1[level]) / sum(w)."""
        levels = self._levels(sample, cells)
        return _over(levels, levels.sum(axis=1, keepdims=True))

    def linearised(self, sample: Sample, cells: Codes, estimate: Array) -> Array:
        """Agresti and Coull 1998 with effective n."""
        return agresti_coull(estimate, sample.sizes(cells)[1][:, None], sample.z)

    def at_the_edge(self, sample: Sample, estimate: Array, variance: Array, effective: Array) -> Array:
        """Shares of exactly 0 and 1 are the same in every replicate, which says nothing about their error."""
        edge = ((estimate == 0) | (estimate == 1)) & (variance <= 1e-24) & (len(self.labels) > 1)
        return np.where(edge, agresti_coull(estimate, effective[:, None], sample.z), variance)

    def _levels(self, sample: Sample, cells: Codes) -> Array:
        count = len(self.labels)
        cells = np.where(cells >= 0, cells * count + sample.codes[self.columns[0]], -1)
        sums = sample.sums(cells, [np.ones(len(cells))], max(sample.count * count, 1))
        return sums.reshape(sample.count, count, -1)


class Count(Proportion):
    """Weighted number of every level of a category."""

    absent = 0.0

    def replicated(self, sample: Sample, cells: Codes) -> Array:
        """sum(w 1[level]); unknown where there is no weight."""
        levels = self._levels(sample, cells)
        return np.where(levels[:, :, :1].sum(axis=1, keepdims=True) > 0, levels, np.nan)

    def linearised(self, sample: Sample, cells: Codes, estimate: Array) -> Array:
        """W^2 Var(share)."""
        weight = estimate.sum(axis=1, keepdims=True)
        return super().linearised(sample, cells, _over(estimate, weight)) * weight**2

    def at_the_edge(self, sample: Sample, estimate: Array, variance: Array, effective: Array) -> Array:
        """Do for shares what has to be done, and carry it back."""
        weight = estimate.sum(axis=1, keepdims=True)
        share, relative = _over(estimate, weight), _over(variance, weight**2)
        edge = share == 0
        return np.where(edge, super().at_the_edge(sample, share, relative, effective) * weight**2, variance)


class Ratio(Estimator):
    """Ratio of two weighted sums."""

    def replicated(self, sample: Sample, cells: Codes) -> Array:
        """sum(w a) / sum(w b)."""
        sums = sample.sums(cells, [sample.values[name] for name in self.columns])
        return _over(sums[:, 0], sums[:, 1])[:, None]

    def linearised(self, sample: Sample, cells: Codes, estimate: Array) -> Array:
        """z = (a - q b) / B."""
        a, b = (sample.values[name] for name in self.columns)
        below = sample.totals(cells, np.where(cells >= 0, sample.weights.main[sample.rows] * b, 0.0))
        return sample.influenced(cells, _over(a - estimate[cells, 0] * b, below[cells]))[:, None]


class Share(Estimator):
    """A cell's part of the sum over all cells of the grouping."""

    absent = 0.0

    def replicated(self, sample: Sample, cells: Codes) -> Array:
        """sum over the cell / sum over all cells."""
        x = sample.values[self.columns[0]]
        there = sample.weighed(cells)[:, :1] > 0
        part = np.where(there, sample.sums(cells, [x])[:, 0], np.nan)[:, None]
        return _over(part, np.nansum(part, axis=0, keepdims=True))

    def linearised(self, sample: Sample, cells: Codes, estimate: Array) -> Array:
        """z = (x 1[cell] - s x) / T, over the records of all cells."""
        x = sample.weights.main[sample.rows] * sample.values[self.columns[0]]
        x = np.where(cells >= 0, x, 0.0)
        squares, n = sample.totals(cells, x * x), int((cells >= 0).sum())
        total, s = x.sum(), estimate[:, 0]
        if n < 2 or total == 0:
            return np.full_like(estimate, np.nan)
        inner = np.maximum(squares * (1 - 2 * s) + s * s * squares.sum(), 0)
        return (n / (n - 1) * inner / total**2)[:, None]


class Correlation(Estimator):
    """Weighted correlation of two numbers."""

    def replicated(self, sample: Sample, cells: Codes) -> Array:
        """Product-moment correlation from weighted moments about the mean of all records."""
        x, y = self._centred(sample, cells)
        w, sx, sy, sxx, syy, sxy = np.moveaxis(
            sample.sums(cells, [np.ones_like(x), x, y, x * x, y * y, x * y]), 1, 0
        )
        cov = _over(sxy, w) - _over(sx, w) * _over(sy, w)
        vx, vy = _over(sxx, w) - _over(sx, w) ** 2, _over(syy, w) - _over(sy, w) ** 2
        with np.errstate(invalid="ignore"):
            varies = (vx > 1e-12 * _over(sxx, w)) & (vy > 1e-12 * _over(syy, w))
            return np.where(varies, _over(cov, np.sqrt(np.where(varies, vx * vy, 1))), np.nan)[:, None]

    def linearised(self, sample: Sample, cells: Codes, estimate: Array) -> Array:
        """z = (u v - r (u^2 + v^2)/2) / W, with u and v standardised in the cell."""
        w = sample.weights.main[sample.rows]
        weight = sample.totals(cells, w)
        u, v = (self._standardised(sample, cells, x, w, weight) for x in self._centred(sample, cells))
        r = estimate[cells, 0]
        return sample.influenced(cells, _over(u * v - r * (u * u + v * v) / 2, weight[cells]))[:, None]

    def _centred(self, sample: Sample, cells: Codes) -> tuple[Array, Array]:
        there = cells >= 0
        x, y = (sample.values[name] for name in self.columns)
        if not there.any():
            return x, y
        return x - x[there].mean(), y - y[there].mean()

    def _standardised(self, sample: Sample, cells: Codes, x: Array, w: Array, weight: Array) -> Array:
        x = np.where(cells >= 0, x, 0.0)
        off = x - _over(sample.totals(cells, w * x), weight)[cells]
        return _over(off, np.sqrt(_over(sample.totals(cells, w * off * off), weight))[cells])


def agresti_coull(share: Array, effective_n: Array, z: float) -> Array:
    """Variance of a share as Agresti and Coull (1998) have it: z^2 records are added, half of them with the level.

    Positive for shares of 0 and 1, where p (1 - p) / n is not.
    """
    n = effective_n + z * z
    middle = (share * effective_n + z * z / 2) / n
    return middle * (1 - middle) / n


def _over(a: Array, b: Array) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(b == 0, np.nan, a / np.where(b == 0, 1.0, b))
