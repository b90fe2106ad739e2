"""Estimates and variances within each implicate and group, as two SQL aggregations.

Belongs here: the sums, and the variance formulae made of them. Does not belong here: pooling (`pooling.py`).

Method: the variance of a weighted mean is Cochran's (1977) ratio variance in the form of Gatz and Smith 1995,
which they found closest to the bootstrap; with replicate weights it is the replication variance, from all
replicates in every implicate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from fusion_pipeline.inference.relation import IMPLICATE, Column, FusedRelation, quoted


@dataclass(frozen=True)
class Weights:
    """The weight and its replicates."""

    main: str
    """SQL expression of the weight."""
    replicates: tuple[str, ...] = ()
    """SQL expressions of the replicate weights."""
    scale: float = 0.0
    """Factor of the sum of squared deviations: 4/80 for the ACS (successive difference replication)."""


def numeric_estimates(
    relation: FusedRelation, variables: Sequence[Column], by: Sequence[Column], weights: Weights
) -> pd.DataFrame:
    """Mean and sum of numeric variables, with variances, in each implicate and group.

    Returns
    -------
    pd.DataFrame
        One row an implicate and group: `implicate`, `by_0..`, `records`, `least_weight`, `unweighted`
        (records without weight), and for the j-th variable `n_j`, `mean_j`, `mean_variance_j`, `sum_j`,
        `sum_variance_j`. Records where the variable is null do not count for it.

    Notes
    -----
    Without replicates, with W = sum(w) and x' the weighted mean::

        Var(x') = n / ((n - 1) W^2) * sum(w^2 (x - x')^2)

    to which Cochran's ratio variance as Gatz and Smith write it reduces, because W x' = sum(w x);
    Var(sum) = W^2 Var(x'). With replicates r: Var = scale * sum_r (theta_r - theta)^2; a replicate in which a
    group has no weight has no mean and is left out of that group's sum.
    """
    groups = [IMPLICATE, *(f"by_{k}" for k in range(len(by)))]
    sums, outer = [*groups, *_health()], [*groups, "records", "least_weight", "unweighted"]
    replicates = range(len(weights.replicates))
    for j in range(len(variables)):
        x, there = f"v_{j}", f"FILTER (v_{j} IS NOT NULL)"
        mean = f"(wx_{j} / nullif(w_{j}, 0))"
        sums += [f"count({x}) AS n_{j}", f"fsum(w) {there} AS w_{j}", f"fsum(w * {x}) AS wx_{j}"]
        outer += [f"n_{j}", f"{mean} AS mean_{j}", f"wx_{j} AS sum_{j}"]
        if replicates:
            # A factor instead of a filter: 80 filtered sums take DuckDB four times as long.
            sums += [f"sum(w_{r} * ({x} IS NOT NULL)::DOUBLE) AS w_{j}_{r}" for r in replicates]
            sums += [f"sum(w_{r} * {x}) AS wx_{j}_{r}" for r in replicates]
            means = [f"coalesce(wx_{j}_{r} / nullif(w_{j}_{r}, 0) - {mean}, 0)" for r in replicates]
            mean_variance = _scaled_squares(means, weights.scale)
            sum_variance = _scaled_squares([f"(wx_{j}_{r} - wx_{j})" for r in replicates], weights.scale)
        else:
            sums += [f"fsum(w * w) {there} AS ww_{j}", f"fsum(w * w * {x}) AS wwx_{j}"]
            sums += [f"fsum(w * w * {x} * {x}) AS wwxx_{j}"]
            squares = f"greatest(0, wwxx_{j} - 2 * {mean} * wwx_{j} + {mean} * {mean} * ww_{j})"
            sum_variance = f"n_{j} / nullif(n_{j} - 1, 0)::DOUBLE * {squares}"
            mean_variance = f"{sum_variance} / nullif(w_{j} * w_{j}, 0)"
        outer += [f"{mean_variance} AS mean_variance_{j}", f"{sum_variance} AS sum_variance_{j}"]
    return relation.query(
        f"WITH joined AS ({_joined(relation, variables, by, weights)}), "
        f"sums AS (SELECT {', '.join(sums)} FROM joined GROUP BY ALL) "
        f"SELECT {', '.join(outer)} FROM sums"
    )


def categorical_estimates(
    relation: FusedRelation, variables: Sequence[Column], by: Sequence[Column], weights: Weights
) -> pd.DataFrame:
    """Proportion and count of every level that occurs, with variances, in each implicate and group.

    Returns
    -------
    pd.DataFrame
        One row an implicate, group, variable and level: `implicate`, `by_0..`, `variable` (position), `level`
        (missing: the records without value, for bookkeeping), `records`, `least_weight`, `unweighted`, `n`,
        `proportion`, `proportion_variance`, `count`, `count_variance`. All variables are aggregated in one
        pass.

    Notes
    -----
    The formulae of `numeric_estimates` with x = 1 for the level and 0 for others.
    """
    groups = [IMPLICATE, *(f"by_{k}" for k in range(len(by)))]
    levels = [f"v_{j}" for j in range(len(variables))]
    sets = ", ".join(f"({', '.join([*groups, level])})" for level in levels)
    which = " ".join(f"WHEN grouping({level}) = 0 THEN {j}" for j, level in enumerate(levels))
    replicates = range(len(weights.replicates))
    value = " ".join(f"WHEN grouping({level}) = 0 THEN {level}" for level in levels)
    sums = [
        *groups,
        f"CASE {which} END AS variable",
        f"CASE {value} END AS level",
        *_health(),
        "count(*) AS n",
        "fsum(w) AS w",
        "fsum(w * w) AS ww",
        *(f"sum(w_{r}) AS w_{r}" for r in replicates),
    ]
    over = f"OVER (PARTITION BY {', '.join([*groups, 'variable', 'level IS NULL'])})"
    totals = ["*", f"sum(n) {over} AS n_all", f"sum(w) {over} AS w_all", f"sum(ww) {over} AS ww_all"]
    totals += [f"sum(w_{r}) {over} AS w_all_{r}" for r in replicates]
    p = "(w / nullif(w_all, 0))"
    if weights.replicates:
        shares = [f"coalesce(w_{r} / nullif(w_all_{r}, 0) - {p}, 0)" for r in replicates]
        counts = [f"(w_{r} - w)" for r in replicates]
        share_variance = _scaled_squares(shares, weights.scale)
        count_variance = _scaled_squares(counts, weights.scale)
    else:
        squares = f"greatest(0, ww * (1 - 2 * {p}) + {p} * {p} * ww_all)"
        count_variance = f"n_all / nullif(n_all - 1, 0)::DOUBLE * {squares}"
        share_variance = f"{count_variance} / nullif(w_all * w_all, 0)"
    outer = [
        *groups,
        "variable",
        "level",
        "records",
        "least_weight",
        "unweighted",
        "n_all::BIGINT AS n",
        f"{p} AS proportion",
        f"{share_variance} AS proportion_variance",
        "w AS count",
        f"{count_variance} AS count_variance",
    ]
    return relation.query(
        f"WITH joined AS ({_joined(relation, variables, by, weights)}), "
        f"sums AS (SELECT {', '.join(sums)} FROM joined GROUP BY GROUPING SETS ({sets})), "
        f"totals AS (SELECT {', '.join(totals)} FROM sums) "
        f"SELECT {', '.join(outer)} FROM totals"
    )


def _joined(
    relation: FusedRelation, variables: Sequence[Column], by: Sequence[Column], weights: Weights
) -> str:
    """Select the columns under short names, each cast once however many sums use it."""
    columns = [f"i.{quoted(IMPLICATE)} AS {IMPLICATE}"]
    columns += [f"{column.native} AS by_{k}" for k, column in enumerate(by)]
    columns += [f"{column.sql} AS v_{j}" for j, column in enumerate(variables)]
    columns += [f"{weights.main} AS w", *(f"{sql} AS w_{r}" for r, sql in enumerate(weights.replicates))]
    return f"SELECT {', '.join(columns)} FROM {relation.source}"


def _health() -> list[str]:
    return ["count(*) AS records", "min(w) AS least_weight", "count_if(w IS NULL) AS unweighted"]


def _scaled_squares(deviations: Sequence[str], scale: float) -> str:
    return f"{scale!r} * ({' + '.join(f'{d} * {d}' for d in deviations)})"
