"""The area component in an analysis: how concentrated its groups are, how much of a variable is unexplained.

Belongs here: bringing area errors (`area_error.py`) to the groups and estimands of `analyze`. Does not belong here: the
formulas, pooling (`cells.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import stdtrit

from fusion_pipeline.inference.area_error import (
    AreaError,
    Kind,
    area_variance,
    concentration,
    residual_share,
    total_df,
)
from fusion_pipeline.inference.cells import Grouping
from fusion_pipeline.inference.microdata import Block, Factor

COLUMNS = ("area_error", "margin_without")
"""Standard error of the area component, and the margin without it."""


@dataclass(frozen=True)
class AreaSpread:
    """What the first two implicates tell; groups are those of the first."""

    groups: NDArray[np.int64]
    """(groups, factors) codes of all groupings."""
    h: NDArray[np.float64]
    partial: NDArray[np.float64]
    shares: tuple[float, ...]
    """Residual share of every estimand: of the least explained of its variables."""
    kinds: tuple[Kind, ...]

    @classmethod
    def of(
        cls,
        first: Block,
        second: Block,
        sets: Sequence[Grouping],
        columns: Sequence[Sequence[str]],
        areas: Sequence[Factor],
    ) -> AreaSpread:
        """Look at two implicates.

        Parameters
        ----------
        first, second : blocks with all columns
        sets : groupings of the analysis
        columns : keys of the columns of every estimand
        areas : factors that make up one area
        """
        _, area = np.unique(
            np.column_stack([first.codes[f.key] for f in areas]), axis=0, return_inverse=True
        )
        weight = np.maximum(first.weights.main[first.rows], 0)
        found = []
        for grouping in sets:
            cells, groups = grouping.cells(first)
            found.append((groups, *concentration(cells, area.reshape(-1), weight, len(groups))))
        shares = [[_share(first, second, key) for key in keys] for keys in columns]
        return cls(
            np.concatenate([g for g, _, _ in found]),
            np.concatenate([h for _, h, _ in found]),
            np.concatenate([p for _, _, p in found]),
            tuple(max(s, default=0.0) for s in shares),
            tuple(_kind(first, keys) for keys in columns),
        )

    def widen(self, table: pd.DataFrame, error: AreaError, level: float) -> pd.DataFrame:
        """Add the area component to standard errors, degrees of freedom and margins.

        Parameters
        ----------
        table : with `_by_0`, ... (codes of the group), `_position` (of the estimand), `_within`, `standard_error`, `df`,
            `margin`, `effective_n`
        """
        names = [f"_by_{k}" for k in range(self.groups.shape[1])]
        where = _positions(self.groups, table[names].to_numpy(dtype=np.int64).reshape(len(table), -1))
        # A group that the first implicate has not is a rare one: as if it lay in one area.
        h = np.where(where < 0, 1.0, self.h[where])
        partial = np.where(where < 0, 1.0, self.partial[where])
        at = table["_position"].to_numpy()
        component = np.zeros(len(table))
        component_df = np.full(len(table), np.inf)
        for position, (share, kind) in enumerate(zip(self.shares, self.kinds, strict=True)):
            rows = at == position
            expected = error.expected(kind)
            component[rows] = area_variance(
                expected, share, table["_within"][rows], table["effective_n"][rows], h[rows], partial[rows]
            )
            component_df[rows] = expected.df
        component = np.nan_to_num(component)
        without = table["standard_error"].to_numpy() ** 2
        df = total_df(without, table["df"], component, component_df)
        total = np.sqrt(without + component)
        margin = np.where(component > 0, stdtrit(df, (1 + level) / 2) * total, table["margin"])
        return table.assign(
            area_error=np.sqrt(component), margin_without=table["margin"], standard_error=total, df=df, margin=margin
        )


def _share(first: Block, second: Block, key: str) -> float:
    _, a, b = np.intersect1d(first.rows, second.rows, assume_unique=True, return_indices=True)
    if key in first.codes:
        x, y = first.codes[key][a], second.codes[key][b]
        levels = range(int(max(x.max(initial=-1), y.max(initial=-1))) + 1)
        x, y = (np.stack([z == level for level in levels], axis=1).astype(float) if levels else z[:, None] * 0.0
                for z in (x, y))  # fmt: skip
    else:
        x, y = first.values[key][a][:, None], second.values[key][b][:, None]
    weight = np.maximum(first.weights.main[first.rows[a]], 0)
    fit = np.isfinite(x).all(axis=1) & np.isfinite(y).all(axis=1) & first.kept[a] & second.kept[b] & (weight > 0)
    return residual_share(x[fit], y[fit], weight[fit]) if fit.any() else 0.0


def _kind(block: Block, keys: Sequence[str]) -> Kind:
    for key in keys:
        values = block.values.get(key)
        if values is not None and not np.isin(values[np.isfinite(values)], (0.0, 1.0)).all():
            return "number"
    return "share"


def _positions(known: NDArray[np.int64], wanted: NDArray[np.int64]) -> NDArray[np.int64]:
    if not known.shape[1]:
        return np.zeros(len(wanted), dtype=np.int64)
    sides = [pd.MultiIndex.from_arrays(list(codes.T)) for codes in (known, wanted)]
    return np.asarray(sides[0].get_indexer(sides[1]), dtype=np.int64)
