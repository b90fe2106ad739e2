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

from fusion_pipeline.validation.dependence import correlations, pairs_of, predictor_columns, ranked, slope
from fusion_pipeline.validation.distributions import ks_distance, total_variation
from fusion_pipeline.validation.metrics import percent_error, value_added

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
        rows[f"TVD {v}"] = total_variation(shares, found)
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
        "KS": ks_distance(truth, w, drawn.ravel(), np.tile(w, m)),
        "CRPS / sd": float(np.average(crps, weights=w) / spread),
        "record coverage": float(np.average((truth >= low) & (truth <= high), weights=w)),
    }


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
            errors.append(percent_error(means.mean(axis=0), real))
            added.append(value_added(means.mean(axis=0), real, grand))
            covered.append(error <= NORMAL_90 * np.sqrt(1 + 1 / m) * means.std(axis=0, ddof=1))
    return {
        "subset MdAPE": float(np.nanmedian(errors)),
        "value added": float(np.nanmean(added)),
        "subset coverage, between only": float(np.mean(covered)),
    }


def _slopes(by: pd.DataFrame, truth: np.ndarray, drawn: np.ndarray, own: Sequence[str]) -> Figures:
    beside = ranked(predictor_columns(by, list(by)).values)

    def correlated(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        ranks = ranked(values)
        return correlations(ranks, ranks), correlations(ranks, beside)

    real, found = correlated(truth), [correlated(values) for values in drawn]
    together, predicted = (np.mean([pair[side] for pair in found], axis=0) for side in (0, 1))
    i, j = pairs_of(own)
    return {
        "fused-fused slope": slope(real[0][i, j], together[i, j]),
        "fused-predictor slope": slope(real[1], predicted),
    }
