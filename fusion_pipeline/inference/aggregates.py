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
    inner, outer = list(_group_columns(by)), [IMPLICATE, *(f"by_{k}" for k in range(len(by)))]
    inner += _health(weights)
    outer += ["records", "least_weight", "unweighted"]
    w = weights.main
    for j, variable in enumerate(variables):
        x, there = variable.sql, f"FILTER ({variable.sql} IS NOT NULL)"
        inner += [
            f"count({x}) AS n_{j}",
            f"fsum({w}) {there} AS w_{j}",
            f"fsum({w} * {x}) AS wx_{j}",
        ]
        outer += [f"n_{j}", f"wx_{j} / nullif(w_{j}, 0) AS mean_{j}", f"wx_{j} AS sum_{j}"]
        if weights.replicates:
            for r, replicate in enumerate(weights.replicates):
                inner += [f"sum({replicate}) {there} AS w_{j}_{r}", f"sum({replicate} * {x}) AS wx_{j}_{r}"]
            theta = f"(wx_{j} / nullif(w_{j}, 0))"
            replicates = range(len(weights.replicates))
            means = [f"coalesce(wx_{j}_{r} / nullif(w_{j}_{r}, 0) - {theta}, 0)" for r in replicates]
            sums = [f"(wx_{j}_{r} - wx_{j})" for r in replicates]
            outer += [
                f"{_scaled_squares(means, weights.scale)} AS mean_variance_{j}",
                f"{_scaled_squares(sums, weights.scale)} AS sum_variance_{j}",
            ]
        else:
            inner += [
                f"fsum({w} * {w}) {there} AS ww_{j}",
                f"fsum({w} * {w} * {x}) AS wwx_{j}",
                f"fsum({w} * {w} * {x} * {x}) AS wwxx_{j}",
            ]
            theta = f"(wx_{j} / nullif(w_{j}, 0))"
            squares = f"greatest(0, wwxx_{j} - 2 * {theta} * wwx_{j} + {theta} * {theta} * ww_{j})"
            factor = f"n_{j} / nullif(n_{j} - 1, 0)::DOUBLE"
            outer += [
                f"{factor} * {squares} / nullif(w_{j} * w_{j}, 0) AS mean_variance_{j}",
                f"{factor} * {squares} AS sum_variance_{j}",
            ]
    return relation.query(
        f"WITH sums AS (SELECT {', '.join(inner)} FROM {relation.source} GROUP BY ALL) "
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
    inner = [*_group_columns(by), *(f"{v.sql} AS v_{j}" for j, v in enumerate(variables))]
    inner.append(f"{weights.main} AS w")
    inner += [f"{replicate} AS w_{r}" for r, replicate in enumerate(weights.replicates)]
    sets = ", ".join(f"({', '.join([*groups, level])})" for level in levels)
    which = " ".join(f"WHEN grouping({level}) = 0 THEN {j}" for j, level in enumerate(levels))
    replicates = range(len(weights.replicates))
    value = " ".join(f"WHEN grouping({level}) = 0 THEN {level}" for level in levels)
    sums = [
        *groups,
        f"CASE {which} END AS variable",
        f"CASE {value} END AS level",
        *_health(Weights("w")),
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
        f"WITH joined AS (SELECT {', '.join(inner)} FROM {relation.source}), "
        f"sums AS (SELECT {', '.join(sums)} FROM joined GROUP BY GROUPING SETS ({sets})), "
        f"totals AS (SELECT {', '.join(totals)} FROM sums) "
        f"SELECT {', '.join(outer)} FROM totals"
    )


def _group_columns(by: Sequence[Column]) -> list[str]:
    return [f"i.{quoted(IMPLICATE)} AS {IMPLICATE}", *(f"{c.native} AS by_{k}" for k, c in enumerate(by))]


def _health(weights: Weights) -> list[str]:
    return [
        "count(*) AS records",
        f"min({weights.main}) AS least_weight",
        f"count_if({weights.main} IS NULL) AS unweighted",
    ]


def _scaled_squares(deviations: Sequence[str], scale: float) -> str:
    return f"{scale!r} * ({' + '.join(f'{d} * {d}' for d in deviations)})"
