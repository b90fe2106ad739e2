"""Obeying rules: values of a step that break one are drawn again among those that do not.

Belongs here: which values of a step are drawn again, from what, and what happens where nothing is allowed. Does not
belong here: the language of rules (`rule_language.py`), what rules allow (`limits.py`), the draws (`drawing.py`,
`redrawing.py`).

A value is first drawn as if there were no rule. If it obeys it stays, else it is drawn again, once, from the same
distribution cut to what is allowed. Both together are a draw from the distribution cut to what is allowed (rejection
sampling, with the last step made in one), and whoever no rule touches keeps the value that he has without rules.

Where the pool of the nearest centre holds nobody who is allowed, the next nearest pool that does takes its place; where
no donor at all is allowed, a number becomes the bound next to its draw, and a block is an error: its variables come
from one donor, and none can be made up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fusion_pipeline.errors import FusingError
from fusion_pipeline.fusion.drawing import PoolDraw
from fusion_pipeline.fusion.limits import Limits, broken, limits
from fusion_pipeline.fusion.loading import LoadedStep
from fusion_pipeline.fusion.redrawing import draw_allowed_classes, draw_allowed_donors
from fusion_pipeline.fusion.rules import Lookup


@dataclass(frozen=True)
class FirstDraw:
    """What a step of a block of n rows and m implicates drew as if there were no rules.

    `chosen` (n, m) are donors or classes, -1 outside the universe and for zeros; `inside` (n, m) says who is in the
    universe. `probabilities` of classes or zero come with the columns of implicates that they are for; so do the
    `pools` drawn from and what donors were matched on, (n, c, m' or 1) for those `active` (n,) says.
    """

    chosen: np.ndarray
    inside: np.ndarray
    active: np.ndarray
    probabilities: Sequence[tuple[np.ndarray, np.ndarray | slice]] = ()
    pools: Sequence[tuple[PoolDraw, np.ndarray, np.ndarray | slice]] = ()


@dataclass(frozen=True)
class Beyond:
    """Numbers that no donor has: `value` (n, m) counts where `where` is true."""

    where: np.ndarray
    value: np.ndarray


def enforce(
    step: LoadedStep,
    values: Mapping[str, np.ndarray],
    first: FirstDraw,
    lookup: Lookup,
    again: Callable[[], np.ndarray],
) -> tuple[int, Beyond | None]:
    """Draw again, in `first.chosen`, what breaks a rule.

    Parameters
    ----------
    step : LoadedStep
    values : mapping of str to array
        What draws can give, as in `LoadedSteps`.
    first : FirstDraw
    lookup : of the columns that rules read
    again : function without arguments
        Gives (2, n, m) uniform random numbers; called only where something breaks a rule.

    Returns
    -------
    How many values broke a rule, and what no donor gives.

    Raises
    ------
    FusingError
        If rules leave rows no value; the message names them and counts the rows.
    """
    found = [limits(step.rules, variable, lookup, first.chosen.shape) for variable in step.variables]
    possible = [values[variable.name] for variable in step.variables]
    wrong = broken(found, [value[first.chosen] for value in possible], first.inside)
    beyond = None
    if wrong.any():
        if step.pools:
            beyond = _draw_donors(step, found, possible, first, wrong, again())
        elif step.choosers:
            _draw_classes(found[0], possible[0], first, wrong, again()[0])
        else:
            beyond = _keep_constant(step, found[0], possible[0][first.chosen], wrong)
    return int(wrong.sum()), beyond


def _keep_constant(step: LoadedStep, limit: Limits, value: np.ndarray, wrong: np.ndarray) -> Beyond:
    if step.step.is_block or limit.lower is None or limit.upper is None:
        raise FusingError(
            f"recipient, rules on {step.step.name}",
            f"forbid its only value in {int(wrong.any(axis=1).sum())} rows.",
            "Allow it, or leave the variable out.",
        )
    return _next_bound(limit, value, wrong)


def _draw_classes(
    limit: Limits, codes: np.ndarray, first: FirstDraw, wrong: np.ndarray, uniform: np.ndarray
) -> None:
    for predicted, columns in first.probabilities:
        mine = _only(wrong, columns)
        if predicted.shape[2] > 1:
            spread = np.zeros((*predicted.shape[:2], wrong.shape[1]))
            spread[:, :, columns] = predicted
            predicted = spread
        first.chosen[mine] = draw_allowed_classes(limit, codes[:-1], predicted, mine, uniform[mine])


def _draw_donors(
    step: LoadedStep,
    found: Sequence[Limits],
    values: Sequence[np.ndarray],
    first: FirstDraw,
    wrong: np.ndarray,
    uniform: np.ndarray,
) -> Beyond | None:
    chosen, zero = first.chosen, None
    before = values[0][chosen]
    if first.probabilities:
        zero = np.empty(chosen.shape)
        for predicted, columns in first.probabilities:
            zero[:, columns] = predicted[:, 0]
    for pools, expected, columns in first.pools:
        mine = _only(wrong, columns)
        at = np.nonzero(mine)
        if len(at[0]):
            of = np.arange(mine.shape[1])
            of[columns] = np.arange(len(of[columns]))
            chosen[mine] = draw_allowed_donors(
                pools,
                found,
                values,
                expected[at[0], :, of[at[1]] if expected.shape[2] > 1 else 0],
                None if zero is None else zero[mine],
                at,
                uniform[:, at[0], at[1]],
            )
    nobody = chosen == -2
    if not nobody.any():
        return None
    if step.step.is_block:
        raise FusingError(
            f"recipient, rules on {step.step.name}",
            f"are obeyed by no donor for {int(nobody.any(axis=1).sum())} rows; a block comes from one donor.",
            "Widen the bounds, or fuse its variables one by one.",
        )
    chosen[nobody] = -1
    return _next_bound(found[0], before, nobody)


def _next_bound(limit: Limits, value: np.ndarray, where: np.ndarray) -> Beyond:
    assert limit.lower is not None
    assert limit.upper is not None
    return Beyond(where, np.where(where, np.clip(value, limit.lower, limit.upper), 0.0))


def _only(wrong: np.ndarray, columns: np.ndarray | slice) -> np.ndarray:
    """Return (n, m) what is wrong in some columns."""
    mine = np.zeros_like(wrong)
    mine[:, columns] = wrong[:, columns]
    return mine
