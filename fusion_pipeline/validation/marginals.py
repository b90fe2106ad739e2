"""Fused marginals against the donor's: means, spreads, zero shares and level shares.

Belongs here: comparisons of single numbers over all implicates, streamed. Does not belong here: who is comparable
(`comparable.py`), whole distributions (`distributions.py`), figures (`figures.py`), the joined relation
(`inference/relation.py`).

Differences are counted in combined standard errors of the fused estimate and of the comparable donors'.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from fusion_pipeline.errors import AnalysisError, choose_among
from fusion_pipeline.inference.given import Implicates
from fusion_pipeline.inference.pooling import rubin
from fusion_pipeline.inference.relation import (
    IMPLICATE,
    Column,
    FusedRelation,
    open_fused,
    quoted,
)
from fusion_pipeline.storage.tables import TableRef

Array = NDArray[np.float64]
Estimates: TypeAlias = dict[str, tuple[float, float]]
"""Of one variable: level, or kind of number -> estimate and standard error."""
_NONE = (0.0, 0.0)
"""A level that does not occur."""


def compare_marginals(
    donor: pd.DataFrame | pa.Table | TableRef,
    fused: Implicates,
    static: pa.Table | TableRef | None,
    variables: Sequence[str],
    *,
    weight: str = "weight",
    replicate_weights: Sequence[str] = (),
    replicate_scale: float | None = None,
    odds: Array | None = None,
    memory_limit: int | str | None = None,
    threads: int | None = None,
) -> pd.DataFrame:
    """Compare the weighted marginals of fusion variables with those of the donors, all and comparable.

    Parameters
    ----------
    donor : table with the fusion variables and `weight`
    fused, static : as in `inference.analyze.analyze`
    variables : sequence of str
        Fusion variables, numeric or categorical.
    replicate_weights, replicate_scale : optional
        Of the donor, for its standard errors; scale 4/R unless given. Without, the ratio variance.
    odds : (donors,) float64, optional
        What `comparable.comparable_donors` multiplies the weights with; without, all donors are comparable.

    Returns
    -------
    pd.DataFrame
        `variable`; `level`: a category, or `mean`, `sd`, `zero share` of a numeric variable (the last where
        zeros occur); `fused`, `donor`, `comparable`, each followed by its standard error (`fused_standard_error`
        ...); `z`, (fused - comparable) in combined standard errors.

    Raises
    ------
    AnalysisError
        If a variable or weight is unknown, or numeric on one side only.

    Notes
    -----
    Fused: Rubin's rule over the estimates of the implicates, with the ratio variance within an implicate. Replicate
    weights are multiplied by the same odds as the weight: the odds count as known. Standard error of sd: that of the
    mean of (x - mean)^2, divided by 2 sd (linearisation).
    """
    with open_fused(fused, static, memory_limit=memory_limit, threads=threads) as relation:
        columns = [relation.column(name, "variable") for name in variables]
        frame = donor_frame(donor, [*variables, weight, *replicate_weights])
        for column in columns:
            _check_kind(column, frame[column.name])
        everyone = _DonorWeights.of(frame, weight, replicate_weights, replicate_scale)
        fused_weight = relation.column(weight, "weight").sql
        numeric = [c for c in columns if c.numeric]
        categorical = [c for c in columns if not c.numeric]
        donors = {c.name: _donor_estimates(frame[c.name], c, everyone) for c in columns}
        fused_estimates: dict[str, Estimates] = {}
        if numeric:
            scales = [_scale(donors[c.name]) for c in numeric]
            fused_estimates |= _fused_moments(relation, numeric, scales, fused_weight)
        if categorical:
            fused_estimates |= _fused_shares(relation, categorical, fused_weight)
    near = everyone if odds is None else everyone.times(odds)
    parts = []
    for column in columns:
        name, found = column.name, fused_estimates[column.name]
        comparable = donors[name] if odds is None else _donor_estimates(frame[name], column, near)
        for level in _levels(column, frame[name], donors[name], found):
            three = found.get(level, _NONE), donors[name].get(level, _NONE), comparable.get(level, _NONE)
            parts.append((name, level, *(number for estimate in three for number in estimate)))
    sides = [part for side in ("fused", "donor", "comparable") for part in (side, f"{side}_standard_error")]
    result = pd.DataFrame(parts, columns=["variable", "level", *sides])
    fused_value, value, *errors = (
        result[name].to_numpy(np.float64)
        for name in ("fused", "comparable", "fused_standard_error", "comparable_standard_error")
    )
    gap, error = fused_value - value, np.hypot(*errors)
    with np.errstate(divide="ignore", invalid="ignore"):
        result["z"] = np.where(gap == 0, 0.0, gap / error)
    return result


def donor_frame(donor: pd.DataFrame | pa.Table | TableRef, names: Sequence[str]) -> pd.DataFrame:
    """Read some of the donor's columns.

    Raises
    ------
    AnalysisError
        If a column does not exist; the message names those that may be meant.
    """
    there = list(donor.columns) if isinstance(donor, pd.DataFrame | TableRef) else donor.column_names
    for name in names:
        if name not in there:
            raise AnalysisError(f"donor, column {name}", "does not exist.", choose_among(name, there))
    names = list(dict.fromkeys(names))
    if isinstance(donor, TableRef):
        return donor.to_pandas(names)
    return donor[names] if isinstance(donor, pd.DataFrame) else donor.select(names).to_pandas()


@dataclass(frozen=True)
class _DonorWeights:
    main: Array
    replicates: Array
    scale: float

    @classmethod
    def of(
        cls, frame: pd.DataFrame, weight: str, replicates: Sequence[str], scale: float | None
    ) -> _DonorWeights:
        main = frame[weight].to_numpy(np.float64)
        matrix = frame[list(replicates)].to_numpy(np.float64)
        return cls(main, matrix, 4 / max(len(replicates), 1) if scale is None else scale)

    def times(self, odds: Array) -> _DonorWeights:
        return _DonorWeights(self.main * odds, self.replicates * odds[:, None], self.scale)

    def at(self, rows: NDArray[np.bool_]) -> _DonorWeights:
        return _DonorWeights(self.main[rows], self.replicates[rows], self.scale)

    def mean(self, x: Array) -> tuple[float, float]:
        """Weighted mean and its standard error."""
        mean = float(np.average(x, weights=self.main))
        if self.replicates.shape[1]:
            means = x @ self.replicates / self.replicates.sum(axis=0)
            return mean, float(np.sqrt(self.scale * np.sum((means - mean) ** 2)))
        n, total = len(x), self.main.sum()
        if n < 2:
            return mean, np.nan
        return mean, float(np.sqrt(n / (n - 1) * np.sum((self.main * (x - mean)) ** 2)) / total)


def _donor_estimates(values: pd.Series, column: Column, weights: _DonorWeights) -> Estimates:
    there = values.notna().to_numpy() & (weights.main > 0)
    if not there.any():
        return {}
    values, weights = values[there], weights.at(there)
    if not column.numeric:
        text = values.astype(str).to_numpy()
        if values.dtype == bool:
            text = np.char.lower(text.astype(str))  # as DuckDB writes truth values
        return {level: weights.mean((text == level).astype(np.float64)) for level in dict.fromkeys(text)}
    x = values.to_numpy(np.float64)
    mean, mean_error = weights.mean(x)
    variance, variance_error = weights.mean((x - mean) ** 2)
    sd = float(np.sqrt(variance))
    return {
        "mean": (mean, mean_error),
        "sd": (sd, variance_error / (2 * sd) if sd > 0 else 0.0),
        "zero share": weights.mean((x == 0).astype(np.float64)),
    }


def _levels(column: Column, values: pd.Series, donor: Estimates, fused: Estimates) -> list[str]:
    if column.numeric:
        has_zeros = any(side.get("zero share", _NONE)[0] > 0 for side in (donor, fused))
        return ["mean", "sd", "zero share"][: 2 + has_zeros]
    is_coded = isinstance(values.dtype, pd.CategoricalDtype)
    own = list(map(str, values.cat.categories)) if is_coded else sorted(donor)
    return list(dict.fromkeys([*own, *(column.levels or sorted(fused))]))


def _scale(donor: Estimates) -> tuple[float, float]:
    """Return a centre and a unit in which the fourth powers of a variable keep their digits."""
    return donor.get("mean", _NONE)[0], donor.get("sd", _NONE)[0] or 1.0


def _fused_moments(
    relation: FusedRelation, columns: Sequence[Column], scales: Sequence[tuple[float, float]], w: str
) -> dict[str, Estimates]:
    terms = []
    for j, (column, (centre, unit)) in enumerate(zip(columns, scales, strict=True)):
        x = f"(({column.sql} - ({centre!r})) / {unit!r})"
        there, zero = f"FILTER ({column.sql} IS NOT NULL)", f"FILTER ({column.sql} = 0)"
        terms += [f"count({column.sql}) AS n_{j}"]
        terms += [f"fsum({w}{f' * pow({x}, {k})' if k else ''}) {there} AS s{k}_{j}" for k in range(3)]
        terms += [f"fsum({w} * {w}{f' * pow({x}, {k})' if k else ''}) {there} AS q{k}_{j}" for k in range(5)]
        terms += [f"fsum({w}) {zero} AS z1_{j}", f"fsum({w} * {w}) {zero} AS z2_{j}"]
    sums = relation.query(
        f"SELECT {', '.join(terms)} FROM {relation.source} GROUP BY i.{quoted(IMPLICATE)} "
        f"ORDER BY i.{quoted(IMPLICATE)}"
    ).astype(np.float64)
    found = {}
    for j, (column, (centre, unit)) in enumerate(zip(columns, scales, strict=True)):
        if sums.empty or not (sums[f"s0_{j}"] > 0).all():
            raise AnalysisError(
                f"variable {column.name}",
                "has no weighted value in an implicate.",
                "Check the static table.",
            )
        n, s0, s1, s2 = (sums[f"{name}_{j}"].to_numpy() for name in ("n", "s0", "s1", "s2"))
        q0, q1, q2, q3, q4 = (sums[f"q{k}_{j}"].to_numpy() for k in range(5))
        z1, z2 = (sums[f"z{k}_{j}"].fillna(0.0).to_numpy() for k in (1, 2))
        factor = n / np.maximum(n - 1, 1) / s0**2
        mean = s1 / s0
        variance = np.maximum(0.0, s2 / s0 - mean**2)
        squares = np.maximum(0.0, q2 - 2 * mean * q1 + mean**2 * q0)
        fourth = q4 - 4 * mean * q3 + 6 * mean**2 * q2 - 4 * mean**3 * q1 + mean**4 * q0
        of_variance = np.maximum(0.0, fourth - 2 * variance * squares + variance**2 * q0)
        with np.errstate(divide="ignore", invalid="ignore"):
            of_sd = np.where(variance > 0, of_variance / (4 * variance), 0.0)
        share = z1 / s0
        found[column.name] = {
            "mean": _pooled(centre + unit * mean, unit**2 * factor * squares),
            "sd": _pooled(unit * np.sqrt(variance), unit**2 * factor * of_sd),
            "zero share": _pooled(share, factor * np.maximum(0.0, z2 * (1 - 2 * share) + share**2 * q0)),
        }
    return found


def _fused_shares(relation: FusedRelation, columns: Sequence[Column], w: str) -> dict[str, Estimates]:
    """Estimate the share of every level; its ratio variance is that of a mean of zeros and ones."""
    found: dict[str, Estimates] = {}
    for column in columns:
        sums = relation.query(
            f"SELECT i.{quoted(IMPLICATE)} AS implicate, {column.sql} AS level, count(*) AS n, fsum({w}) AS w, "
            f"fsum({w} * {w}) AS ww FROM {relation.source} WHERE {column.sql} IS NOT NULL GROUP BY ALL ORDER BY ALL"
        )
        # A level that an implicate lacks has a share of zero there.
        n, each, squares = (
            sums.pivot_table(index="implicate", columns="level", values=name).fillna(0.0).astype(np.float64)
            for name in ("n", "w", "ww")
        )
        total, records = each.sum(axis=1).to_numpy(), n.sum(axis=1).to_numpy()
        if not total.size or not (total > 0).all():
            raise AnalysisError(
                f"variable {column.name}",
                "has no weighted value in an implicate.",
                "Check the static table.",
            )
        factor = records / np.maximum(records - 1, 1) / total**2
        everyone = squares.sum(axis=1).to_numpy()
        found[column.name] = {}
        for level in each:
            share, own = each[level].to_numpy() / total, squares[level].to_numpy()
            variance = factor * np.maximum(0.0, own * (1 - 2 * share) + share**2 * everyone)
            found[column.name][str(level)] = _pooled(share, variance)
    return found


def _pooled(estimates: Array, variances: Array) -> tuple[float, float]:
    """Pool implicates; of a single one, whose variance between is unknown, the variance within must do."""
    if len(estimates) == 1:
        return float(estimates[0]), float(np.sqrt(variances[0]))
    pooled = rubin(estimates, variances)
    return float(pooled.estimate), float(pooled.standard_error)


def _check_kind(column: Column, values: pd.Series) -> None:
    numeric = pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
    if numeric != column.numeric:
        kinds = ("numeric", "categorical") if numeric else ("categorical", "numeric")
        raise AnalysisError(
            f"variable {column.name}",
            f"is {kinds[0]} in the donor and {kinds[1]} in the implicates.",
            "Give the donor table that the model set was trained on.",
        )
