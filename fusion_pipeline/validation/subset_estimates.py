"""Estimates for subsets of households: observed, fused with their margins, and by simpler methods.

Belongs here: one row a subset, variable and level. Does not belong here: what the estimates are worth
(`subset_scores.py`), variances within an implicate (`inference/estimators.py`), pooling (`inference/pooling.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fusion_pipeline.inference.estimators import Estimator, Mean, Proportion, Sample, Within
from fusion_pipeline.inference.pooling import rubin
from fusion_pipeline.inference.weights import Weights
from fusion_pipeline.randomness import stream
from fusion_pipeline.validation import baselines
from fusion_pipeline.validation.compared import Compared
from fusion_pipeline.validation.subsets import Crossing, crossings

METHODS = ("fused", "direct", "neighbour", "random", "grand")
"""Fused; donors of the same subset; nearest donor; a donor drawn at random; the mean of everyone."""
COLUMNS = (
    "fold", "by", "subset", "households", "share", "variable", "level", "observed", "observed_margin", "fused",
    "margin", "margin_between", "direct", "neighbour", "random", "grand",
)  # fmt: skip
Array = NDArray[np.float64]
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class _Question:
    """A variable to be estimated: its mean, or the share of every level."""

    name: str
    levels: tuple[str, ...]

    @property
    def estimator(self) -> Estimator:
        return Proportion(("v",), labels=self.levels) if self.levels else Mean(("v",))

    def columns(self, values: NDArray) -> Iterator[Array]:
        """Yield what a mean has to be taken of: the numbers, or the indicator of each level."""
        if not self.levels:
            yield values.astype(np.float64)
        for code in range(len(self.levels)):
            yield (values == code).astype(np.float64)


@dataclass(frozen=True)
class _Drawn:
    """Donors that the simpler methods take, rows of all households: (n,) and (M, n); empty without donors."""

    nearest: Rows
    random: Rows


def subset_estimates(
    data: Compared,
    groups: Sequence[str],
    predictors: Sequence[str],
    *,
    smallest: int,
    level: float,
    seed: int,
) -> tuple[pd.DataFrame, int]:
    """Estimate every variable in every subset of every fold.

    Parameters
    ----------
    data : households and donors
    groups : grouping variables; subsets are theirs and those of their pairs
    predictors : by which a donor is the nearest
    smallest : households that a subset has at least
    level : confidence level of the margins
    seed : of the random donors

    Returns
    -------
    table : `COLUMNS`; methods that need donors are NaN where there are none
    left_out : number of subsets with fewer households, or of no weight
    """
    made = list(crossings(data.frame, groups))
    drawn = _donors(data, predictors, seed)
    n, left_out = data.households, 0
    base = pd.factorize(data.fold[:n], sort=True)[0]
    share = data.weight[:n] / np.bincount(base, weights=data.weight[:n])[base]
    parts = []
    for crossing in made:
        codes, count = crossing.codes, len(crossing.labels)
        cells = base * count + codes[:n]
        cells[data.weight[:n] <= 0] = -1
        size = np.bincount(cells[cells >= 0], minlength=count * (base.max() + 1))
        wanted = np.flatnonzero(size >= smallest)
        left_out += len(np.unique(base * count + codes[:n])) - len(wanted)
        cells = np.where(np.isin(cells, wanted), np.searchsorted(wanted, cells), -1)
        if not len(wanted):
            continue
        there = cells >= 0
        about = {
            "fold": data.own_folds[wanted // count],
            "by": " x ".join(crossing.names),
            "subset": np.array(crossing.labels, dtype=object)[wanted % count],
            "share": np.bincount(cells[there], weights=share[there], minlength=len(wanted)),
        }
        for name in data.observed:
            question = _Question(name, data.levels.get(name, ()))
            parts.append(_estimated(data, question, cells, wanted, crossing, drawn, about, level))
    if not parts:
        return pd.DataFrame(columns=list(COLUMNS)), left_out
    return pd.concat(parts, ignore_index=True)[list(COLUMNS)], left_out


def _estimated(
    data: Compared,
    question: _Question,
    cells: Rows,
    wanted: Rows,
    crossing: Crossing,
    drawn: _Drawn,
    about: dict[str, Any],
    level: float,
) -> pd.DataFrame:
    """Estimate one variable in the subsets of one crossing: rows by subset, then level."""
    from scipy.special import stdtrit

    name, n, count = question.name, data.households, len(wanted)
    weights = Weights.plain(data.weight[:n])
    answered = np.where(data.known(name)[:n], cells, -1)
    shared: dict[int, Array] = {}

    def within(values: NDArray) -> Within:
        numbers, codes = ({}, {"v": values.astype(np.int64)}) if question.levels else ({"v": values}, {})
        sample = Sample(answered, count, np.arange(n), weights, numbers, codes, known=shared)
        return question.estimator.within(sample)

    def plain(values: NDArray) -> NDArray:
        return values if question.levels else np.where(answered >= 0, values, 0).astype(np.float64)

    real = within(plain(data.observed[name][:n]))
    found = [within(plain(values)) for values in data.fused[name]]
    # One household has no variance within: its margin is unknown.
    pooled = rubin(
        np.stack([w.estimate for w in found]),
        np.stack([w.variance for w in found]),
        np.maximum(real.n - 1, 0)[:, None] + np.zeros_like(real.estimate),
    )
    m, q = data.implicates, (1 + level) / 2
    labels = len(question.levels) or 1
    complete = np.where(real.n > 1, real.n - 1, np.nan)[:, None]
    columns = {
        "observed": real.estimate,
        "observed_margin": stdtrit(complete, q) * np.sqrt(real.variance),
        "fused": pooled.estimate,
        "margin": pooled.margin(level),
        "margin_between": stdtrit(m - 1, q) * np.sqrt((1 + 1 / m) * pooled.between),
        **_simpler(data, question, answered, wanted, crossing, drawn),
    }
    table = pd.DataFrame({key: np.asarray(values).reshape(-1) for key, values in columns.items()})
    for key, value in about.items():
        table[key] = np.repeat(value, labels) if isinstance(value, np.ndarray) else value
    table["households"] = np.repeat(real.n.astype(np.int64), labels)
    table["variable"], table["level"] = name, list(question.levels or [None]) * count
    # Nobody of the subset has answered.
    return table[table["observed"].notna()]


def _simpler(
    data: Compared, question: _Question, answered: Rows, wanted: Rows, crossing: Crossing, drawn: _Drawn
) -> dict[str, Array]:
    """Estimate by the simpler methods: (subsets, levels) each."""
    observed, known, n = data.observed[question.name], data.known(question.name), data.households
    count, own = len(wanted), len(crossing.labels)
    fold_of = data.own_folds[wanted // own]
    found: dict[str, list[Array]] = {name: [] for name in METHODS[1:]}
    for values in question.columns(observed):
        values = np.where(known, values, 0.0)
        grand, direct = np.empty(count), np.full(count, np.nan)
        for fold in np.unique(fold_of):
            here = fold_of == fold
            rows = (data.fold[:n] == fold) & known[:n]
            weight = data.weight[:n][rows]
            grand[here] = weight @ values[:n][rows] / weight.sum() if weight.sum() > 0 else np.nan
            donors = data.donors(fold) & known
            means = baselines.group_means(values[donors], data.weight[donors], crossing.codes[donors], own)
            direct[here] = means[wanted[here] % own]
        found["grand"].append(grand)
        found["direct"].append(direct)
        for name, rows in (("neighbour", drawn.nearest[None]), ("random", drawn.random)):
            if not rows.size:
                found[name].append(np.full(count, np.nan))
                continue
            each = [
                baselines.group_means(
                    values[taken], data.weight[:n], np.where(known[taken], answered, -1), count
                )
                for taken in rows
            ]
            found[name].append(np.mean(each, axis=0))
    return {name: np.column_stack(columns) for name, columns in found.items()}


def _donors(data: Compared, predictors: Sequence[str], seed: int) -> _Drawn:
    """Find the nearest and random donors of every household, among those of other folds."""
    n, m = data.households, data.implicates
    nearest, random = np.full(n, -1, dtype=np.int64), np.full((m, n), -1, dtype=np.int64)
    x = baselines.features(data.frame, list(predictors))
    for fold in data.own_folds:
        donors, here = np.flatnonzero(data.donors(fold)), np.flatnonzero(data.fold[:n] == fold)
        if not len(donors):
            return _Drawn(np.empty(0, np.int64), np.empty((0, n), np.int64))
        nearest[here] = donors[baselines.nearest_donor(x[donors], x[here])]
        cumulated = np.cumsum(data.weight[donors])
        for k in range(m):
            uniform = stream(seed, "validate", "random donor", str(fold), k + 1).random(len(here))
            random[k, here] = donors[np.searchsorted(cumulated, uniform * cumulated[-1])]
    return _Drawn(nearest, random)
