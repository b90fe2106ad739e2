"""Quantiles and the Gini coefficient: estimands that need a cell's records in order.

Belongs here: these estimators and their variances. Does not belong here: the loops (`kernels.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fusion_pipeline.inference.estimators import Array, Codes, Estimator, Sample
from fusion_pipeline.inference.weights import Weights


@dataclass(frozen=True)
class Quantile(Estimator):
    """Weighted quantile of a number: the smallest value with at least `p` of the weight at or below it.

    Where exactly `p` of the weight is at or below a value, half way from it to the next.
    """

    p: float = 0.5
    bounded: ClassVar[bool] = False

    def replicated(self, sample: Sample, cells: Codes) -> Array:
        """Invert the weighted distribution function for the weight and every replicate."""
        return self._at(sample, cells, np.full(sample.count, self.p), sample.weights)[:, None]

    def linearised(self, sample: Sample, cells: Codes, estimate: Array) -> Array:
        """p (1 - p) / (n' f^2), n' effective; 1/f is the slope of the quantile function around p.

        Notes
        -----
        The slope is taken over p +- z s, s^2 = p (1 - p)/n', which is the interval of Woodruff (1952):
        SE = (Q(p + z s) - Q(p - z s)) / (2 z). Its ends are kept within the data.
        """
        n, effective = sample.sizes(cells)
        with np.errstate(divide="ignore", invalid="ignore"):
            s = np.sqrt(self.p * (1 - self.p) / effective)
        plain = sample.weights.without_replicates()
        low, high = np.maximum(self.p - sample.z * s, 0), np.minimum(self.p + sample.z * s, 1)
        below, above = (self._at(sample, cells, np.nan_to_num(p), plain)[:, 0] for p in (low, high))
        with np.errstate(divide="ignore", invalid="ignore"):
            slope = (above - below) / (high - low)
        return np.where(n > 1, (slope * s) ** 2, np.nan)[:, None]

    def _at(self, sample: Sample, cells: Codes, p: Array, weights: Weights) -> Array:
        from fusion_pipeline.inference.kernels import cell_quantiles

        x = sample.values[self.columns[0]]
        order, starts = ordered(cells, sample.count, x)
        out = np.empty((sample.count, 1 + weights.replicates.shape[1]))
        cell_quantiles(starts, order, sample.rows, weights.main, weights.replicates, x, p, out)
        return out


class Gini(Estimator):
    """Weighted Gini coefficient of a number whose sum is positive."""

    def replicated(self, sample: Sample, cells: Codes) -> Array:
        """Area between the Lorenz curve and the diagonal, doubled."""
        return self._both(sample, cells, sample.weights)[0][:, None]

    def linearised(self, sample: Sample, cells: Codes, estimate: Array) -> Array:
        """z = dG/dw (Langel and Tille 2013)."""
        influence = self._both(sample, cells, sample.weights.without_replicates())[1]
        return sample.influenced(cells, influence)[:, None]

    def _both(self, sample: Sample, cells: Codes, weights: Weights) -> tuple[Array, Array]:
        from fusion_pipeline.inference.kernels import cell_ginis

        x = sample.values[self.columns[0]]
        order, starts = ordered(cells, sample.count, x)
        out, influence = np.empty((sample.count, 1 + weights.replicates.shape[1])), np.zeros(len(x))
        cell_ginis(starts, order, sample.rows, weights.main, weights.replicates, x, out, influence)
        return out, influence


def ordered(cells: Codes, count: int, x: Array | None = None) -> tuple[Codes, Codes]:
    """Order records by cell, and by x within a cell.

    Returns
    -------
    order : (records in a cell,) positions; starts : (count + 1,) where each cell begins in it.
    """
    there = np.flatnonzero(cells >= 0)
    if x is not None:
        there = there[np.argsort(x[there], kind="stable")]
    order = there[np.argsort(cells[there], kind="stable")]
    return order, np.searchsorted(cells[order], np.arange(count + 1))
