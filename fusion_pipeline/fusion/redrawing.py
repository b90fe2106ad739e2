"""Draws cut to what is allowed: classes and donors for values whose first draw broke a rule.

Belongs here: the second draws, as functions of uniform random numbers. Does not belong here: what is allowed
(`limits.py`), which values are drawn again and what if nothing is allowed (`enforcing.py`), first draws (`drawing.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fusion_pipeline.errors import FusingError
from fusion_pipeline.fusion.drawing import PoolDraw
from fusion_pipeline.fusion.limits import Limits

_AT_ONCE = 4096
"""Values drawn again at a time: bounds memory, changes nothing else."""


def draw_allowed_classes(
    limit: Limits, classes: np.ndarray, probabilities: np.ndarray, wrong: np.ndarray, uniform: np.ndarray
) -> np.ndarray:
    """Draw classes again.

    Parameters
    ----------
    limit : Limits
    classes : (c,) codes of the model's classes
    probabilities : (n, c or 1, m or 1) float64, as `drawing.draw_classes` takes them
    wrong : (n, m) bool
    uniform : (k,) float64
        For the values that are wrong, in the order of `np.nonzero`.

    Returns
    -------
    (k,) int32 positions in `classes`.

    Raises
    ------
    FusingError
        If the levels allowed occur with no donor.
    """
    rows, columns = np.nonzero(wrong)
    chance = probabilities[rows, :, columns if probabilities.shape[2] > 1 else 0]
    if chance.shape[1] == 1:
        chance = np.hstack([1 - chance, chance])
    allowed = limit.allow(np.broadcast_to(classes, chance.shape), rows, columns)
    if not allowed.any(axis=1).all():
        raise FusingError(
            f"recipient, rules on {limit.variable.name}",
            f"leave {int((~allowed.any(axis=1)).sum())} rows only levels that no donor has.",
            "Allow a level that donors have.",
        )
    # Never quite zero: a level that is allowed is drawn even where the model gives it no chance.
    cumulative = np.cumsum(np.where(allowed, np.maximum(chance, 1e-300), 0.0), axis=1)
    return np.argmax(cumulative > uniform[:, None] * cumulative[:, -1:], axis=1).astype(np.int32)


def draw_allowed_donors(
    pools: PoolDraw,
    found: Sequence[Limits],
    values: Sequence[np.ndarray],
    expectations: np.ndarray,
    zero: np.ndarray | None,
    at: tuple[np.ndarray, ...],
    uniform: np.ndarray,
) -> np.ndarray:
    """Draw donors again.

    Parameters
    ----------
    pools : PoolDraw
    found, values : sequence of Limits, and of the donors' (donors + 1,) values, one per variable of the step
    expectations : (k, c) float64
        Unscaled.
    zero : (k,) float64, optional
        Probability of zero, for a zero-inflated variable.
    at : rows and implicates (k,) of the values
    uniform : (2, k) float64

    Returns
    -------
    (k,) int32 donors; -1: zero; -2: no donor is allowed.
    """
    rows, columns = at
    drawn = np.full(len(rows), -2, dtype=np.int32)
    points = pools.place(expectations)
    for start in range(0, len(rows), _AT_ONCE):
        left = np.arange(start, min(start + _AT_ONCE, len(rows)))
        if zero is not None:
            donors, weight = _pool(pools, found, values, points, left, at, 1)
            share = weight.sum(axis=1) / np.maximum(
                pools.pool(_nearest(pools, points[left], 1))[1].sum(axis=1), 1e-300
            )
            none = found[0].allow(np.zeros(len(left)), rows[left], columns[left])
            chance = zero[left] * none
            is_zero = none & (uniform[0, left] * (chance + (1 - zero[left]) * share) < chance)
            is_zero |= none & (share == 0)
            drawn[left[is_zero]] = -1
            left = left[~is_zero]
        for rank in range(1, len(pools.sizes) + 1):
            if not len(left):
                break
            donors, weight = _pool(pools, found, values, points, left, at, rank)
            cumulative = np.cumsum(weight, axis=1)
            has = cumulative[:, -1] > 0
            pick = np.argmax(cumulative > uniform[1, left, None] * cumulative[:, -1:], axis=1)
            drawn[left[has]] = donors[has, pick[has]]
            left = left[~has]
            if rank == 1 and len(left):
                left = left[_anybody(found, values, pools, rows[left], columns[left])]
    return drawn


def _nearest(pools: PoolDraw, points: np.ndarray, rank: int) -> np.ndarray:
    return pools.tree.query(points, [rank])[1][:, 0]


def _pool(
    pools: PoolDraw,
    found: Sequence[Limits],
    values: Sequence[np.ndarray],
    points: np.ndarray,
    left: np.ndarray,
    at: tuple[np.ndarray, ...],
    rank: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the donors of the pools `rank`-th nearest, with weight 0 for those who are not allowed."""
    donors, weight = pools.pool(_nearest(pools, points[left], rank))
    for limit, value in zip(found, values, strict=True):
        weight = np.where(limit.allow(value[donors], at[0][left], at[1][left]), weight, 0.0)
    return donors, weight


def _anybody(
    found: Sequence[Limits],
    values: Sequence[np.ndarray],
    pools: PoolDraw,
    rows: np.ndarray,
    columns: np.ndarray,
) -> np.ndarray:
    """Say for which values any pool holds a donor who may be allowed, by the numbers alone."""
    some = np.ones(len(rows), dtype=bool)
    members = pools.members
    for limit, value in zip(found, values, strict=True):
        if limit.lower is not None and limit.upper is not None:
            known = np.sort(value[members])
            low = np.searchsorted(known, limit.lower[rows, columns], side="left")
            high = np.searchsorted(known, limit.upper[rows, columns], side="right")
            some &= high > low
    return some
