"""How alike donor and recipient are in what they should have in common.

Belongs here: the similarity of weighted distributions. Does not belong here: what is done about a low one.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import pyarrow as pa

from fusion_pipeline.geography.pumas import PUMAS
from fusion_pipeline.storage.tables import levels_of

# Below this, fusionData drops a predictor.
SIMILARITY_THRESHOLD = 0.8
Array = np.ndarray
Column: TypeAlias = pa.ChunkedArray
_PROBABILITIES = np.linspace(0, 1, 1000)
# Weight of each quantile: the middle of the distribution counts, single extremes hardly.
_EMPHASIS = np.exp(-((_PROBABILITIES - 0.5) ** 2) / (2 * 0.15**2))
_KEYS = frozenset({"survey", "year", "hid", "pid", "state", *PUMAS})


def similarity(donor: pa.Table, recipient: pa.Table, weight: str = "weight") -> pa.Table:
    """Compare the weighted distributions of every column that donor and recipient share.

    Parameters
    ----------
    donor, recipient : harmonized tables
        Ids, places and `weight` are not compared.
    weight : str
        Column of survey weights, in both.

    Returns
    -------
    One row each: `predictor`, `kind` ("categorical" or "numeric"), `similarity` (1 = alike, 0 = nothing
    in common) and `donor_missing`, the weighted share of donors without an answer; the others are compared.

    Notes
    -----
    Categorical: 1 - TV with TV = 1/2 sum |p_donor - p_recipient|. Numeric, over 1,000 weighted quantiles q:
    1 - sum w |q_d - q_r| / sum w (|q_d| + |q_r|) / 2 with w = exp(-(p - 0.5)^2 / (2 0.15^2)). Both as in
    fusionData, but for numbers whose quantiles differ by more than their mean size: the formula gives them less than
    0, down to -1, and here they have nothing in common. Pairs below 0.8 deserve a look.
    """
    names = [
        c
        for c in donor.column_names
        if c in set(recipient.column_names) and c not in _KEYS | {weight} and not c.startswith("rep_")
    ]
    donor_weight, recipient_weight = (t[weight].to_numpy().astype(np.float64) for t in (donor, recipient))
    rows = []
    for name in names:
        ours, theirs = (_unified(table[name]) for table in (donor, recipient))
        answered = ours.is_valid().to_numpy()
        is_categorical = pa.types.is_dictionary(ours.type)
        compare = _shares if is_categorical else _quantiles
        rows.append(
            {
                "predictor": name,
                "kind": "categorical" if is_categorical else "numeric",
                "similarity": compare(ours, donor_weight, theirs, recipient_weight),
                "donor_missing": float(donor_weight[~answered].sum() / donor_weight.sum()),
            }
        )
    schema = pa.schema(
        {
            "predictor": pa.string(),
            "kind": pa.string(),
            "similarity": pa.float64(),
            "donor_missing": pa.float64(),
        }
    )
    return pa.Table.from_pylist(rows, schema=schema)


def similarity_numbers(alike: pa.Table) -> dict[str, float | str]:
    """Sum up the similarities of a pair in numbers that can be followed over time, and name the worst predictor.

    Parameters
    ----------
    alike : of `similarity`
    """
    if not alike.num_rows:
        return {}
    values = alike["similarity"].to_numpy()
    return {
        "similarity_min": float(values.min()),
        "similarity_mean": float(values.mean()),
        "worst predictor": alike["predictor"][int(values.argmin())].as_py(),
    }


def distribution(table: pa.Table, predictor: str, weight: str = "weight") -> dict[str, float]:
    """Give the weighted share of every group of a predictor, of a number mean and quartiles, of those who answered."""
    column, weights = _unified(table[predictor]), table[weight].to_numpy().astype(np.float64)
    if pa.types.is_dictionary(column.type):
        codes = column.to_pandas().cat.codes.to_numpy()
        totals = np.bincount(codes[codes >= 0], weights[codes >= 0], len(levels_of(column)))
        return dict(zip(levels_of(column), totals / totals.sum(), strict=True))
    values = column.to_numpy()
    known = ~np.isnan(values)
    quantiles = _weighted_quantiles(values, weights)
    return {
        "mean": float(np.average(values[known], weights=weights[known])),
        **{f"quantile {p:.0%}": float(quantiles[round(p * 999)]) for p in (0.25, 0.5, 0.75)},
    }


def _unified(column: Column) -> Column:
    return column.unify_dictionaries() if pa.types.is_dictionary(column.type) else column


def _shares(ours: Column, our_weight: Array, theirs: Column, their_weight: Array) -> float:
    levels = list(dict.fromkeys(level for side in (ours, theirs) for level in levels_of(side)))
    shares = []
    for column, weight in ((ours, our_weight), (theirs, their_weight)):
        codes = column.to_pandas().cat.set_categories(levels).cat.codes.to_numpy()
        totals = np.bincount(codes[codes >= 0], weights=weight[codes >= 0], minlength=len(levels))
        shares.append(totals / totals.sum())
    return float(1 - np.abs(shares[0] - shares[1]).sum() / 2)


def _quantiles(ours: Column, our_weight: Array, theirs: Column, their_weight: Array) -> float:
    first = _weighted_quantiles(ours.to_numpy(), our_weight)
    second = _weighted_quantiles(theirs.to_numpy(), their_weight)
    scale = float((_EMPHASIS * (np.abs(first) + np.abs(second))).sum() / 2)
    difference = float((_EMPHASIS * np.abs(first - second)).sum())
    return max(0.0, 1 - difference / scale) if scale > 0 else 1.0


def _weighted_quantiles(values: Array, weight: Array) -> Array:
    """Smallest value whose cumulated share of the weight reaches each probability."""
    valid = ~np.isnan(values) & (weight > 0)
    order = np.argsort(values[valid], kind="stable")
    cumulated = np.cumsum(weight[valid][order])
    position = np.searchsorted(cumulated / cumulated[-1], _PROBABILITIES, side="left")
    return values[valid][order][np.minimum(position, len(order) - 1)].astype(np.float64)
