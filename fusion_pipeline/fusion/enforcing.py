"""Obeying rules: values that break one are drawn again among those that do not.

Belongs here: finding what breaks a rule and drawing it again. Does not belong here: the language of rules
(`rules.py`), first draws (`drawing.py`, `chain.py`).

A value is first drawn as if there were no rule. If it obeys it stays, else it is drawn again, once, from the same
distribution cut to what is allowed. Both together are a draw from the distribution cut to what is allowed (rejection
sampling, with the last step made in one), and whoever no rule touches keeps the value that he has without rules.

Where the pool of the nearest centre holds nobody who is allowed, the next nearest pool that does takes its place; where
no donor at all is allowed, a number becomes the bound next to its draw, and a block is an error: its variables come
from one donor, and none can be made up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fusion_pipeline.errors import FusingError
from fusion_pipeline.fusion.drawing import PoolDraw
from fusion_pipeline.fusion.rules import Lookup, Rule
from fusion_pipeline.fusion.variables import Variable

_AT_ONCE = 4096
"""Values drawn again at a time: bounds memory, changes nothing else."""


@dataclass(frozen=True)
class Limits:
    """What the rules allow one variable of a block of rows: bounds of a number, or classes of a category."""

    variable: Variable
    lower: np.ndarray | None
    upper: np.ndarray | None
    classes: np.ndarray | None

    def allow(self, values: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Say which values (k, ...) the rows and implicates (k,) they are for may have."""
        shape = (-1, *(1,) * (values.ndim - 1))
        if self.classes is not None:
            known = self.classes[rows, columns]
            return known[np.arange(len(rows)).reshape(shape), values]
        assert self.lower is not None
        assert self.upper is not None
        lower, upper = (b[rows, columns].reshape(shape) for b in (self.lower, self.upper))
        return (values >= lower) & (values <= upper)


def limits(rules: Sequence[Rule], variable: Variable, lookup: Lookup, shape: tuple[int, int]) -> Limits:
    """Put the rules on a variable together.

    Parameters
    ----------
    rules : of this variable
    lookup : of the columns they read
    shape : (rows, implicates)

    Raises
    ------
    FusingError
        If they leave a row no value; the message names the rules and counts the rows.
    """
    mine = [rule for rule in rules if rule.variable == variable.name]
    if variable.kind == "categorical":
        classes = np.ones((*shape, variable.classes), dtype=bool)
        for rule in mine:
            applies = np.broadcast_to(rule.applies(lookup), shape)
            classes[applies] &= rule.allowed(variable)
        empty = np.asarray(~classes.any(axis=2))
        found = Limits(variable, None, None, classes)
    else:
        lower, upper = np.full(shape, -np.inf), np.full(shape, np.inf)
        for rule in mine:
            low, high = rule.bounds(lookup, variable)
            np.maximum(lower, low, out=lower)
            np.minimum(upper, high, out=upper)
        # An infinite bound on the wrong side: beyond the largest number of the type.
        empty = (lower > upper) | (lower == np.inf) | (upper == -np.inf)
        found = Limits(variable, lower, upper, None)
    if empty.any():
        texts = ", ".join(f"`{rule.text}`" for rule in mine)
        raise FusingError(
            f"recipient, rules {texts}",
            f"leave {variable.name} no value in {len(np.unique(np.nonzero(empty)[0]))} of {shape[0]} rows of a block.",
            "Correct the bounds, or the rules.",
        )
    return found


def broken(found: Sequence[Limits], values: Sequence[np.ndarray], among: np.ndarray) -> np.ndarray:
    """Return where (n, m) values of any of the variables break their rules, `among` those that rules bind."""
    wrong = np.zeros(among.shape, dtype=bool)
    rows, columns = np.nonzero(among)
    for limit, value in zip(found, values, strict=True):
        wrong[rows, columns] |= ~limit.allow(value[rows, columns], rows, columns)
    return wrong


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
