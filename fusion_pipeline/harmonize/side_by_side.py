"""The weighted distributions of harmonized predictors, donor and recipient beside each other.

Belongs here: which predictors deserve a look, and their shares by group or interval. Does not belong here: one number
for how alike they are (`similarity.py`), drawing (`validation/figures.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import pandas as pd
import pyarrow as pa

from fusion_pipeline.harmonize.similarity import distribution, similarity

MOST, FEWEST = 12, 6
"""Predictors worth a look: so many at most of those that are too unlike, and so many if there is none."""
INTERVALS = 16
TAIL = 0.01
"""Share of either side's weight that lies beyond the first and the last edge between intervals."""


def least_alike(alike: pd.DataFrame, threshold: float) -> list[str]:
    """Name the predictors below a threshold, worst first and 12 at most; if there are none, the six least alike.

    Parameters
    ----------
    alike : columns `predictor` and `similarity`
    """
    ranked = alike.sort_values(["similarity", "predictor"])
    low = ranked[ranked["similarity"] < threshold]
    return (low.head(MOST) if len(low) else ranked.head(FEWEST))["predictor"].tolist()


def side_by_side(
    donor: pa.Table,
    recipient: pa.Table,
    predictors: Sequence[str],
    groups: Mapping[str, Sequence[str]],
    weight: str = "weight",
) -> list[pd.DataFrame]:
    """Give the weighted shares of both sides, of those who answered.

    Parameters
    ----------
    donor, recipient : harmonized tables
    predictors : which, in this order
    groups : predictor -> names of its groups 1, 2, ...; none for a number

    Returns
    -------
    One frame a predictor: columns `predictor`, `similarity`, `label` (group, or interval), `low` and `high` (edges of
    the interval, NaN for a group), `donor` and `recipient` (shares that add up to 1). Numbers of few values have one
    interval a value; others 16 of equal width between the 1st and the 99th percentile of both sides, the first and
    last of which hold what lies beyond.
    """
    sides = {"donor": donor, "recipient": recipient}
    columns = [weight, *predictors]
    scores = similarity(donor.select(columns), recipient.select(columns), weight)
    frames = []
    for name, score in zip(predictors, scores["similarity"].to_pylist(), strict=True):
        if pa.types.is_dictionary(donor.schema.field(name).type):
            shares = pd.DataFrame({role: distribution(side, name, weight) for role, side in sides.items()})
            labels = [groups[name][int(level) - 1] for level in shares.index]
            frame = shares.reset_index(drop=True).assign(label=labels, low=np.nan, high=np.nan)
        else:
            frame = _intervals({role: (side[name], side[weight]) for role, side in sides.items()})
        frame.insert(0, "predictor", name)
        frame.insert(1, "similarity", score)
        frames.append(frame[["predictor", "similarity", "label", "low", "high", "donor", "recipient"]])
    return frames


def _intervals(sides: Mapping[str, tuple[pa.ChunkedArray, pa.ChunkedArray]]) -> pd.DataFrame:
    known = {}
    for role, (column, weight) in sides.items():
        values, weights = column.to_numpy().astype(np.float64), weight.to_numpy().astype(np.float64)
        there = ~np.isnan(values)
        known[role] = values[there], weights[there]
    different = np.unique(np.concatenate([np.unique(values) for values, _ in known.values()]))
    if len(different) <= INTERVALS:
        between = (different[1:] + different[:-1]) / 2
        step = np.diff(different).min() if len(different) > 1 else 1.0
        edges = np.array([different[0] - step / 2, *between, different[-1] + step / 2])
        labels = [f"{value:g}" for value in different]
    else:
        ends = [_tails(*side) for side in known.values()]
        low, high = min(end[0] for end in ends), max(end[1] for end in ends)
        if low == high:  # nearly all have one value: show what there is of others
            low, high = different[0], different[-1]
        edges = np.linspace(low, high, INTERVALS + 1)
        labels = [f"{a:,.4g} to {b:,.4g}" for a, b in pairwise(edges)]
    frame = pd.DataFrame({"label": labels, "low": edges[:-1], "high": edges[1:]})
    for role, (values, weights) in known.items():
        position = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(frame) - 1)
        totals = np.bincount(position, weights, len(frame))
        frame[role] = totals / totals.sum()
    return frame


def _tails(values: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    order = np.argsort(values, kind="stable")
    cumulated = np.cumsum(weights[order])
    low, high = np.searchsorted(cumulated / cumulated[-1], [TAIL, 1 - TAIL])
    return float(values[order][low]), float(values[order][min(high, len(order) - 1)])
