"""Measures of implicates against the truth that was held out, for any variables.

The measures are those of the yardstick for RECS, reimplemented for populations that it does not know: spread, KS and
fair CRPS (Ferro 2014), coverage of record-level 90 % intervals (Weibull quantiles), error of subset estimates and of
their intervals from between-implicate variance alone, value added against the grand mean, slopes of fused on true
rank correlations.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd

Figures = dict[str, float]
SMALLEST_SUBSET = 30
NORMAL_90 = 1.6449


def measure(
    truth: pd.DataFrame,
    drawn: pd.DataFrame,
    numbers: Sequence[str],
    classes: Sequence[str],
    predictors: Sequence[str],
    subsets: Sequence[str],
    weight: str,
) -> Figures:
    """Score implicates.

    Parameters
    ----------
    truth : (n rows) frame
        The recipient with the values that were held out.
    drawn : (implicates * n rows) frame
        Implicate after implicate, in the order of `truth`.
    numbers, classes : fusion variables
    predictors : columns whose correlation with fusion variables is compared
    subsets : columns whose groups, and pairs of groups, are estimated
    weight : column of `truth`

    Returns
    -------
    dict of figures, in the order of the table; figures of single variables are means over variables.
    """
    n, m = len(truth), len(drawn) // len(truth)
    w = truth[weight].to_numpy(float)
    single = pd.DataFrame(
        [
            _marginal(truth[v].to_numpy(float), drawn[v].to_numpy(float).reshape(m, n), w, v in classes)
            for v in numbers
        ],
        index=list(numbers),
    )
    rows: Figures = {f"sd {v}": float(single["sd"][v]) for v in numbers}
    rows |= {name: float(single[name].mean()) for name in single.columns if name != "sd"}
    true_columns, own = _columns(truth, numbers, classes)
    fused_columns, _ = _columns(drawn, numbers, classes, truth)
    for v in classes:
        at = [j for j, name in enumerate(own) if name == v]
        shares = np.average(true_columns[:, at], axis=0, weights=w)
        found = np.average(fused_columns[:, at].reshape(m, n, -1).mean(axis=0), axis=0, weights=w)
        rows[f"TVD {v}"] = float(np.abs(shares - found).sum() / 2)
    rows |= _subsets(truth[list(subsets)], true_columns, fused_columns.reshape(m, n, -1), w)
    rows |= _slopes(truth[list(predictors)], true_columns, fused_columns.reshape(m, n, -1)[:10], own)
    return rows


def _marginal(truth: np.ndarray, drawn: np.ndarray, w: np.ndarray, binary: bool) -> Figures:
    m = len(drawn)
    spread = np.sqrt(np.cov(truth, aweights=w))
    ordered = np.sort(drawn, axis=0)
    k = np.arange(1, m + 1)[:, None]
    among = 2 * ((2 * k - m - 1) * ordered).sum(axis=0) / (m * (m - 1))
    crps = np.abs(drawn - truth).mean(axis=0) - among / 2
    low, high = np.quantile(drawn, [0.05, 0.95], axis=0, method="weibull")
    return {
        "sd": float(np.sqrt(np.cov(drawn.ravel(), aweights=np.tile(w, m))) / spread),
        "KS": _ks(truth, w, drawn.ravel(), np.tile(w, m)),
        "CRPS / sd": float(np.average(crps, weights=w) / spread),
        "record coverage": float(np.average((truth >= low) & (truth <= high), weights=w)),
    }


def _ks(first: np.ndarray, first_weight: np.ndarray, second: np.ndarray, second_weight: np.ndarray) -> float:
    grid = np.union1d(first, second)

    def distribution(x: np.ndarray, w: np.ndarray) -> np.ndarray:
        order = np.argsort(x)
        total = np.concatenate([[0.0], np.cumsum(w[order])]) / w.sum()
        return total[np.searchsorted(x[order], grid, side="right")]

    return float(np.abs(distribution(first, first_weight) - distribution(second, second_weight)).max())


def _columns(
    frame: pd.DataFrame, numbers: Sequence[str], classes: Sequence[str], like: pd.DataFrame | None = None
) -> tuple[np.ndarray, list[str]]:
    """Return numbers as they are and one indicator a class, and the variable each column is of."""
    columns, own = [], []
    for v in numbers:
        columns.append(frame[v].to_numpy(float))
        own.append(v)
    for v in classes:
        values = frame[v].astype(str).to_numpy()
        for level in sorted(set((frame if like is None else like)[v].astype(str))):
            columns.append((values == level).astype(float))
            own.append(v)
    return np.column_stack(columns), own


def _subsets(by: pd.DataFrame, truth: np.ndarray, drawn: np.ndarray, w: np.ndarray) -> Figures:
    m = len(drawn)
    grand = np.average(truth, axis=0, weights=w)
    errors, added, covered = [], [], []
    for names in [(a,) for a in by] + list(combinations(by, 2)):
        for rows in by.groupby(list(names), observed=True).indices.values():
            if len(rows) < SMALLEST_SUBSET:
                continue
            share = w[rows] / w[rows].sum()
            real = share @ truth[rows]
            means = np.einsum("n,mnc->mc", share, drawn[:, rows])
            error = np.abs(means.mean(axis=0) - real)
            with np.errstate(divide="ignore", invalid="ignore"):
                errors.append(np.where(real == 0, np.nan, 100 * error / np.abs(real)))
                added.append(np.maximum(0, 1 - error / np.abs(grand - real)))
            covered.append(error <= NORMAL_90 * np.sqrt(1 + 1 / m) * means.std(axis=0, ddof=1))
    return {
        "subset MdAPE": float(np.nanmedian(errors)),
        "value added": float(np.nanmean(added)),
        "subset coverage, between only": float(np.mean(covered)),
    }


def _slopes(by: pd.DataFrame, truth: np.ndarray, drawn: np.ndarray, own: Sequence[str]) -> Figures:
    beside = np.column_stack([column for name in by for column in _numeric(by[name])])

    def correlations(values: np.ndarray) -> np.ndarray:
        return np.corrcoef(pd.DataFrame(np.column_stack([values, beside])).rank().to_numpy().T)

    real, found = correlations(truth), np.mean([correlations(values) for values in drawn], axis=0)
    c = len(own)
    pairs = [(i, j) for i, j in combinations(range(c), 2) if own[i] != own[j]]
    i, j = np.array(pairs).T
    return {
        "fused-fused slope": float(np.polyfit(real[i, j], found[i, j], 1)[0]),
        "fused-predictor slope": float(np.polyfit(real[:c, c:].ravel(), found[:c, c:].ravel(), 1)[0]),
    }


def _numeric(predictor: pd.Series) -> list[np.ndarray]:
    """Return a number or ordered class as one column, an unordered class as one indicator a level that occurs."""
    if not isinstance(predictor.dtype, pd.CategoricalDtype):
        return [predictor.to_numpy(float)]
    codes = predictor.cat.codes.to_numpy()
    if predictor.cat.ordered:
        return [codes.astype(float)]
    return [(codes == level).astype(float) for level in np.unique(codes)]
