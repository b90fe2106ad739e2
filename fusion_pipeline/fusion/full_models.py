"""How much of a column the full model explains: least squares on ever more columns, from correlations alone.

Belongs here: R² of models with all columns. Does not belong here: smaller models (`least_angle.py`), which columns are
candidates (`lasso.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


class FullModels:
    """R² of least squares of one target on fixed columns, and on any others besides.

    The fixed columns are eliminated once; what that leaves of the others' correlations, (others + 1)² float64, is kept.
    A model with some of the others is then one of these few columns.

    Parameters
    ----------
    correlations : (q, q) float64, symmetric and positive definite
    target : column explained
    fixed, others : columns that explain
    """

    def __init__(
        self, correlations: np.ndarray, target: int, fixed: np.ndarray, others: Sequence[int]
    ) -> None:
        rest = np.array([target, *others])
        self._place = {column: place for place, column in enumerate(rest.tolist())}
        between = correlations[np.ix_(fixed, rest)]
        taken = between.T @ np.linalg.solve(correlations[np.ix_(fixed, fixed)], between)
        self._left = correlations[np.ix_(rest, rest)] - taken
        self._explained = float(taken[0, 0])

    def explained(self, besides: Sequence[int]) -> float:
        """Return R² on the fixed columns and on some of the others besides."""
        at = [self._place[column] for column in besides]
        moments = self._left[at, 0]
        return self._explained + float(moments @ np.linalg.solve(self._left[np.ix_(at, at)], moments))
