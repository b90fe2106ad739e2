"""Fusion variables as signals of place: numbers as normal scores, answers as yes or no.

Belongs here: what a column of the donors becomes before place is asked of it. Does not belong here: the effects of
places (`area_effects.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from fusion_pipeline.storage.tables import codes_of, levels_of

Array = np.ndarray
LEAST = 0.01
"""A level, or a lump of equal numbers, must have this share of the donors, and leave as many without it."""
LUMP = 0.05
"""Share of donors with one and the same number, such as zero, from which having it is a signal of its own."""


@dataclass(frozen=True)
class Signal:
    """Something that donors said.

    Attributes
    ----------
    name : fusion variable, with the level or number that a share is of
    values : (n,) float64: 0 or 1 of a share, normal scores of numbers
    there : (n,) bool, whether a donor said it
    is_share : whether it is a yes or no
    """

    name: str
    values: Array
    there: Array
    is_share: bool

    def take(self, rows: Array) -> Signal:
        """Some of the donors."""
        return replace(self, values=self.values[rows], there=self.there[rows])

    @property
    def mean(self) -> float:
        """Mean over the donors who said it."""
        return float(self.values[self.there].mean())


def signals(table: pa.Table) -> list[Signal]:
    """Make the signals of a table of fusion variables.

    A category gives a share for every level but the commonest; a number its normal scores, (rank - 1/2) / n, and, if
    many donors have one and the same, a share of those and the scores of the others.
    """
    return [signal for name in table.column_names for signal in _of_column(name, table[name])]


def _of_column(name: str, column: pa.ChunkedArray) -> Iterator[Signal]:
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    if pa.types.is_dictionary(column.type):
        codes = codes_of(column)
        labels = levels_of(column.unify_dictionaries())
        counts = np.bincount(codes[codes >= 0], minlength=len(labels))
        for code in np.argsort(-counts, kind="stable")[1:]:
            yield from _share(f"{name}={labels[code]}", codes == code, codes >= 0)
        return
    values = column.cast(pa.float64()).to_numpy()
    there = np.isfinite(values)
    if not there.any():
        return
    unique, counts = np.unique(values[there], return_counts=True)
    commonest = unique[np.argmax(counts)]
    if counts.max() >= LUMP * there.sum():
        same = there & (values == commonest)
        yield from _share(f"{name}={commonest:g}", same, there)
        there = there & ~same
    if len(np.unique(values[there])) > 1:
        yield Signal(name, _normal_scores(values, there), there, is_share=False)


def _share(name: str, yes: Array, there: Array) -> Iterator[Signal]:
    share = yes[there].mean() if there.any() else 0.0
    if LEAST <= share <= 1 - LEAST:
        yield Signal(name, yes.astype(np.float64), there, is_share=True)


def _normal_scores(values: Array, there: Array) -> Array:
    from scipy.special import ndtri
    from scipy.stats import rankdata

    scores = np.zeros(len(values))
    scores[there] = ndtri((rankdata(values[there]) - 0.5) / there.sum())
    return scores
