"""Point estimates and margins of error from implicates, for any subpopulation.

Belongs here: the request, its way through all implicates, and the tidy table. Does not belong here: the joined
relation (`relation.py`), estimation within an implicate (`estimators.py`), groups and pooling (`cells.py`).

Method: Ummel et al. 2024, "Uncertainty": the estimates of all implicates are pooled, the variance within an implicate
is that of replicate weights if there are any. All replicates are used for every implicate; the reference pairs each
implicate with one replicate, which leaves most of them out and counts the sampling variance twice.
"""

from __future__ import annotations

import logging
import os
import warnings
import zlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pandas as pd

from fusion_pipeline.errors import AnalysisError
from fusion_pipeline.inference.area_component import COLUMNS as AREA_COLUMNS
from fusion_pipeline.inference.area_component import ESTIMANDS as AREA_ESTIMANDS
from fusion_pipeline.inference.area_component import AreaSpread
from fusion_pipeline.inference.area_error import AreaError
from fusion_pipeline.inference.cells import Grouping, Member, Results, groupings
from fusion_pipeline.inference.estimands import (
    CATEGORY,
    EITHER,
    KNOWN,
    Estimand,
    Own,
    Statistic,
    read_estimand,
)
from fusion_pipeline.inference.estimators import Estimator, Sample, Within
from fusion_pipeline.inference.given import Implicates, Recipient, listed, surveys_of
from fusion_pipeline.inference.microdata import Block, Factor, Microdata, frame_of
from fusion_pipeline.inference.output import Estimates
from fusion_pipeline.inference.pooling import DEFAULT, DEFAULT_NESTED, rule_named
from fusion_pipeline.inference.provenance import COLUMNS_AT_HAND, cross_donor_note, recorded_rule, source_of
from fusion_pipeline.inference.relation import NEST, open_fused
from fusion_pipeline.inference.weights import ReplicateDesign, Weights

TOTAL = "(all)"
Records = tuple[int, int]
"""How many records an implicate has of the static table, and a checksum of which."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Asked:
    """An estimand, and how it is estimated."""

    estimand: Estimand
    estimator: Estimator
    source: str


def analyze(
    implicates: Implicates | Mapping[str, Implicates],
    static: Recipient | None = None,
    *,
    estimates: Sequence[str | Statistic] | str | Statistic,
    by: Sequence[str] | str = (),
    totals: str = "none",
    where: str | None = None,
    derive: Mapping[str, str] | None = None,
    universes: Mapping[str, str] | None = None,
    weight: str | None = "weight",
    parts: str | None = None,
    replicate_weights: Sequence[str] | str = (),
    replicate_scale: float | Sequence[float] | None = None,
    replicate_method: str = "sdr",
    replicate_count: int | None = None,
    fay: float = 0.5,
    bootstrap: bool = False,
    rule: str = "auto",
    level: float = 0.90,
    sources: Mapping[str, str] | None = None,
    area_error: AreaError | None = None,
    within: bool = False,
    seed: int = 1,
    memory_limit: int | str | None = None,
    threads: int | None = None,
) -> Estimates:
    """Estimate anything by any groups, with margins of error.

    Parameters
    ----------
    implicates : frame, pa.Table, DuckDB relation, folder or files, or a mapping of names to such
        Fused variables with column `implicate`, the folder of a dataset `implicate=NN/part-0.parquet`, or
        some of its files. A mapping joins several surveys fused onto the same households.
    static : frame, pa.Table or TableRef, optional
        The recipient, joined on `year`, `hid` and, where both have it, `pid`: weights, replicate weights and
        anything to group by or to estimate.
    estimates : sequence of str or Statistic
        `mean`, `sum`, `median`, `gini`, `share` of a number, `quantile(number, 0.9)`, `proportion`, `count` of every
        level of a category, `ratio`, `correlation` of two numbers, `linear` and `logistic` of a formula
        ``outcome ~ term + term``, `bounds` of ``first, second | common + common`` for variables of two donors; numbers
        and categories are columns or expressions. A `Statistic` is your own.
    by : sequence of str
        Columns or expressions whose combinations are the groups.
    totals : {"none", "rollup", "cube"}
        Add totals from the right (`rollup`), or of all crossings (`cube`); groups are text then, totals `(all)`.
    where : str, optional
        Condition that records have to fulfil; may use fused variables.
    derive : mapping, optional
        New variables by name, such as ``{"burden": "dollarel / income"}``; each may use those before it.
    universes : mapping, optional
        Condition by column, such as ``{"newest": "hhvehcnt > 0"}``: elsewhere the column means nothing, and is missing.
        Conditions read columns as they are.
    weight : str, optional
        None: every record counts one.
    parts : str, optional
        Column of the static table that tells the rows of one household apart when several areas share it. Without
        replicate weights, groups must not hold two parts of a household: variances take records for independent.
    replicate_weights : sequence of str
        All of them; without, variances are linearised.
    replicate_scale : float or sequence of float, optional
        Factor of the squared deviations, one or one a replicate; by default that of `replicate_method`: ``sdr`` (4/R;
        the ACS), ``brr``, ``fay`` (with `fay`), ``jk1``, ``jk2``, ``bootstrap``. ``jkn``, the jackknife of strata of
        any number of units, needs (n - 1)/n for each replicate, n being the units of the stratum it drops one of.
    replicate_count : int, optional
        How many replicate weights the design has: any other number is refused.
    bootstrap : bool
        Use 200 bootstrap replicates where there are no replicate weights, instead of linearised variances. A
        `Statistic` always does.
    rule : str
        A name of `pooling.RULES`; ``auto``: what the implicates' provenance says (`pooling`), else ``nested`` for
        implicates in nests, else ``barnard-rubin``.
    level : float
        Confidence level of the margin.
    sources : mapping, optional
        `observed`, `imputed` or `fused`, for columns that are not what they seem: by default columns of the
        implicates are fused and those of the static table observed.
    area_error : AreaError, optional
        Measured area errors: what areas have of their own is added to the variance (`area_error.py`), for groups in few
        areas above all. Its `area` columns must be among those at hand.
    within : bool
        Give the variance within implicates, column `within`.
    seed : int
        Of the bootstrap.
    memory_limit, threads : optional
        Bounds; threads change speed, never a result.

    Returns
    -------
    Estimates
        `.table` has the columns of `by`, then `estimand`, `variable`, `level` (a category's level, a regression's
        coefficient), `estimate`, `standard_error`, `margin`, `df`, `n` (records behind it in an implicate),
        `effective_n`, `missing_information`, `M` (implicates in which the group has an estimate), `source`; with
        `area_error` also `area_error` (standard error of the area component) and `margin_without` (it). Groups in
        level order; groups without records or weight are absent; levels that do not occur are zero. Missing values
        of a variable are left out of its estimates; a missing group value is a group.

    Raises
    ------
    AnalysisError
        If a column or estimand is unknown or unfit, an expression holds more than it may, weights are missing or
        negative, nothing can be joined, the implicates have gaps, or not the same records, each once, or surveys
        were made for different pooling rules.

    Notes
    -----
    Results are given to nine digits: the order of parallel summation shows in the sixteenth.

    Examples
    --------
    >>> import pyarrow as pa
    >>> import fusion_pipeline as fp
    >>> fused = pa.table({"implicate": [1, 1, 2, 2], "hid": [7, 8, 7, 8], "use": [1.0, 3.0, 2.0, 3.0]})
    >>> static = pa.table({"hid": [7, 8], "weight": [1.0, 1.0]})
    >>> fp.analyze(fused, static, estimates=["mean(use)"]).table[["estimand", "estimate", "M"]].values.tolist()
    [['mean(use)', 2.25, 2]]
    """
    estimates, by, replicate_weights = listed(estimates), listed(by), listed(replicate_weights)
    _check_groups(by)
    if not estimates:
        raise AnalysisError("estimates", "none was asked for.", f"Write one of: {KNOWN}.")
    if not 0 < level < 1:
        raise AnalysisError(f"level {level}", "is not between 0 and 1.", "Write 0.90 for 90 %.")
    design = ReplicateDesign.of(replicate_weights, replicate_scale, replicate_method, fay, replicate_count)
    implicates = surveys_of(implicates)
    with open_fused(implicates, static, parts=parts, memory_limit=memory_limit, threads=threads) as relation:
        estimands = [read_estimand(asked) for asked in estimates]
        data = Microdata(relation, derive or {}, where, universes or {})
        factors = [data.factor(text, "by") for text in by]
        asked = [prepare(estimand, data, by, where, sources or {}) for estimand in estimands]
        areas, wider = (
            [data.factor(name, "area error") for name in names]
            for names in ((area_error.area, area_error.wider) if area_error else ((), ()))
        )
        data.weigh(weight, design)
        members, note = relation.members()
        if rule == "auto":
            rule = recorded_rule(implicates, DEFAULT_NESTED if NEST in relation.columns else DEFAULT)
        chosen = rule_named(rule)
        if chosen.is_nested and NEST not in relation.columns:
            raise AnalysisError(
                f"rule {rule}",
                "is for implicates in nests.",
                f"Give implicates with column {NEST}, or another rule.",
            )
        notes = [note] if note else []
        notes += cross_donor_note(data, estimands, by, where)
        _log.info(
            "estimating %s%s", ", ".join(e.text for e in estimands), f" by {', '.join(by)}" if by else ""
        )
        sets = groupings(factors, totals)
        z = _normal(level)

        def work(member: Member) -> tuple[Member, Records, list[list[tuple[np.ndarray, Within]]], float]:
            block = data.read(member)
            found, df = _within(block, sets, asked, z, bootstrap, seed)
            return member, (len(block.rows), zlib.crc32(block.rows.tobytes())), found, df

        if len(members) > 1:
            with ThreadPoolExecutor(min(threads or os.cpu_count() or 1, len(members))) as pool:
                finished = list(pool.map(work, members))
        else:
            finished = [work(member) for member in members]
        spread = None
        if area_error and len(members) > 1:
            columns = [a.estimator.columns if a.estimand.name in AREA_ESTIMANDS else None for a in asked]
            first, second = (data.read(member) for member in members[:2])
            spread = AreaSpread.of(first, second, sets, columns, areas, wider, complete=area_error.complete)
            notes += [f"{e.text} has no area component: its area errors are not measured."
                      for e, names in zip(estimands, columns, strict=True) if names is None]  # fmt: skip
    _check_records({member: records for member, records, _, _ in finished})
    if len(members) < 2:
        notes.append(
            "One implicate says nothing about the variance between implicates: there are no margins of error."
        )
    for text in notes:
        warnings.warn(text, stacklevel=2)
    table = _tidy(finished, asked, rule, level)
    columns_at_hand = list(COLUMNS_AT_HAND)
    if area_error and spread:
        table = spread.widen(table, area_error, level)
        columns_at_hand += AREA_COLUMNS
    if within:
        table = table.rename(columns={"_within": "within"})
        columns_at_hand.append("within")
    table = _ordered(table, factors, by, columns_at_hand)
    notes += [f"{name} is estimated where {condition}." for name, condition in data.limited.items()]
    found = set(table["estimand"])
    notes += [f"{e.text} is not defined in any group." for e in estimands if e.text not in found]
    alone = int((table["M"] < 2).sum()) if len(members) > 1 else 0
    if alone:
        notes.append(
            f"{alone} estimates are of groups found in one implicate only: they have no margin of error."
        )
    return Estimates(table, tuple(by), level, rule, len(members), tuple(notes), _rests_on(design, bootstrap))


def prepare(
    estimand: Estimand, data: Microdata, by: Sequence[str], where: str | None, sources: Mapping[str, str]
) -> Asked:
    """Ask for the columns of an estimand.

    Raises
    ------
    AnalysisError
        If a column is unknown or unfit.
    """
    purpose = f"estimate {estimand.text}"
    keys: list[str] = []
    levels: list[tuple[str, ...] | None] = []
    for argument in estimand.arguments:
        inner = f"{purpose}: variable"
        kind = argument.kind
        if kind == EITHER:
            kind = "numeric" if data.is_number(argument.text, inner) else CATEGORY
        if kind == CATEGORY:
            factor = data.category(argument.text, purpose if _is_name(argument.text) else inner)
            keys.append(factor.key)
            levels.append(factor.labels)
        else:
            keys.append(data.number(argument.text, purpose))
            levels.append(None)
    texts = [*(a.text for a in estimand.arguments), *by, *([where] if where else [])]
    return Asked(estimand, estimand.estimator(keys, levels), source_of(data, texts, sources))


def _is_name(text: str) -> bool:
    return text.isidentifier()


def _rests_on(design: ReplicateDesign, bootstrap: bool) -> str:
    """Say what the variance within an implicate rests on."""
    if design.columns:
        return f"{len(design.columns)} replicate weights"
    return (
        "a bootstrap of the households"
        if bootstrap
        else "linearisation, as if households were drawn one by one"
    )


def _within(
    block: Block, sets: Sequence[Grouping], asked: Sequence[Asked], z: float, bootstrap: bool, seed: int
) -> tuple[list[list[tuple[np.ndarray, Within]]], float]:
    """Estimate everything in one implicate: for each estimand, groups and results of each grouping."""
    plain = block.weights
    own = any(isinstance(a.estimator, Own) for a in asked)
    drawn = plain
    if not plain.replicates.shape[1] and (bootstrap or own):
        drawn = plain.bootstrapped(seed)
    found: list[list[tuple[np.ndarray, Within]]] = [[] for _ in asked]
    for grouping in sets:
        cells, groups = grouping.cells(block)
        known: dict[int, np.ndarray] = {}
        for results, a in zip(found, asked, strict=True):
            weights: Weights = drawn if bootstrap or isinstance(a.estimator, Own) else plain
            sample = Sample(cells, len(groups), block.rows, weights, block.values, block.codes, z, known)
            results.append((groups, a.estimator.within(sample)))
    return found, plain.df


def _tidy(
    finished: Sequence[tuple[Member, Records, list[list[tuple[np.ndarray, Within]]], float]],
    asked: Sequence[Asked],
    rule: str,
    level: float,
) -> pd.DataFrame:
    """Pool everything: one row a group, estimand and label, groups as codes `_by_0`, ..."""
    parts = []
    for position, a in enumerate(asked):
        results = Results(
            {m: found[position] for m, _, found, _ in finished},
            finished[0][3],
            a.estimator.parameters,
            a.estimator.absent,
        )
        groups, part = results.pool(rule_named(rule), level)
        if part.empty:
            continue
        part["estimand"], part["variable"], part["source"] = a.estimand.text, a.estimand.variable, a.source
        labels = a.estimator.labels
        part["level"] = pd.Series([labels[i] for i in part["_label"]], index=part.index, dtype=object)
        for k in range(groups.shape[1]):
            part[f"_by_{k}"] = groups[part["_group"], k]
        parts.append(part.assign(_position=position))
    if not parts:
        raise AnalysisError(
            "estimates",
            "no group has a record with weight and value, or what a relation is between is the same everywhere.",
            "Check weights, filter and variables.",
        )
    return pd.concat(parts, ignore_index=True)


def _ordered(
    table: pd.DataFrame, factors: Sequence[Factor], by: Sequence[str], columns: Sequence[str]
) -> pd.DataFrame:
    """Sort by group, estimand and label, and put group columns on the left."""
    names = [f"_by_{k}" for k in range(len(factors))]
    # Totals and then missing values come last.
    order = pd.DataFrame(
        {n: table[n].where(table[n] >= 0, 2**40 - table[n]) for n in names}, index=table.index
    )
    order[["_position", "_label"]] = table[["_position", "_label"]]
    table = table.loc[order.sort_values(list(order.columns), kind="stable").index].reset_index(drop=True)
    left = frame_of(factors, table[names].to_numpy(dtype=np.int64).reshape(len(table), -1), by, TOTAL)
    return pd.concat([left, table[list(columns)]], axis=1)


def _check_groups(by: Sequence[str]) -> None:
    if repeated := [name for name in by if by.count(name) > 1]:
        raise AnalysisError(f"by {repeated[0]}", "is named twice.", "Name each group column once.")
    if taken := [name for name in by if name in (*COLUMNS_AT_HAND, *AREA_COLUMNS)]:
        raise AnalysisError(
            f"by {taken[0]}",
            "is the name of a column of the results, too.",
            f'Group by a variable of another name, such as derive={{"{taken[0]}_": "{taken[0]}"}}.',
        )


def _check_records(records: Mapping[Member, Records]) -> None:
    least, most = min(records, key=lambda m: records[m]), max(records, key=lambda m: records[m])
    if not records[most][0]:
        raise AnalysisError(
            "implicates and static table",
            "have no household in common.",
            "Give the recipient that these implicates were fused onto.",
        )
    if records[least] != records[most]:
        (few, _), (many, _) = records[least], records[most]
        raise AnalysisError(
            f"implicate {least[-1]}",
            f"has {few:,} records of the static table, implicate {most[-1]} has {many:,}"
            + (", of which some are others." if few == many else "."),
            "Fuse the implicate again: one of them is incomplete.",
        )


def _normal(level: float) -> float:
    from scipy.special import ndtri

    return float(ndtri((1 + level) / 2))
