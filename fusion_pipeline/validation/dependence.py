"""Dependence among variables, observed and fused: rank correlations, Cramer's V, and slopes of one on the other.

Belongs here: measures of dependence and their comparison. Does not belong here: single variables
(`distributions.py`), groups (`subset_estimates.py`).

Every variable becomes columns: a number or an ordered predictor one, a category one indicator a level. All is computed
from the correlations of ranks of these columns. With p the share of an indicator (0 for a number),

    strength^2 = sum over the columns i of one variable and j of the other of (1 - p_i) (1 - p_j) r_ij^2,

divided by min(levels) - 1 where both are categories, is the square of Spearman's correlation of two numbers, of the
correlation ratio of ranks of a number and a category, and of Cramer's V of two categories.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Columns:
    """Variables as columns.

    Parameters
    ----------
    values : (n, columns)
    own : name of the variable of each column
    indicator : whether a column is the indicator of a level
    """

    values: Array
    own: tuple[str, ...]
    indicator: tuple[bool, ...]

    @property
    def shares(self) -> Array:
        """Share of every indicator; 0 for a number."""
        return np.where(self.indicator, self.values.mean(axis=0), 0.0)


def predictor_columns(frame: pd.DataFrame, names: Sequence[str]) -> Columns:
    """Turn predictors into columns: numbers and ordered categories one each, others an indicator a level that occurs.

    A missing number counts as the median.
    """
    values: list[Array] = []
    own: list[str] = []
    for name in names:
        column = frame[name]
        if not isinstance(column.dtype, pd.CategoricalDtype) and not pd.api.types.is_numeric_dtype(column):
            column = column.astype("category")
        if isinstance(column.dtype, pd.CategoricalDtype) and not column.cat.ordered:
            codes = column.cat.codes.to_numpy()
            parts = [(codes == level).astype(np.float64) for level in np.unique(codes)]
        elif isinstance(column.dtype, pd.CategoricalDtype):
            parts = [column.cat.codes.to_numpy().astype(np.float64)]
        else:
            numbers = column.to_numpy(np.float64, na_value=np.nan)
            parts = [np.where(np.isnan(numbers), np.nanmedian(numbers), numbers)]
        values += parts
        own += [name] * len(parts)
    indicator = tuple(own.count(name) > 1 for name in own)
    return Columns(np.column_stack(values) if values else np.empty((len(frame), 0)), tuple(own), indicator)


def ranked(values: Array) -> Array:
    """Standardize the ranks of columns (n, c): mean 0, mean square 1; NaN for a column that is the same everywhere."""
    ranks = pd.DataFrame(values).rank().to_numpy()
    ranks = ranks - ranks.mean(axis=0)
    spread = np.sqrt((ranks**2).mean(axis=0))
    return ranks / np.where(spread > 0, spread, np.nan)


def correlations(first: Array, second: Array) -> Array:
    """Correlate columns of `ranked`: (columns of first, columns of second)."""
    return first.T @ second / len(first)


def slope(observed: Array, fused: Array) -> float:
    """Slope of fused on observed correlations: 1 if all is kept, 0 if nothing is; NaN with fewer than two known."""
    x, y = np.ravel(observed), np.ravel(fused)
    known = np.isfinite(x) & np.isfinite(y)
    x, y = x[known], y[known]
    if len(x) < 2 or np.ptp(x) == 0:
        return float("nan")
    return float(np.polyfit(x, y, 1)[0])


def pairs_of(own: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """List the pairs of columns that belong to different variables."""
    pairs = [(i, j) for i, j in combinations(range(len(own)), 2) if own[i] != own[j]]
    i, j = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    return i, j


def strengths(correlation: Array, first: Columns, second: Columns) -> dict[tuple[str, str], float]:
    """Measure the dependence of every variable of one set on every variable of another, 0 to 1.

    Parameters
    ----------
    correlation : (columns of first, columns of second) of `correlations`
    """
    square = np.nan_to_num(correlation**2) * (1 - first.shares)[:, None] * (1 - second.shares)
    found = {}
    for a in dict.fromkeys(first.own):
        rows = [i for i, name in enumerate(first.own) if name == a]
        for b in dict.fromkeys(second.own):
            columns = [j for j, name in enumerate(second.own) if name == b]
            levels = [len(side) for side in (rows, columns) if len(side) > 1]
            by = min(levels) - 1 if len(levels) == 2 else 1
            found[a, b] = float(np.sqrt(min(1.0, square[np.ix_(rows, columns)].sum() / by)))
    return found


def compare_dependence(
    observed: Columns, fused: Sequence[Columns], beside: Columns
) -> tuple[pd.DataFrame, float, float]:
    """Compare the dependence of fusion variables on each other and on predictors.

    Parameters
    ----------
    observed : fusion variables as answered
    fused : the same as drawn, of every implicate
    beside : predictors of the same households

    Returns
    -------
    table : `first`, `second`, `kind` of the second ("fused" or "predictor"), strength `observed` and `fused`
    fused-fused slope, fused-predictor slope : of all correlations
    """
    predictors = ranked(beside.values)

    def correlated(columns: Columns) -> tuple[Array, Array]:
        own = ranked(columns.values)
        return correlations(own, own), correlations(own, predictors)

    ours, found = correlated(observed), [correlated(columns) for columns in fused]
    # A level that an implicate never drew is unrelated to anything there.
    theirs = [np.nan_to_num(np.stack(part)).mean(axis=0) for part in zip(*found, strict=True)]
    i, j = pairs_of(observed.own)
    rows = []
    for kind, side, other in (("fused", 0, observed), ("predictor", 1, beside)):
        strong, drawn = (strengths(which[side], observed, other) for which in (ours, theirs))
        named = strong if kind == "predictor" else combinations(dict.fromkeys(observed.own), 2)
        rows += [(*pair, kind, strong[pair], drawn[pair]) for pair in named]
    table = pd.DataFrame(rows, columns=["first", "second", "kind", "observed", "fused"])
    return table, slope(ours[0][i, j], theirs[0][i, j]), slope(ours[1], theirs[1])
