"""Gower distances between donors and candidates, in blocks, and a draw by similarity.

Belongs here: the distance over numbers, categories and missing answers, and drawing one candidate a donor.
Does not belong here: who the candidates are (`puma_imputation.py`).

Method: Gower (1971): the mean over variables of |x - y| / range for numbers and of 0 or 1 for categories,
over the variables that both have.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from fusion_pipeline.errors import GeographyError
from fusion_pipeline.storage.tables import codes_of, levels_of

Array = np.ndarray
# Cells (donors x candidates) computed at once: about 100 MB in all.
_BLOCK_CELLS = 4_000_000


@dataclass(frozen=True)
class Profiles:
    """The predictors of one table, ready for distances.

    Attributes
    ----------
    codes : (n, C) int16 positions of levels, -1 for missing
    n_levels : number of levels of each of the C categorical predictors
    numbers : (n, K) float32 in units of the range, NaN for missing
    """

    codes: Array
    n_levels: tuple[int, ...]
    numbers: Array

    def take(self, rows: Array) -> Profiles:
        """Some of the rows."""
        return Profiles(self.codes[rows], self.n_levels, self.numbers[rows])

    def indicators(self) -> Array:
        """(n, sum of levels) float32: 1 in the column of a row's level; none for a missing answer."""
        offsets = np.cumsum([0, *self.n_levels])
        ones = np.zeros((len(self.codes), offsets[-1]), dtype=np.float32)
        rows, columns = np.nonzero(self.codes >= 0)
        ones[rows, offsets[columns] + self.codes[rows, columns]] = 1
        return ones

    def present(self) -> tuple[Array, Array]:
        """Which answers are there, (n, C) and (n, K) float32."""
        return (self.codes >= 0).astype(np.float32), (~np.isnan(self.numbers)).astype(np.float32)


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


def profiles(donor: pa.Table, recipient: pa.Table, predictors: Sequence[str]) -> tuple[Profiles, Profiles]:
    """Bring the predictors of two tables to one scale.

    Ranges are taken over both tables, once, so that a distance does not depend on the subset it is computed
    in. A number that is the same everywhere is left out.

    Raises
    ------
    GeographyError
        If a predictor is absent, or differs between the tables in kind or levels.
    """
    codes: tuple[list[Array], list[Array]] = ([], [])
    numbers: tuple[list[Array], list[Array]] = ([], [])
    n_levels = []
    for name in predictors:
        sides = [_column(table, name, where) for table, where in ((donor, "donor"), (recipient, "recipient"))]
        if sides[0][1] != sides[1][1]:
            raise GeographyError(
                f"predictor {name}",
                "has other levels for the donor than for the recipient.",
                "Harmonize both sides with the same harmony file.",
            )
        levels = sides[0][1]
        if levels is not None:
            n_levels.append(len(levels))
            for side, (values, _) in zip(codes, sides, strict=True):
                side.append(values.astype(np.int16))
            continue
        both = np.concatenate([values for values, _ in sides])
        width = np.nanmax(both) - np.nanmin(both) if not np.isnan(both).all() else 0
        if width > 0:
            for side, (values, _) in zip(numbers, sides, strict=True):
                side.append((values / width).astype(np.float32))
    result = [
        Profiles(_stack(c, table, np.int16), tuple(n_levels), _stack(k, table, np.float32))
        for c, k, table in zip(codes, numbers, (donor, recipient), strict=True)
    ]
    return result[0], result[1]


def distances(donors: Profiles, candidates: Profiles) -> Array:
    """Gower distances, (n_donors, n_candidates) float32; 1 where a pair has no variable in common."""
    return _Distances(candidates)(donors)


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
        self.indicators = np.ascontiguousarray(candidates.indicators().T)
        self.numbers = np.ascontiguousarray(candidates.numbers.T)
        self.absent = np.isnan(self.numbers)
        categories, numbers = candidates.present()
        self.complete = bool(categories.all() and numbers.all())
        self.category_present = None if self.complete else np.ascontiguousarray(categories.T)
        self.number_present = None if self.complete else np.ascontiguousarray(numbers.T)

    def __call__(self, donors: Profiles) -> Array:
        categories, numbers = donors.present()
        if self.category_present is None or self.number_present is None:
            compared = categories.sum(axis=1, keepdims=True)
            present = compared + numbers.sum(axis=1, keepdims=True)
        else:
            compared = categories @ self.category_present
            present = compared + numbers @ self.number_present
        total = donors.indicators() @ self.indicators
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


def _column(table: pa.Table, name: str, where: str) -> tuple[Array, tuple[str, ...] | None]:
    """Values of a column and its levels: codes, or float64 numbers and None."""
    if name not in table.column_names:
        raise GeographyError(
            f"{where} table", f"has no predictor {name}.", "Impute with predictors that both sides have."
        )
    column = table[name]
    if not pa.types.is_dictionary(column.type):
        return column.cast(pa.float64()).to_numpy(zero_copy_only=False), None
    column = column.unify_dictionaries()
    return codes_of(column), tuple(levels_of(column))


def _stack(columns: list[Array], table: pa.Table, dtype: type) -> Array:
    return np.stack(columns, axis=1) if columns else np.empty((table.num_rows, 0), dtype=dtype)
