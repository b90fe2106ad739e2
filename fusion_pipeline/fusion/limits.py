"""What the rules of a step allow its variables in a block of rows.

Belongs here: putting rules together to bounds and levels for each row, and finding what breaks them. Does not belong
here: the rules (`rules.py`), drawing again what breaks them (`enforcing.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fusion_pipeline.errors import FusingError
from fusion_pipeline.fusion.rules import Lookup, Rule
from fusion_pipeline.fusion.variables import Variable


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
