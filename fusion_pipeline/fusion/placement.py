"""Positions of values among the thresholds of models.

Belongs here: reading a value in LightGBM's ways and placing it once, for every split on it. Does not belong here:
the splits themselves (`layout.py`). Decisions: LightGBM 4, `include/LightGBM/tree.h`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from fusion_pipeline.fusion.compiling import compiled
from fusion_pipeline.fusion.forest import DEFAULT_LEFT, IS_CATEGORY, Forest
from fusion_pipeline.fusion.kernels import CATEGORY, place_values


class Placement:
    """Positions of values among the thresholds of all models: found once, used by every split on them.

    A column is a feature read in one of LightGBM's ways: as a category, or as a number with zero, NaN or nothing
    counted as missing and sent left or right. Columns are collected first (`column`), then `finish` fixes positions.
    """

    def __init__(self) -> None:
        self._columns: dict[tuple[int, int], set[float]] = {}
        self.finish()

    def collect(self, forest: Forest, place: Mapping[int, int]) -> None:
        """Take up the splits of a forest on the features in `place` (feature of the forest: column read)."""
        for feature, threshold, decision in forest.splits():
            if feature in place:
                known = self._columns.setdefault((place[feature], _mode(decision)), set())
                known.update(forest.sets[int(threshold)] if decision & IS_CATEGORY else (threshold,))

    def finish(self) -> None:
        """Fix columns and positions; no forest can be collected afterwards."""
        keys = sorted(self._columns)
        self._numbers = {key: number for number, key in enumerate(keys)}
        self._features, self._modes = [key[0] for key in keys], [key[1] for key in keys]
        self._cuts = [
            np.array([max(self._columns[key], default=-1) + 1.0])
            if key[1] == CATEGORY
            else np.array(sorted(self._columns[key]), dtype=np.float64)
            for key in keys
        ]

    @property
    def columns(self) -> int:
        """Number of columns."""
        return len(self._cuts)

    def column(self, feature: int, decision: int) -> int:
        """Return the column that a split reads."""
        return self._numbers[feature, _mode(decision)]

    def cuts(self, column: int) -> np.ndarray:
        """Return the thresholds of a column in order; for a category, how many categories are told apart."""
        return self._cuts[column]

    def is_category(self, column: int) -> bool:
        """Whether a column is read as a category."""
        return self._modes[column] == CATEGORY

    def place(self, feature: int, values: np.ndarray, codes: np.ndarray) -> None:
        """Place (n, m) values of a feature, read as float32, in its columns of (n, columns, m) uint16 `codes`."""
        for column in self.columns_of(feature):
            compiled(place_values)(values, self._modes[column], self._cuts[column], codes[:, column])

    def columns_of(self, feature: int) -> list[int]:
        """Return the columns that read a feature."""
        return [column for column, known in enumerate(self._features) if known == feature]

    def rows(self, features: np.ndarray) -> np.ndarray:
        """Place every row: (n, features) float32 to (n, columns) uint16 positions."""
        codes = np.empty((len(features), self.columns, 1), dtype=np.uint16)
        for feature in set(self._features):
            self.place(feature, np.ascontiguousarray(features[:, feature])[:, None], codes)
        return codes[:, :, 0]


def _mode(decision: int) -> int:
    """Tell how a split reads its feature: `CATEGORY`, or 2 x kind of missing value + 1 if that goes left."""
    if decision & IS_CATEGORY:
        return CATEGORY
    missing = decision >> 2 & 3
    return 2 * missing + (1 if missing and decision & DEFAULT_LEFT else 0)
