"""Proper implicates: every implicate is drawn from one of several sets of redrawn donor weights.

Belongs here: which implicate uses which set. Does not belong here: redrawing weights (`donors.py`), draws
(`chain.py`).

Implicates drawn from one and the same fitted models differ by the draws alone, as if the donors told exactly how the
population is made up; intervals from their variance are then too short (Rubin 1987, ch. 4). Each set here stands for
another population that could have given these donors (Rubin 1981), and implicate m is drawn from set
(m - 1) mod B + 1: a matter of its number alone, so of nothing else that is fused at the same time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

import numpy as np

_T = TypeVar("_T")


def set_numbers(bootstraps: int) -> tuple[int, ...]:
    """Numbers of the sets of donor weights: 1..B, or 0 (the donors' own weights) where none are redrawn."""
    return tuple(range(1, bootstraps + 1)) or (0,)


def columns_by_set(implicates: Sequence[int], sets: int) -> dict[int, np.ndarray]:
    """Group implicates by the set they are drawn from.

    Parameters
    ----------
    implicates : sequence of int
        1-based numbers.
    sets : int
        How many sets there are.

    Returns
    -------
    Position of the set (0-based) -> positions, in `implicates`, of those drawn from it.
    """
    position = (np.asarray(implicates) - 1) % sets
    return {int(k): np.flatnonzero(position == k) for k in np.unique(position)}


def shared(things: Sequence[_T], sets: Mapping[int, np.ndarray]) -> Iterator[tuple[_T, np.ndarray | slice]]:
    """Pair what draws with its implicates' columns: one thing with all, or every set's with its own.

    Parameters
    ----------
    things : sequence
        None, one for all sets, or one for each.
    sets : mapping
        As `columns_by_set` gives them.
    """
    if len(things) == 1:
        yield things[0], slice(None)
    elif things:
        for position, columns in sets.items():
            yield things[position], columns
