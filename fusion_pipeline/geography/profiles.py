"""Harmonized predictors of donors and recipients on one scale, and as features of linear models.

Belongs here: levels, numbers and missing answers as arrays; indicators and steps made of them. Does not belong here:
what is learned from them (`area_model.py`, `area_effects.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from fusion_pipeline.errors import GeographyError
from fusion_pipeline.storage.tables import codes_of, levels_of

Array = np.ndarray
STEPS = 7
"""Thresholds at which a number makes a step: its octiles among recipients, as far as they differ."""


@dataclass(frozen=True)
class Profiles:
    """The predictors of one table.

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


@dataclass(frozen=True)
class Features:
    """How profiles become features: an indicator a level, and of every number its steps and itself.

    Attributes
    ----------
    n_levels : number of levels of each categorical predictor
    thresholds : (at most 7,) of each number
    centre, scale : (K,) mean and standard deviation of each number among recipients
    missing : (F,) what a missing answer counts as: the recipients' mean, so that it tells nothing
    """

    n_levels: tuple[int, ...]
    thresholds: tuple[Array, ...]
    centre: Array
    scale: Array
    missing: Array

    @classmethod
    def of(cls, recipient: Profiles, weight: Array) -> Features:
        """Learn from the recipients; `weight` (n,)."""
        numbers = recipient.numbers.astype(np.float64)
        share = weight / weight.sum()
        probabilities = np.linspace(0, 1, STEPS + 2)[1:-1]
        thresholds = tuple(np.unique(np.nanquantile(column, probabilities)) for column in numbers.T)
        known = np.where(np.isnan(numbers), 0, share[:, None])
        total = np.where(known.sum(axis=0) > 0, known.sum(axis=0), 1)
        filled = np.nan_to_num(numbers)
        centre = (known * filled).sum(axis=0) / total
        scale = np.sqrt((known * (filled - centre) ** 2).sum(axis=0) / total)
        scale[scale == 0] = 1
        start = cls(recipient.n_levels, thresholds, centre, scale, np.empty(0, np.float32))
        mean = np.zeros(start.width)
        for block in _blocks(len(weight)):
            mean += share[block] @ start._raw(recipient.take(block))
        return cls(recipient.n_levels, thresholds, centre, scale, mean.astype(np.float32))

    @property
    def width(self) -> int:
        """Number of features."""
        return sum(self.n_levels) + sum(len(t) + 1 for t in self.thresholds)

    def __call__(self, profiles: Profiles) -> Array:
        """(n, F) float32 features."""
        made = self._raw(profiles)
        start = 0
        answered = [profiles.codes[:, j] >= 0 for j in range(len(self.n_levels))]
        answered += [~np.isnan(profiles.numbers[:, k]) for k in range(len(self.thresholds))]
        for there, size in zip(
            answered, [*self.n_levels, *(len(t) + 1 for t in self.thresholds)], strict=True
        ):
            if not there.all():
                made[~there, start : start + size] = self.missing[start : start + size]
            start += size
        return made

    def _raw(self, profiles: Profiles) -> Array:
        made = np.zeros((len(profiles.codes), self.width), dtype=np.float32)
        start = 0
        for j, size in enumerate(self.n_levels):
            rows = np.flatnonzero(profiles.codes[:, j] >= 0)
            made[rows, start + profiles.codes[rows, j]] = 1
            start += size
        for k, thresholds in enumerate(self.thresholds):
            values = profiles.numbers[:, k].astype(np.float64)
            for threshold in thresholds:
                made[:, start] = values >= threshold
                start += 1
            made[:, start] = np.nan_to_num((values - self.centre[k]) / self.scale[k])
            start += 1
        return made


def profiles(donor: pa.Table, recipient: pa.Table, predictors: Sequence[str]) -> tuple[Profiles, Profiles]:
    """Bring the predictors of two tables to one scale.

    Ranges are taken over both tables. A number that is the same everywhere is left out.

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


def _blocks(rows: int, size: int = 100_000) -> list[Array]:
    return [np.arange(start, min(start + size, rows)) for start in range(0, rows, size)]


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
