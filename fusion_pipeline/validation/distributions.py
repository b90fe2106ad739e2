"""Whole distributions of numeric fusion variables, donor and fused, in bins on a scale that suits them.

Belongs here: choosing bins and filling them over all implicates, streamed; distances between distributions. Does not
belong here: single numbers (`marginals.py`), figures (`figures.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from fusion_pipeline.errors import AnalysisError
from fusion_pipeline.inference.given import Implicates
from fusion_pipeline.inference.relation import open_fused
from fusion_pipeline.storage.tables import TableRef
from fusion_pipeline.validation.marginals import donor_frame

Array = NDArray[np.float64]

SKEWED = 8.0
"""Ratio of the 99th percentile to the median from which positive values are binned on a logarithmic scale."""
TAILS = (0.005, 0.995)
"""Quantiles of the donor's non-zero values that bound the bins; the end bins take what lies beyond."""
COLUMNS = ["variable", "scale", "low", "high", "donor", "fused"]
"""Of a comparison: donor and fused are shares of the weight in [low, high)."""


def compare_distributions(
    donor: pd.DataFrame | pa.Table | TableRef,
    fused: Implicates,
    static: pa.Table | TableRef | None,
    variables: Sequence[str],
    *,
    weight: str = "weight",
    bins: int = 32,
    memory_limit: int | str | None = None,
    threads: int | None = None,
) -> pd.DataFrame:
    """Bin numeric fusion variables, donor and fused, on a scale that suits them.

    Returns
    -------
    pd.DataFrame
        `COLUMNS`, with `scale` ("linear" or "log") and weighted shares of all
        records. Small counts have a bin each. Other variables have their zeros, where these are at least one
        percent of the donor, in a bin of their own with low = high = 0. The outer bins include what lies beyond them.

    Raises
    ------
    AnalysisError
        If a variable is unknown or categorical, or the donor has no values of it.
    """
    parts = []
    with open_fused(fused, static, memory_limit=memory_limit, threads=threads) as relation:
        frame = donor_frame(donor, [*variables, weight])
        fused_weight = relation.column(weight, "weight").sql
        for name in variables:
            column = relation.column(name, "variable")
            if not column.numeric:
                raise AnalysisError(f"variable {name}", "is categorical.", "Use compare_marginals.")
            x = frame[name].to_numpy(np.float64, na_value=np.nan)
            w = frame[weight].to_numpy(np.float64)[~np.isnan(x)]
            x = x[~np.isnan(x)]
            grid = _Grid.of(name, x, w, bins)
            ours = np.bincount(grid.positions(x), weights=w, minlength=grid.size)
            sql = f"SELECT {grid.sql(column.sql)} AS at, sum({fused_weight}) AS w FROM {relation.source}"
            counted = relation.query(f"{sql} WHERE {column.sql} IS NOT NULL GROUP BY ALL")
            theirs = np.zeros(grid.size)
            theirs[counted["at"].to_numpy(np.int64)] = counted["w"].to_numpy(np.float64)
            part = grid.frame().assign(donor=ours / ours.sum(), fused=theirs / theirs.sum())
            part.insert(0, "variable", name)
            parts.append(part)
    # A pair may fuse categories alone, such as opinions.
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=COLUMNS)


def ks_distance(first: Array, first_weight: Array, second: Array, second_weight: Array) -> float:
    """Kolmogorov-Smirnov distance of two weighted samples: the largest difference of their distribution functions."""
    grid = np.union1d(first, second)

    def distribution(x: Array, w: Array) -> Array:
        order = np.argsort(x, kind="stable")
        total = np.concatenate([[0.0], np.cumsum(w[order])]) / w.sum()
        return total[np.searchsorted(x[order], grid, side="right")]

    return float(np.abs(distribution(first, first_weight) - distribution(second, second_weight)).max())


def total_variation(first: Array, second: Array) -> float:
    """Total variation distance of two lists of shares: the part of one that has to be moved to get the other."""
    return float(np.abs(first - second).sum() / 2)


@dataclass(frozen=True)
class _Grid:
    """Bins of equal width on a linear or logarithmic scale, after a bin for zero if there is one."""

    start: float
    step: float
    bins: int
    log: bool
    zero: bool

    @classmethod
    def of(cls, name: str, x: Array, w: Array, bins: int) -> _Grid:
        distinct = np.unique(x)
        counts = len(distinct) <= bins and bool((distinct == np.rint(distinct)).all())
        if counts and 0 < np.ptp(distinct) < bins:
            return cls(float(distinct[0]) - 0.5, 1.0, int(np.ptp(distinct)) + 1, False, False)
        zero = bool(w[x == 0].sum() >= 0.01 * w.sum())
        nonzero = x != 0 if zero else np.ones(len(x), dtype=bool)
        if not (w[nonzero] > 0).any():
            raise AnalysisError(f"variable {name}", "has no values but zero in the donor.", "Leave it out.")
        low, middle, high, top = _quantiles(x[nonzero], w[nonzero], (TAILS[0], 0.5, TAILS[1], 0.99))
        log = bool(x[nonzero].min() > 0 and top > SKEWED * middle)
        if log:
            low, high = float(np.log(low)), float(np.log(high))
        return cls(low, (high - low) / bins or 1.0, bins, log, zero)

    @property
    def size(self) -> int:
        return self.bins + self.zero

    def positions(self, x: Array) -> NDArray[np.int64]:
        scaled = np.log(np.where(x > 0, x, np.exp(self.start))) if self.log else x
        at = (
            np.clip(np.floor((scaled - self.start) / self.step), 0, self.bins - 1).astype(np.int64)
            + self.zero
        )
        return np.where(x == 0, 0, at) if self.zero else at

    def sql(self, x: str) -> str:
        """SQL of `positions`."""
        scaled = f"ln(CASE WHEN {x} > 0 THEN {x} ELSE exp({self.start!r}) END)" if self.log else x
        at = f"floor(({scaled} - ({self.start!r})) / {self.step!r})"
        at = f"greatest(0, least({self.bins - 1}, {at}))::INTEGER + {int(self.zero)}"
        return f"CASE WHEN {x} = 0 THEN 0 ELSE {at} END" if self.zero else at

    def frame(self) -> pd.DataFrame:
        edges = self.start + self.step * np.arange(self.bins + 1)
        edges = np.exp(edges) if self.log else edges
        zero = [0.0] * self.zero
        return pd.DataFrame(
            {
                "scale": "log" if self.log else "linear",
                "low": [*zero, *edges[:-1]],
                "high": [*zero, *edges[1:]],
            }
        )


def _quantiles(x: Array, w: Array, probabilities: Sequence[float]) -> list[float]:
    order = np.argsort(x, kind="stable")
    cumulated = np.cumsum(w[order])
    at = np.searchsorted(cumulated, np.asarray(probabilities) * cumulated[-1])
    return [float(v) for v in x[order][np.minimum(at, len(x) - 1)]]
