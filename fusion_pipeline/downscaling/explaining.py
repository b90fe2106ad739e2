"""How much of a variable tables and predictors explain between the households of a PUMA.

Belongs here: the two shares of its variance, for what tables count and for what was fused. Does not belong here: what
areas have beyond their tables (`holdout.py`), margins (`beyond.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Explained:
    """Shares of the variance between the households of a PUMA."""

    by_tables: float
    """By the variables that tables count."""
    by_predictors: float
    """By whatever the implicates agree on; 1 for what was observed."""

    @property
    def beyond(self) -> float:
        """What predictors know and tables do not."""
        return max(0.0, self.by_predictors - self.by_tables)


@dataclass(frozen=True)
class Design:
    """Levels of the tables' variables as indicators, apart from the means of the PUMAs."""

    columns: Array
    """(n, D)"""
    variable: NDArray[np.int64]
    """(D,) which variable a column is a level of."""
    weight: Array
    puma: NDArray[np.int64]
    """(n,) numbers from 0."""

    @classmethod
    def of(
        cls, codes: NDArray[np.int64], levels: list[int], weight: Array, puma: NDArray[np.int64]
    ) -> Design:
        """Write indicators.

        Parameters
        ----------
        codes : (n, V) levels of the households
        levels : (V,) how many each variable has
        """
        columns = np.concatenate([np.eye(count)[codes[:, v]] for v, count in enumerate(levels)], axis=1)
        variable = np.repeat(np.arange(len(levels)), levels)
        return cls(_centred(columns, weight, puma), variable, weight, puma)

    def of_variable(self, number: int) -> Explained:
        """Say how much of one of the variables the others explain."""
        other = self.variable != number
        values = self.columns[:, ~other]
        total = float(self.weight @ (values**2).sum(axis=1))
        return Explained(
            _common(self.columns[:, other], values, values, self.weight) / total if total else 1.0, 1.0
        )

    def of_values(self, first: Array, second: Array, there: NDArray[np.bool_]) -> Explained:
        """Say how much of a fused variable is explained.

        Parameters
        ----------
        first, second : (n, L) its values, or indicators of its levels, in two implicates
        there : (n,) households that have it in both

        Notes
        -----
        Draws of two implicates share what predictors explain and nothing else, so that products of the two hold no
        noise: the explained share is their correlation, and the fit to the tables' variables is of one on the other.
        """
        weight, puma = self.weight[there], self.puma[there]
        one, two = (_centred(z[there], weight, puma) for z in (first, second))
        total = float(weight @ (one**2 + two**2).sum(axis=1)) / 2
        if not total:
            return Explained(1.0, 1.0)
        by_tables = _common(_centred(self.columns[there], weight, puma), one, two, weight) / total
        by_predictors = float(weight @ (one * two).sum(axis=1)) / total
        return Explained(*(float(np.clip(share, 0.0, 1.0)) for share in (by_tables, by_predictors)))


def _common(design: Array, one: Array, two: Array, weight: Array) -> float:
    """Give the sum of products of two variables' fits to the design."""
    weighted = design * weight[:, None]
    coefficients = np.linalg.pinv(design.T @ weighted, hermitian=True) @ (weighted.T @ two)
    return float(((weighted.T @ one) * coefficients).sum())


def _centred(values: Array, weight: Array, puma: NDArray[np.int64]) -> Array:
    of_puma = np.bincount(puma, weight)
    sums = np.stack([np.bincount(puma, weight * column) for column in values.T], axis=1)
    return np.asarray(values - (sums / np.where(of_puma > 0, of_puma, 1.0)[:, None])[puma])
