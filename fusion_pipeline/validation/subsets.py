"""Subsets of households: the groups of some variables, and of all their pairs.

Belongs here: turning grouping variables into few ordered groups, crossing them. Does not belong here: estimates
(`subset_estimates.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fusion_pipeline.errors import AnalysisError

CUT_INTO = 5
"""Groups that a number or an ordered category of more values is cut into."""
MISSING = "(missing)"


@dataclass(frozen=True)
class Crossing:
    """Subsets by one grouping variable or a pair of them."""

    names: tuple[str, ...]
    codes: NDArray[np.int64]
    """(n,) subset of each household, 0..len(labels) - 1."""
    labels: tuple[str, ...]


def crossings(frame: pd.DataFrame, names: Sequence[str]) -> Iterator[Crossing]:
    """Make the subsets by every grouping variable, then by every pair.

    Parameters
    ----------
    frame : columns `names`, of any type
        Numbers and ordered categories of more than five values are cut into five groups at their natural breaks. A
        missing value is a group.
    names : grouping variables

    Raises
    ------
    AnalysisError
        If there are none, or one is repeated.
    """
    if not names or len(set(names)) < len(names):
        raise AnalysisError(
            f"groups {', '.join(names) or '(none)'}",
            "are no list of different columns.",
            "Name some columns of the observed table, each once.",
        )
    single = {name: _grouped(frame[name]) for name in names}
    for name, (codes, labels) in single.items():
        yield Crossing((name,), codes, labels)
    for pair in combinations(names, 2):
        (first, ours), (second, theirs) = single[pair[0]], single[pair[1]]
        found, codes = np.unique(first * len(theirs) + second, return_inverse=True)
        labels = tuple(f"{ours[at // len(theirs)]} | {theirs[at % len(theirs)]}" for at in found)
        yield Crossing(pair, codes.reshape(-1).astype(np.int64), labels)


def _grouped(values: pd.Series) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Give every household a group, and every group a name."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        numbers = pd.Series(values.cat.codes).where(values.notna().to_numpy()).astype(float)
        cut = bool(values.cat.ordered)
        names = [str(level) for level in values.cat.categories]
    elif pd.api.types.is_numeric_dtype(values.dtype) and not pd.api.types.is_bool_dtype(values.dtype):
        numbers, cut, names = values.astype(float).reset_index(drop=True), True, []
    else:
        codes, found = pd.factorize(values.astype("string"), sort=True)
        numbers = pd.Series(np.where(codes < 0, np.nan, codes.astype(float)))
        cut, names = False, [str(level) for level in found]
    x = numbers.to_numpy(np.float64)
    known = ~np.isnan(x)
    distinct, counts = np.unique(x[known], return_counts=True)
    owner = np.arange(len(distinct))
    if cut and len(distinct) > CUT_INTO:
        owner = _natural_breaks(distinct.astype(np.float64), counts)
    texts = [names[int(value)] if names else f"{value:.4g}" for value in distinct]
    groups = [np.flatnonzero(owner == group) for group in range(int(owner.max(initial=-1)) + 1)]
    labels = [texts[g[0]] if len(g) == 1 else f"{texts[g[0]]} to {texts[g[-1]]}" for g in groups]
    codes = np.full(len(x), len(labels), dtype=np.int64)
    codes[known] = owner[np.searchsorted(distinct, x[known])]
    return codes, (*labels, MISSING)


def _natural_breaks(distinct: NDArray[np.float64], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Part sorted values into `CUT_INTO` runs of least variance within: k-means in one dimension from quantiles."""
    from sklearn.cluster import KMeans

    share = (np.cumsum(counts) - counts / 2) / counts.sum()
    start = np.interp((np.arange(CUT_INTO) + 0.5) / CUT_INTO, share, distinct)
    found = KMeans(CUT_INTO, init=start[:, None], n_init=1).fit(distinct[:, None], sample_weight=counts)
    # Values are sorted, so that a new cluster begins where the label changes.
    return np.concatenate([[0], np.cumsum(np.diff(found.labels_) != 0)]).astype(np.int64)
