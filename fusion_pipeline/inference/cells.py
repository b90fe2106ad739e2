"""Cells: one group and level each, their results in every implicate laid out as arrays and pooled.

Belongs here: positions of implicates, groups and levels, zeros against gaps, pooling cell by cell. Does not
belong here: the pooling rule (`pooling.py`), the sums (`aggregates.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from fusion_pipeline.errors import AnalysisError
from fusion_pipeline.inference.pooling import Array, rubin
from fusion_pipeline.inference.relation import IMPLICATE, Column


@dataclass(frozen=True)
class Cells:
    """One estimand's results within implicates: arrays (M, groups, levels); NaN where there is nothing."""

    estimate: Array
    variance: Array
    n: Array


@dataclass(frozen=True)
class Index:
    """Positions of implicates and groups."""

    implicates: pd.Index
    groups: pd.Index

    def of(self, frame: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """Positions of a frame's rows."""
        implicate = self.implicates.get_indexer(pd.Index(frame[IMPLICATE]))
        return implicate, self.groups.get_indexer(_keys(frame))

    def empty(self, levels: int) -> Cells:
        """Cells without anything in them."""
        shape = (len(self.implicates), len(self.groups), levels)
        return Cells(*(np.full(shape, np.nan) for _ in range(3)))


def group_index(
    frames: Sequence[pd.DataFrame], columns: Sequence[Column], names: Sequence[str]
) -> tuple[Index, pd.DataFrame]:
    """Number the implicates and groups of aggregated frames.

    Returns
    -------
    Index, and the groups' values under their `names`, sorted, categories in level order.
    """
    by = [f"by_{k}" for k in range(len(columns))]
    implicates = pd.Index(np.unique(np.concatenate([f[IMPLICATE].to_numpy() for f in frames])))
    if not by:
        return Index(implicates, pd.Index([0])), pd.DataFrame(index=[0])
    seen = pd.concat([f[by] for f in frames]).drop_duplicates(ignore_index=True)
    for name, column in zip(by, columns, strict=True):
        if column.levels is not None:
            seen[name] = pd.Categorical(seen[name], categories=list(column.levels), ordered=column.ordered)
    seen = seen.sort_values(by, kind="stable", ignore_index=True)
    return Index(implicates, _keys(seen)), seen.set_axis(list(names), axis=1)


def numeric_cells(frame: pd.DataFrame, variable: int, estimator: str, index: Index) -> Cells:
    """Lay out what `aggregates.numeric_estimates` found for its variable number `variable`."""
    rows = frame[frame[f"mean_{variable}"].notna()]
    implicate, group = index.of(rows)
    cells = index.empty(1)
    cells.estimate[implicate, group, 0] = _floats(rows[f"{estimator}_{variable}"])
    cells.variance[implicate, group, 0] = _floats(rows[f"{estimator}_variance_{variable}"])
    cells.n[implicate, group, 0] = _floats(rows[f"n_{variable}"])
    return cells


def categorical_cells(
    frame: pd.DataFrame, variable: int, estimator: str, levels: Sequence[str] | None, index: Index
) -> tuple[Sequence[str], Cells]:
    """Lay out what `aggregates.categorical_estimates` found for its variable number `variable`.

    Without a stated level list, the levels are those that occur.
    """
    # A proportion is missing where a group has no weight at all.
    rows = frame[(frame["variable"] == variable) & frame["level"].notna() & frame["proportion"].notna()]
    if levels is None:
        levels = sorted(rows["level"].unique())
    if unknown := set(rows["level"]) - set(levels):
        raise AnalysisError(
            "implicates",
            f"hold the level {min(unknown)!r}, which the first one's list ({', '.join(levels)}) has not.",
            "Fuse all implicates with one model set.",
        )
    implicate, group = index.of(rows)
    cells = index.empty(len(levels))
    # Where a group has records, a level without any is an estimate of zero, not a gap.
    for array in (cells.estimate, cells.variance):
        array[implicate, group, :] = 0.0
    at = (implicate, group, pd.Index(levels).get_indexer(pd.Index(rows["level"])))
    cells.estimate[at] = _floats(rows[estimator])
    cells.variance[at] = _floats(rows[f"{estimator}_variance"])
    cells.n[implicate, group, :] = _floats(rows["n"])[:, None]
    return levels, cells


def pool(cells: Cells, level: float) -> pd.DataFrame:
    """Pool every cell over the implicates that have it.

    Returns
    -------
    pd.DataFrame
        One row a cell with anything in it: `_group` and `_level` (positions), `estimate`, `standard_error`,
        `margin` (confidence `level`), `df`, `n`, `M`.

    Raises
    ------
    AnalysisError
        If no cell has anything in it.
    """
    # Twelve digits, so that implicates that agree do so exactly whatever the order of summation.
    estimate, variance = _digits(cells.estimate, 12), _digits(cells.variance, 12)
    known = ~np.isnan(estimate)
    counts = known.sum(axis=0)
    first = np.argsort(~known, axis=0, kind="stable")
    parts = []
    for implicates in np.unique(counts[counts > 0]):
        group, at_level = np.nonzero(counts == implicates)
        rows = first[:implicates, group, at_level]
        pooled = rubin(estimate[rows, group, at_level], variance[rows, group, at_level])
        numbers = {
            "estimate": pooled.estimate,
            "standard_error": pooled.standard_error,
            "margin": pooled.margin(level),
            "df": pooled.df,
        }
        part = pd.DataFrame({name: _digits(values, 9) for name, values in numbers.items()})
        part["n"] = np.rint(cells.n[rows, group, at_level].mean(axis=0)).astype(np.int64)
        parts.append(part.assign(M=int(implicates), _group=group, _level=at_level))
    if not parts:
        raise AnalysisError("estimates", "no group has a record with weight and value.", "Check the weights.")
    return pd.concat(parts, ignore_index=True)


def _keys(frame: pd.DataFrame) -> pd.Index:
    names = [name for name in frame.columns if name.startswith("by_")]
    if not names:
        return pd.Index(np.zeros(len(frame), dtype=int))
    # Missing values are unequal to themselves; as None they make one group like any other.
    columns = [frame[name].astype(object).where(frame[name].notna(), None) for name in names]
    return pd.Index(list(zip(*columns, strict=True)), tupleize_cols=False, dtype=object)


def _floats(column: pd.Series) -> Array:
    return column.to_numpy(dtype=np.float64, na_value=np.nan)


def _digits(values: Array, digits: int) -> Array:
    """Round to significant digits."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        factor = 10.0 ** (digits - 1 - np.floor(np.log10(np.abs(values))))
        rounded = np.rint(values * factor) / factor
    return np.where(np.isfinite(rounded), rounded, values)
