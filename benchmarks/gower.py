"""The reference's way to place a donor, as a yardstick: the PUMA of one similar household by Gower's distance.

Method: Gower (1971): the mean over variables of |x - y| / range for numbers and of 0 or 1 for categories,
over the variables that both have.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fusion_pipeline.geography.profiles import Profiles

Array = np.ndarray
# Cells (donors x candidates) computed at once: about 100 MB in all.
_BLOCK_CELLS = 4_000_000


@dataclass(frozen=True)
class Drawn:
    """One candidate a donor, and how near it is.

    Attributes
    ----------
    candidate : (n_donors,) positions of candidates
    distance : (n_donors,) float32, of the candidate drawn
    """

    candidate: Array
    distance: Array


def draw_similar(donors: Profiles, candidates: Profiles, weight: Array, uniform: Array) -> Drawn:
    """Draw a candidate for every donor with probability proportional to weight / distance.

    Parameters
    ----------
    donors, candidates : profiles
    weight : (n_candidates,) positive
    uniform : (n_donors,) in [0, 1), one number a donor

    Returns
    -------
    Drawn

    Notes
    -----
    A distance of zero counts as half of the donor's smallest distance above zero. Donors are worked off in
    blocks; every step is row by row, so the result does not depend on the blocks.
    """
    distance_to = _Distances(candidates)
    weight32 = (weight / weight.mean()).astype(np.float32)
    rows = max(1, _BLOCK_CELLS // len(weight))
    candidate = np.empty(len(uniform), dtype=np.int64)
    distance = np.empty(len(uniform), dtype=np.float32)
    for start in range(0, len(uniform), rows):
        block = slice(start, min(start + rows, len(uniform)))
        measured = distance_to(donors.take(np.arange(block.start, block.stop)))
        # float64 sums: 100,000 float32 terms would lose the small ones.
        cumulated = np.cumsum(weight32 / _above_zero(measured), axis=1, dtype=np.float64)
        target = uniform[block] * cumulated[:, -1]
        chosen = np.minimum((cumulated <= target[:, None]).sum(axis=1), len(weight) - 1)
        candidate[block] = chosen
        distance[block] = measured[np.arange(len(chosen)), chosen]
    return Drawn(candidate, distance)


def _above_zero(measured: Array) -> Array:
    zero = measured == 0
    nearest = np.where(zero, np.inf, measured).min(axis=1)
    # If all candidates are alike, any positive distance gives the same draw.
    stand_in = np.where(np.isfinite(nearest), nearest / 2, 1).astype(np.float32)
    return np.where(zero, stand_in[:, None], measured)


class _Distances:
    """Distances to a fixed set of candidates; what depends on them alone is made once."""

    def __init__(self, candidates: Profiles) -> None:
        # Equal categories are counted by a product of indicators: sums of 0 and 1 are exact in float32,
        # whatever the order a linear algebra library adds them in.
        self.indicators = np.ascontiguousarray(_indicators(candidates).T)
        self.numbers = np.ascontiguousarray(candidates.numbers.T)
        self.absent = np.isnan(self.numbers)
        categories, numbers = _present(candidates)
        self.complete = bool(categories.all() and numbers.all())
        self.category_present = None if self.complete else np.ascontiguousarray(categories.T)
        self.number_present = None if self.complete else np.ascontiguousarray(numbers.T)

    def __call__(self, donors: Profiles) -> Array:
        categories, numbers = _present(donors)
        if self.category_present is None or self.number_present is None:
            compared = categories.sum(axis=1, keepdims=True)
            present = compared + numbers.sum(axis=1, keepdims=True)
        else:
            compared = categories @ self.category_present
            present = compared + numbers @ self.number_present
        total = _indicators(donors) @ self.indicators
        np.subtract(compared, total, out=total)
        for k in range(donors.numbers.shape[1]):
            difference = np.abs(donors.numbers[:, k, None] - self.numbers[None, k])
            difference[np.isnan(donors.numbers[:, k])] = 0
            if not self.complete:
                difference[:, self.absent[k]] = 0
            total += difference
        nothing = present == 0
        np.divide(total, np.where(nothing, 1, present), out=total)
        total[np.broadcast_to(nothing, total.shape)] = 1
        return total


def _indicators(of: Profiles) -> Array:
    """(n, sum of levels) float32: 1 in the column of a row's level; none for a missing answer."""
    offsets = np.cumsum([0, *of.n_levels])
    ones = np.zeros((len(of.codes), offsets[-1]), dtype=np.float32)
    rows, columns = np.nonzero(of.codes >= 0)
    ones[rows, offsets[columns] + of.codes[rows, columns]] = 1
    return ones


def _present(of: Profiles) -> tuple[Array, Array]:
    """Which answers are there, (n, C) and (n, K) float32."""
    return (of.codes >= 0).astype(np.float32), (~np.isnan(of.numbers)).astype(np.float32)
