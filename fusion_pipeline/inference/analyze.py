"""Point estimates and margins of error from implicates, for any subpopulation.

Belongs here: reading the request, pooling the within-implicate results, and the tidy table. Does not belong
here: the joined relation (`relation.py`), the sums (`aggregates.py`), pooling them cell by cell (`cells.py`).

Method: Ummel et al. 2024, "Uncertainty": Rubin's rule over implicates, the variance within an implicate from
replicate weights if there are any. All replicates are used for every implicate; the reference pairs each
implicate with one replicate, which leaves most of them out and counts the sampling variance twice.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import pyarrow as pa

from fusion_pipeline.errors import AnalysisError
from fusion_pipeline.inference.aggregates import Weights, categorical_estimates, numeric_estimates
from fusion_pipeline.inference.cells import categorical_cells, group_index, numeric_cells, pool
from fusion_pipeline.inference.relation import (
    IMPLICATE,
    Column,
    FusedRelation,
    Implicates,
    listing,
    open_fused,
)
from fusion_pipeline.storage.tables import TableRef

NUMERIC, CATEGORICAL = ("mean", "sum"), ("proportion", "count")
_KNOWN = ", ".join(f"{name}(variable)" for name in (*NUMERIC, *CATEGORICAL))
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Estimand:
    text: str
    estimator: str
    column: Column


def analyze(
    implicates: Implicates,
    static: pa.Table | TableRef | None = None,
    *,
    estimates: Sequence[str],
    by: Sequence[str] = (),
    weight: str | None = "weight",
    replicate_weights: Sequence[str] = (),
    replicate_scale: float | None = None,
    level: float = 0.90,
    memory_limit: int | str | None = None,
    threads: int | None = None,
) -> pd.DataFrame:
    """Estimate means, sums, proportions and counts with their margins of error.

    Parameters
    ----------
    implicates : pa.Table, Path or sequence of Path
        Fused variables with column `implicate`, the folder of a dataset `implicate=NN/part-0.parquet`, or
        some of its files.
    static : pa.Table or TableRef, optional
        The recipient, joined on `year`, `hid` and, where both have it, `pid`: weights, replicate weights and
        anything to group by or to estimate.
    estimates : sequence of str
        Such as `mean(btuel)`, `sum(btuel)` for numeric variables, `proportion(insec)`, `count(insec)` for
        categorical ones (every level).
    by : sequence of str
        Columns whose combinations are the groups.
    weight : str, optional
        None: every record counts one.
    replicate_weights : sequence of str
        All of them; without, the ratio variance is used.
    replicate_scale : float, optional
        Factor of the sum of squared deviations; default 4/R, which is right for the ACS (successive
        differences) and for balanced replication with Fay's factor .5 (RECS).
    level : float
        Confidence level of the margin.
    memory_limit, threads : optional
        Bounds for DuckDB.

    Returns
    -------
    pd.DataFrame
        Columns of `by`, then `estimand`, `variable`, `level` (None for numbers), `estimate`,
        `standard_error`, `margin`, `df`, `n` (records behind it in an implicate), `M` (implicates in which
        the group has records). Groups in level order; groups without records or weight are absent; levels
        that do not occur are zero. Null values of a variable are left out of its estimates.

    Raises
    ------
    AnalysisError
        If a column or estimator is unknown or unfit, weights are missing or negative, nothing can be
        joined, or the implicates have unequal numbers of records.

    Notes
    -----
    Results are given to nine digits: the order of parallel summation shows in the sixteenth.

    Examples
    --------
    >>> import pyarrow as pa
    >>> import fusion_pipeline as fp
    >>> fused = pa.table({"implicate": [1, 1, 2, 2], "hid": [7, 8, 7, 8], "use": [1.0, 3.0, 2.0, 3.0]})
    >>> static = pa.table({"hid": [7, 8], "weight": [1.0, 1.0]})
    >>> fp.analyze(fused, static, estimates=["mean(use)"])[["estimand", "estimate", "M"]].values.tolist()
    [['mean(use)', 2.25, 2]]
    """
    if not estimates:
        raise AnalysisError("estimates", "none was asked for.", f"Write one of: {_KNOWN}.")
    with open_fused(implicates, static, memory_limit=memory_limit, threads=threads) as relation:
        estimands = [_parse(text, relation) for text in estimates]
        groups = [relation.column(name, "by") for name in by]
        weights = _weights(relation, weight, replicate_weights, replicate_scale)
        _log.info("estimating %s%s", ", ".join(estimates), f" by {', '.join(by)}" if by else "")
        numeric = _distinct(estimands, NUMERIC)
        categorical = _distinct(estimands, CATEGORICAL)
        by_number = numeric_estimates(relation, numeric, groups, weights) if numeric else None
        by_level = categorical_estimates(relation, categorical, groups, weights) if categorical else None
    for frame, per_variable in ((by_number, False), (by_level, True)):
        if frame is not None:
            _check_health(frame, weight, per_variable)

    index, group_table = group_index([f for f in (by_number, by_level) if f is not None], groups, by)
    parts = []
    for position, estimand in enumerate(estimands):
        levels: Sequence[str | None] = [None]
        if estimand.estimator in NUMERIC:
            assert by_number is not None
            variable = numeric.index(estimand.column)
            cells = numeric_cells(by_number, variable, estimand.estimator, index)
        else:
            assert by_level is not None
            variable = categorical.index(estimand.column)
            levels, cells = categorical_cells(
                by_level, variable, estimand.estimator, estimand.column.levels, index
            )
        part = pool(cells, level)
        part["estimand"], part["variable"] = estimand.text, estimand.column.name
        part["level"] = pd.Series([levels[i] for i in part["_level"]], index=part.index, dtype=object)
        parts.append(part.assign(_position=position))
    tidy = pd.concat(parts).sort_values(["_group", "_position", "_level"], kind="stable", ignore_index=True)
    left = group_table.iloc[tidy["_group"].to_numpy()].reset_index(drop=True)
    names = ["estimand", "variable", "level", "estimate", "standard_error", "margin", "df", "n", "M"]
    return pd.concat([left, tidy[names]], axis=1)


def _parse(text: str, relation: FusedRelation) -> _Estimand:
    match = re.fullmatch(r"\s*(\w+)\s*\(\s*(.+?)\s*\)\s*", text)
    if match is None or match[1] not in (*NUMERIC, *CATEGORICAL):
        raise AnalysisError(f"estimate {text}", "is not known.", f"Write one of: {_KNOWN}.")
    estimator, column = match[1], relation.column(match[2], f"estimate {text}: variable")
    if estimator in NUMERIC and not column.numeric:
        numbers = listing([c.name for c in relation.columns.values() if c.numeric])
        raise AnalysisError(
            f"estimate {text}",
            f"{column.name} is categorical and has no {estimator}.",
            f"Use proportion({column.name}), or one of the numeric variables: {numbers}.",
        )
    if estimator in CATEGORICAL and column.numeric:
        categories = listing([c.name for c in relation.columns.values() if not c.numeric])
        raise AnalysisError(
            f"estimate {text}",
            f"{column.name} is numeric and has no levels.",
            f"Use mean({column.name}), or one of the categorical variables: {categories}.",
        )
    return _Estimand(text, estimator, column)


def _weights(
    relation: FusedRelation, weight: str | None, replicates: Sequence[str], scale: float | None
) -> Weights:
    main = "1.0" if weight is None else relation.column(weight, "weight").sql
    if not replicates:
        return Weights(main)
    sql = tuple(relation.column(name, "replicate weight").sql for name in replicates)
    return Weights(main, sql, 4 / len(sql) if scale is None else float(scale))


def _distinct(estimands: Sequence[_Estimand], estimators: Sequence[str]) -> list[Column]:
    return list({e.column.name: e.column for e in estimands if e.estimator in estimators}.values())


def _check_health(frame: pd.DataFrame, weight: str | None, per_variable: bool) -> None:
    if frame.empty:
        raise AnalysisError(
            "implicates and static table",
            "have no household in common.",
            "Give the recipient that these implicates were fused onto.",
        )
    for column, bad in (("unweighted", frame["unweighted"] > 0), ("least_weight", frame["least_weight"] < 0)):
        if bad.any():
            what = "is missing" if column == "unweighted" else f"is negative ({frame[column].min():g})"
            raise AnalysisError(
                f"weight {weight}",
                f"{what} in implicate {frame.loc[bad, IMPLICATE].iloc[0]}.",
                "Correct the recipient, or leave these records out of the static table.",
            )
    if per_variable:
        frame = frame[frame["variable"] == 0]
    records = frame.groupby(IMPLICATE)["records"].sum()
    if records.min() != records.max():
        raise AnalysisError(
            f"implicate {records.idxmin()}",
            f"has {records.min():,} records of the static table, implicate {records.idxmax()} has "
            f"{records.max():,}.",
            "Fuse the implicate again: one of them is incomplete.",
        )
