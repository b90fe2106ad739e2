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

from fusion_pipeline.inference.area_error import AreaError
from fusion_pipeline.inference.area_groups import Explained, concentration, explained
from fusion_pipeline.inference.area_variance import Lie, area_variance, widened
from fusion_pipeline.inference.cells import Grouping, significant
from fusion_pipeline.inference.microdata import Block, Factor

COLUMNS = ("area_error", "margin_without")
"""Standard error of the area component, and the margin without it."""
ESTIMANDS = frozenset({"mean", "sum", "proportion", "count", "median", "quantile", "ratio", "share"})
"""What households of an area have in common moves these. What it does to relations and to dispersion is not
measured."""


@dataclass(frozen=True)
class AreaSpread:
    """What the first two implicates tell; groups are those of the first."""

    groups: NDArray[np.int64]
    """(groups, factors) codes of all groupings."""
    lie: Lie
    estimands: tuple[Explained | None, ...]
    """Of each estimand: the least explained of its variables, and the one that is spread most over areas; None for
    those without a component."""

    @classmethod
    def of(
        cls,
        first: Block,
        second: Block,
        sets: Sequence[Grouping],
        columns: Sequence[Sequence[str] | None],
        areas: Sequence[Factor],
        wider: Sequence[Factor],
        *,
        complete: bool,
    ) -> AreaSpread:
        """Look at two implicates.

        Parameters
        ----------
        first, second : blocks with all columns
        sets : groupings of the analysis
        columns : keys of the columns of every estimand, None for those that get no component
        areas, wider : factors that make up one area, and one wider area (none: everyone is in one)
        complete : whether the records are everyone whom donors are a sample of
        """
        weight = np.maximum(first.weights.main[first.rows], 0)
        numbers = [_numbers(first, factors) for factors in (areas, wider)]
        groups, found = [], []
        for grouping in sets:
            cells, codes = grouping.cells(first)
            groups.append(codes)
            (h, partial), (of_wider, _) = (
                concentration(cells, n, weight, len(codes), None if complete else np.zeros(n.max() + 1))
                for n in numbers
            )
            found.append((h, of_wider, partial))
        return cls(
            np.concatenate(groups),
            Lie(*(np.concatenate(parts) for parts in zip(*found, strict=True))),
            tuple(
                None if keys is None else _most([_explained(first, second, key, numbers[0]) for key in keys])
                for keys in columns
            ),
        )

    def widen(self, table: pd.DataFrame, error: AreaError, level: float) -> pd.DataFrame:
        """Add the area component to standard errors, degrees of freedom and margins.

        Parameters
        ----------
        table : with `_by_0`, ... (codes of the group), `_position` (of the estimand), `_within`, `standard_error`,
            `df`, `margin`, `effective_n`
        error : measured area errors
        level : of the margins
        """
        names = [f"_by_{k}" for k in range(self.groups.shape[1])]
        where = _positions(self.groups, table[names].to_numpy(dtype=np.int64).reshape(len(table), -1))
        # A group that the first implicate has not is a rare one: as if it lay in one area.
        rare = where < 0
        lie = Lie(
            *(np.where(rare, 1.0, part[where]) for part in (self.lie.areas, self.lie.wider, self.lie.partial))
        )
        at = table["_position"].to_numpy()
        component = np.zeros(len(table))
        component_df = np.full(len(table), np.inf)
        for position, known in enumerate(self.estimands):
            if known is None:
                continue
            rows = at == position
            expected = error.expected(known.spread)
            component[rows] = area_variance(
                expected,
                known.residual_share,
                table["_within"][rows],
                table["effective_n"][rows],
                lie.take(rows),
            )
            component_df[rows] = expected.df
        component = np.nan_to_num(component)
        without = table["standard_error"].to_numpy() ** 2
        df, margin = widened(without, table["df"], component, component_df, level)
        added, no_component = component > 0, np.array([known is None for known in self.estimands])[at]
        numbers = {
            "area_error": np.where(no_component, np.nan, np.sqrt(component)),
            "margin_without": table["margin"].to_numpy(),
            "standard_error": np.where(added, np.sqrt(without + component), table["standard_error"]),
            "df": df,
            "margin": np.where(added, np.maximum(margin, table["margin"]), table["margin"]),
        }
        return table.assign(**{name: significant(values, 9) for name, values in numbers.items()})


def _numbers(block: Block, factors: Sequence[Factor]) -> NDArray[np.int64]:
    """Number the combinations of levels that occur, a missing value as a level, from 0."""
    mixed = np.zeros(len(block.rows), dtype=np.int64)
    for factor in factors:
        codes = block.codes[factor.key]
        mixed = mixed * (int(codes.max(initial=-1)) + 2) + codes + 1
    return np.asarray(np.unique(mixed, return_inverse=True)[1], dtype=np.int64)


def _most(columns: Sequence[Explained]) -> Explained:
    if not columns:
        return Explained(0.0, 0.0)
    return Explained(max(c.residual_share for c in columns), float(np.max([c.spread for c in columns])))


def _explained(first: Block, second: Block, key: str, area: NDArray[np.int64]) -> Explained:
    _, a, b = np.intersect1d(first.rows, second.rows, assume_unique=True, return_indices=True)
    if key in first.codes:
        codes = first.codes[key][a], second.codes[key][b]
        levels = np.arange(max(int(z.max(initial=-1)) for z in codes) + 1)
        x, y = (np.equal.outer(z, levels).astype(np.float64) for z in codes)
    else:
        x, y = first.values[key][a][:, None], second.values[key][b][:, None]
    weight = np.maximum(first.weights.main[first.rows[a]], 0)
    fit = (
        np.isfinite(x).all(axis=1)
        & np.isfinite(y).all(axis=1)
        & first.kept[a]
        & second.kept[b]
        & (weight > 0)
    )
    if not fit.any() or not x.shape[1]:
        return Explained(0.0, 0.0)
    return explained(x[fit], y[fit], weight[fit], area[a][fit])


def _positions(known: NDArray[np.int64], wanted: NDArray[np.int64]) -> NDArray[np.int64]:
    if not known.shape[1]:
        return np.zeros(len(wanted), dtype=np.int64)
    sides = [pd.MultiIndex.from_arrays(list(codes.T)) for codes in (known, wanted)]
    return np.asarray(sides[0].get_indexer(sides[1]), dtype=np.int64)
