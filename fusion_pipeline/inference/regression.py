"""Linear and logistic regression coefficients in every cell, weighted.

Belongs here: fitting and the influence of a record on the coefficients. Does not belong here: reading formulas
(`estimands.py`).

Method: pseudo maximum likelihood (Binder 1983, International Statistical Review 51:279): solve
sum w x (y - mu(x'b)) = 0. With A = sum w x x' mu', z = A^-1 x (y - mu): the sandwich variance, as in R's `svyglm` for
independent records.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusion_pipeline.errors import AnalysisError
from fusion_pipeline.inference.distribution import ordered
from fusion_pipeline.inference.estimators import Array, Codes, Estimator, Sample

_STEPS, _CLOSE = 50, 1e-10
ROWS = 1 << 14
"""Records whose products are in memory at a time."""


@dataclass(frozen=True)
class Regression(Estimator):
    """Coefficients of a regression; `columns` are the outcome and then the terms, `labels` the coefficients.

    Numbers enter as they are, categories as one indicator a level but the first. `levels` has a category's
    levels, None for a number; coefficients that a cell's records do not determine are unknown there.
    """

    levels: tuple[tuple[str, ...] | None, ...] = ()
    logistic: bool = False

    @property
    def parameters(self) -> int:  # type: ignore[override]
        """Number of coefficients."""
        return len(self.labels)

    def replicated(self, sample: Sample, cells: Codes) -> Array:
        """Fit every cell for the weight and its replicates."""
        replicates = sample.weights.replicates
        out = np.full((sample.count, len(self.labels), 1 + replicates.shape[1]), np.nan)
        self._check_outcome(sample, cells)
        order, starts = ordered(cells, sample.count)
        for cell in range(sample.count):
            rows = order[starts[cell] : starts[cell + 1]]
            x, y = self._design(sample, rows)
            at = sample.rows[rows]
            start = self._fit(x, y, sample.weights.main[at][:, None], np.zeros((1, x.shape[1])))
            out[cell, :, 0] = start[0]
            if replicates.shape[1] and np.isfinite(start).all():
                many = np.repeat(start, replicates.shape[1], axis=0)
                out[cell, :, 1:] = self._fit(x, y, replicates[at], many).T
        return out

    def linearised(self, sample: Sample, cells: Codes, estimate: Array) -> Array:
        """Sandwich variance of each coefficient."""
        out = np.full(estimate.shape, np.nan)
        order, starts = ordered(cells, sample.count)
        for cell in np.flatnonzero(np.isfinite(estimate).all(axis=1)):
            rows = order[starts[cell] : starts[cell + 1]]
            x, y = self._design(sample, rows)
            w, n = sample.weights.main[sample.rows[rows]], len(rows)
            mu, slope = self._mean(x @ estimate[cell])
            bread = np.linalg.inv((x * (w * slope)[:, None]).T @ x)
            z = (x * (w * (y - mu))[:, None]) @ bread
            out[cell] = n / (n - 1) * (z * z).sum(axis=0) if n > 1 else np.nan
        return out

    def _check_outcome(self, sample: Sample, cells: Codes) -> None:
        y = sample.values[self.columns[0]][cells >= 0]
        if self.logistic and len(y) and (y.min() < 0 or y.max() > 1):
            raise AnalysisError(
                f"logistic, outcome {self.columns[0]}",
                f"has values from {y.min():g} to {y.max():g}.",
                "Give a condition, such as insec = 'Yes', or a share between 0 and 1.",
            )

    def _design(self, sample: Sample, rows: Codes) -> tuple[Array, Array]:
        terms = terms_of(sample, rows, self.columns[1:], self.levels)
        return np.column_stack([np.ones(len(rows)), *terms]), sample.values[self.columns[0]][rows]

    def _mean(self, eta: Array) -> tuple[Array, Array]:
        if not self.logistic:
            return eta, np.ones_like(eta)
        mu = 1 / (1 + np.exp(-np.clip(eta, -500, 500)))
        return mu, mu * (1 - mu)

    def _fit(self, x: Array, y: Array, w: NDArray[Any], start: Array) -> Array:
        """Solve for every column of the weights (n, R) at once, from `start` (R, p), by Newton's steps."""
        beta, p = start.copy(), x.shape[1]
        if len(x) < p or np.linalg.matrix_rank(x[w[:, 0] > 0]) < p:
            return np.full_like(beta, np.nan)
        for _ in range(_STEPS if self.logistic else 1):
            score, information = np.zeros_like(beta), np.zeros((len(beta), p, p))
            for begin in range(0, len(x), ROWS):
                part = slice(begin, begin + ROWS)
                mu, slope = self._mean(x[part] @ beta.T)
                weights = np.asarray(w[part], dtype=np.float64)
                score += (weights * (y[part, None] - mu)).T @ x[part]
                outer = (x[part, :, None] * x[part, None, :]).reshape(-1, p * p)
                information += ((weights * slope).T @ outer).reshape(-1, p, p)
            try:
                step = np.linalg.solve(information, score[..., None])[..., 0]
            except np.linalg.LinAlgError:
                return np.full_like(beta, np.nan)
            beta += step
            if np.abs(step).max() < _CLOSE * (1 + np.abs(beta).max()):
                return beta
        # Newton's steps without end: the outcome is separated by the terms, and there is no maximum.
        return beta if not self.logistic else np.full_like(beta, np.nan)


def terms_of(
    sample: Sample, rows: Codes, columns: Sequence[str], levels: Sequence[tuple[str, ...] | None]
) -> list[Array]:
    """Turn columns into terms (n,): numbers as they are, categories as one indicator a level but the first."""
    found = []
    for name, known in zip(columns, levels, strict=True):
        if known is None:
            found.append(sample.values[name][rows])
        else:
            found += [(sample.codes[name][rows] == level).astype(float) for level in range(1, len(known))]
    return found
