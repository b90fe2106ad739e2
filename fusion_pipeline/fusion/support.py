"""Common support: whether the recipients are where donors are, predictor by predictor.

Belongs here: comparing the distributions of one column in two tables, block by block. Does not belong here: who is
drawn (`diagnostics.py`), agreement of harmonies (`harmonize/similarity.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa

from fusion_pipeline.errors import FusingError, FusionError, TrainingError
from fusion_pipeline.fusion import variables
from fusion_pipeline.fusion.variables import Variable
from fusion_pipeline.storage.tables import TableRef

LEAST_OVERLAP = 0.8
"""Less of two distributions in common is poor support; also the similarity below which a harmony is doubtful."""
MOST_OUTSIDE = 0.01
"""More recipients than this share beyond every donor is poor support."""
MOST_DIFFERENCE = 0.5
"""Standardised difference beyond which adjustment by a model rests on extrapolation (Rubin 2001: half an sd)."""
GRID, BINS = 1000, 20
"""Donor quantiles at which distribution functions are compared, and classes of about equal donor weight for overlap."""
_ROWS = 1 << 17
Source: TypeAlias = pd.DataFrame | pa.Table | TableRef


def common_support(
    donor: Source,
    recipient: Source,
    predictors: Sequence[str],
    *,
    weight: str | None = None,
    recipient_weight: str | None = None,
) -> pd.DataFrame:
    """Compare the distribution of every predictor in donor and recipient.

    Returns
    -------
    One row a predictor: `predictor`, `kind`; `overlap`, the share that two histograms have in common (levels, or 20
    classes of about equal donor weight and two for what lies beyond all donors); `ks`, the largest difference of the
    distribution functions (None for unordered categories); `difference`, recipient minus donor mean in pooled standard
    deviations (of the level where it is largest); `outside`, the share of recipients beyond the smallest or largest
    donor or of a level that no donor has; `donor_missing`, `recipient_missing`. Shares are of weight.
    """
    table = variables.as_table(donor, _listed(predictors, weight), "donor", TrainingError)
    own = _weights(table, weight, "donor", TrainingError)
    compared = []
    for name in predictors:
        variable = variables.describe(table[name], name, "donor", TrainingError)
        grid = None if variable.kind == "categorical" else _grid(variables.numbers(table[name])[own > 0])
        compared.append((variable, grid, _Tally.of(table[name], variable, grid, own)))
    found = [_Tally.empty(variable, grid) for variable, grid, _ in compared]
    for block in _blocks(recipient, _listed(predictors, recipient_weight)):
        mass = _weights(block, recipient_weight, "recipient", FusingError)
        for position, (variable, grid, _) in enumerate(compared):
            found[position] += _Tally.of(block[variable.name], variable, grid, mass)
    rows = [
        _compare(variable, mine, theirs) for (variable, _, mine), theirs in zip(compared, found, strict=True)
    ]
    return pd.DataFrame(rows)


def poor_support(support: pd.DataFrame) -> list[str]:
    """Name the predictors whose support is poor by `LEAST_OVERLAP`, `MOST_OUTSIDE` or `MOST_DIFFERENCE`."""
    poor = (
        (support["overlap"] < LEAST_OVERLAP)
        | (support["outside"] > MOST_OUTSIDE)
        | (support["difference"].abs() > MOST_DIFFERENCE)
    )
    return support.loc[poor, "predictor"].tolist()


@dataclass
class _Tally:
    """Weight in every bin, and sums: what is needed of a column, whatever its length."""

    bins: np.ndarray
    outside: float
    missing: float
    sums: np.ndarray

    @classmethod
    def empty(cls, variable: Variable, grid: np.ndarray | None) -> _Tally:
        size = variable.classes if grid is None else len(grid) + 1
        return cls(np.zeros(size), 0.0, 0.0, np.zeros(2))

    @classmethod
    def of(
        cls, column: pa.ChunkedArray, variable: Variable, grid: np.ndarray | None, mass: np.ndarray
    ) -> _Tally:
        tally = cls.empty(variable, grid)
        absent = variables.missing(column)
        tally.missing = float(mass[absent].sum())
        if grid is None:
            codes = variables.codes(column, variable)
            tally.bins = np.bincount(codes[codes >= 0], mass[codes >= 0], minlength=variable.classes)
            tally.outside = float(mass[(codes < 0) & ~absent].sum())
            return tally
        values, mass = variables.numbers(column)[~absent], mass[~absent]
        # Bin i: above grid[i - 1], up to grid[i]. The first and the last bin are beyond all donors.
        tally.bins = np.bincount(np.searchsorted(grid, values, side="left"), mass, minlength=len(grid) + 1)
        tally.outside = float(tally.bins[0] + tally.bins[-1])
        tally.sums = np.array([mass @ values, mass @ values**2])
        return tally

    def __iadd__(self, other: _Tally) -> _Tally:
        self.bins = self.bins + other.bins
        self.outside += other.outside
        self.missing += other.missing
        self.sums = self.sums + other.sums
        return self


def _listed(names: Sequence[str], weight: str | None) -> list[str]:
    return list(dict.fromkeys([*names, *([] if weight is None else [weight])]))


def _weights(table: pa.Table, name: str | None, where: str, error: type[FusionError]) -> np.ndarray:
    """Return weights; a missing one counts nothing."""
    if name is None:
        return np.ones(table.num_rows)
    if variables.describe(table[name], name, where, error).type == "dictionary":
        raise error(f"{where}, weight {name}", "is categorical.", "Name the column of weights.")
    weight = np.nan_to_num(variables.numbers(table[name]), posinf=np.inf)
    if wrong := int(((weight < 0) | np.isinf(weight)).sum()):
        raise error(
            f"{where}, weight {name}",
            f"is negative or infinite in {wrong} rows.",
            "Correct it, or set it to 0.",
        )
    return weight


def _blocks(source: Source, columns: list[str]) -> Iterator[pa.Table]:
    if isinstance(source, TableRef):
        stand_in = pd.DataFrame(columns=source.columns, dtype=float)
        variables.as_table(stand_in, columns, "recipient", FusingError)
        yield from source.batches(_ROWS, columns)
    else:
        yield variables.as_table(source, columns, "recipient", FusingError)


def _grid(values: np.ndarray) -> np.ndarray:
    """Return increasing values that bins end at: every donor value, and the number just below it.

    A distribution function jumps at the values: it is to be known on either side of them.
    """
    known = np.unique(values[~np.isnan(values)])
    if not len(known):
        return np.array([np.inf])
    if len(known) > GRID:
        known = np.unique(np.quantile(values[~np.isnan(values)], np.linspace(0, 1, GRID), method="lower"))
    return np.unique(np.concatenate([np.nextafter(known, -np.inf), known]))


def _overlap(p: np.ndarray, q: np.ndarray) -> float:
    """Return what two histograms share, fine bins joined to classes of about equal weight in the first."""
    classes = np.ceil(np.cumsum(p) * BINS - 1e-9).astype(np.int64)
    # What lies beyond all donors is nobody's class.
    classes[0], classes[-1] = 0, BINS + 1
    return float(np.minimum(np.bincount(classes, p), np.bincount(classes, q)).sum())


def _standardised(difference: float, variance: float) -> float:
    return float(difference / np.sqrt(variance)) if variance > 0 else (0.0 if difference == 0 else np.inf)


def _compare(variable: Variable, ours: _Tally, theirs: _Tally) -> dict[str, object]:
    is_number = variable.kind != "categorical"
    # Levels no donor has are in no bin, numbers beyond all donors are.
    total = [max(t.bins.sum() + (0 if is_number else t.outside), 1e-300) for t in (ours, theirs)]
    p, q = ours.bins / total[0], theirs.bins / total[1]
    if is_number:
        overlap = _overlap(p, q)
        means = [t.sums[0] / n for t, n in zip((ours, theirs), total, strict=True)]
        variance = [
            max(t.sums[1] / n - m**2, 0.0) for t, n, m in zip((ours, theirs), total, means, strict=True)
        ]
        difference = _standardised(means[1] - means[0], sum(variance) / 2)
    else:
        overlap = float(np.minimum(p, q).sum())
        each = [_standardised(b - a, (a * (1 - a) + b * (1 - b)) / 2) for a, b in zip(p, q, strict=True)]
        difference = max(each, key=abs, default=0.0)
    ks = None if variable.is_nominal else float(np.abs(np.cumsum(p) - np.cumsum(q)).max())
    return {
        "predictor": variable.name,
        "kind": variable.kind,
        "overlap": overlap,
        "ks": ks,
        "difference": difference,
        "outside": theirs.outside / total[1],
        "donor_missing": ours.missing / max(ours.missing + total[0], 1e-300),
        "recipient_missing": theirs.missing / max(theirs.missing + total[1], 1e-300),
    }
