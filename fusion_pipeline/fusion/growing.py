"""How large trees are and how many: what held-out donors say.

Belongs here: the settings of growth, early stopping, the choice of tree size. Does not belong here: folds, weights,
final fits (`boosting.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    import lightgbm as lgb

MAX_ROUNDS = 2500
"""No model needs more trees at these learning rates."""
MANY = 20_000
"""Donors from which on held-out losses are smooth, and every round costs."""
ALL = 1_000
"""More folds than anyone has."""
Search = Literal["climb", "grid"]
Split = tuple["lgb.Dataset", "lgb.Dataset"]
"""What a fold model is grown on, and what is held out from it."""


@dataclass(frozen=True)
class Tuning:
    """How models are grown.

    Parameters
    ----------
    leaves : tuple of int
        Tree sizes to choose from, increasing.
    learning_rate, class_learning_rate : float
        Of means and quantiles, and of class and zero probabilities.
    patience : int
        Rounds without improvement of the averaged loss before a model stops growing.
    tolerance : float
        What counts as improvement, as a share of the loss that growth has taken away so far.
    size_folds, round_folds : int
        Folds whose losses decide on the size and on the number of trees.
    exhaustive : bool
        Whether every size is tried, instead of climbing.
    smallest_leaf : int
        Rows that a leaf must have.
    """

    leaves: tuple[int, ...]
    learning_rate: float
    class_learning_rate: float
    patience: int
    tolerance: float = 1e-3
    size_folds: int = 2
    round_folds: int = ALL
    exhaustive: bool = False
    smallest_leaf: int = 20

    @classmethod
    def for_donors(
        cls,
        rows: int,
        draws: int,
        leaves: tuple[int, ...],
        learning_rate: float | None,
        class_learning_rate: float,
        patience: int | None,
        search: Search = "climb",
    ) -> Tuning:
        """Return settings that suit so many rows, `draws` of which stand for a donor; what is None is chosen.

        The losses of few donors are noisy, so growth is slow and patient and every fold is asked; many donors tell
        early which round is best, and two folds of them tell it as well as five. A search of the whole grid asks
        every fold for every size.
        """
        donors = rows // draws
        if donors < MANY:
            tuning = cls(leaves, learning_rate or 0.15, class_learning_rate, patience or 20)
        else:
            tuning = cls(
                leaves, learning_rate or 0.25, class_learning_rate, patience or 8, size_folds=1, round_folds=2
            )
        tuning = replace(tuning, smallest_leaf=smallest_leaf(donors) * draws)
        if search == "grid":
            return replace(tuning, size_folds=ALL, round_folds=ALL, exhaustive=True)
        return tuning


def smallest_leaf(donors: int) -> int:
    """Return the smallest number of donors a leaf may have: 0.1 %, at least 20."""
    return max(20, -(-donors // 1000))


@dataclass
class Growth:
    """Fold models of one tree size, grown side by side, and their held-out losses round by round."""

    splits: Sequence[Split]
    parameters: dict[str, Any]
    tuning: Tuning

    def __post_init__(self) -> None:
        self.boosters: list[lgb.Booster] = []
        self._losses: list[list[float]] = []
        self._finished: list[bool] = []

    def grow(self, folds: int) -> tuple[float, int]:
        """Grow the first `folds` fold models until their averaged loss stops falling; return it and its round.

        What was grown for fewer folds before is grown on.
        """
        self._begin(folds)
        best, rounds, first = np.inf, 1, np.inf
        mark, marked = np.inf, 1
        for current in range(1, MAX_ROUNDS + 1):
            for k in range(folds):
                self._reach(k, current)
            loss = float(np.mean([losses[current - 1] for losses in self._losses[:folds]]))
            first = loss if current == 1 else first
            if loss < best:
                best, rounds = loss, current
            if loss < mark - self.tuning.tolerance * (first - loss):
                mark, marked = loss, current
            if current - marked >= self.tuning.patience or all(self._finished[:folds]):
                break
        return best, rounds

    def finish(self) -> tuple[float, int]:
        """Grow every fold model as far as the folds that decide on it say; return their loss and the round."""
        loss, rounds = self.grow(min(self.tuning.round_folds, len(self.splits)))
        self._begin(len(self.splits))
        for k in range(len(self.splits)):
            for current in range(1, rounds + 1):
                self._reach(k, current)
        return loss, rounds

    def _begin(self, folds: int) -> None:
        import lightgbm as lgb

        for training, validation in self.splits[len(self.boosters) : folds]:
            booster = lgb.Booster(self.parameters, training)
            booster.add_valid(validation, "held out")
            self.boosters.append(booster)
            self._losses.append([])
            self._finished.append(False)

    def _reach(self, fold: int, rounds: int) -> None:
        losses = self._losses[fold]
        if len(losses) < rounds:
            self._finished[fold] = self.boosters[fold].update()
            losses.append(self.boosters[fold].eval_valid()[0][2])


def choose_trees(
    splits: Sequence[Split], parameters: dict[str, Any], tuning: Tuning
) -> tuple[Growth, dict[int, float]]:
    """Try tree sizes with random thresholds, then the best of them with exact ones.

    Climbing begins at the second size and goes upwards while the loss falls, else downwards: the loss has one valley
    over tree sizes, up to chance, so sizes beyond a worse one are not tried; near its bottom sizes differ by less than
    chance, so a few folds tell enough. Random thresholds win where donors are few, exact ones where they are many.
    Returns the growth of what was chosen, and the loss of every size tried.
    """
    folds = min(tuning.size_folds, len(splits))
    tried: dict[int, tuple[float, Growth]] = {}

    def grow(**trees: Any) -> tuple[float, Growth]:
        growth = Growth(splits, parameters | trees, tuning)
        return growth.grow(folds)[0], growth

    def try_size(size: int) -> float:
        tried[size] = grow(num_leaves=size)
        return tried[size][0]

    sizes, start = tuning.leaves, min(1, len(tuning.leaves) - 1)
    if tuning.exhaustive:
        for size in sizes:
            try_size(size)
    else:
        _climb(try_size, sizes[start], sizes[start + 1 :], sizes[:start][::-1])
    leaves = min(tried, key=lambda size: tried[size][0])
    loss, growth = grow(num_leaves=leaves, extra_trees=False)
    if loss < tried[leaves][0]:
        tried[leaves] = loss, growth
    return tried[leaves][1], {size: tried[size][0] for size in sorted(tried)}


def _climb(try_size: Callable[[int], float], start: int, *directions: Sequence[int]) -> None:
    first = best = try_size(start)
    for direction in directions:
        for size in direction:
            loss = try_size(size)
            if loss >= best:
                break
            best = loss
        if best < first:
            break
