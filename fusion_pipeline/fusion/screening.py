"""Screening and fusion order: which predictors each fusion variable needs, and which variable goes first.

Belongs here: `prepare`, from donor microdata to a plan. Does not belong here: the plan itself
(`specification.py`), the models that are fitted in the end (`boosting.py`).

Method: after Ummel et al. 2024, "Modeling details": LASSO models, keeping the smallest that explains 95 % of what the
full model explains. What is done here: candidates are the columns whose weighted rank correlation with the variable
suffices; the LASSO path comes from the weighted correlation matrix by least-angle regression (Efron et al. 2004), which
visits the models of the path one by one and never touches the rows again; explained is R² of the linear model, for
indicators of categories too, where the paper speaks of deviance. The path ends after as many steps as twice the
predictors allowed: what lies beyond is logged, not silently lost. The order is greedy: next comes the variable whose
share of explainable variance is explained best by the predictors and the variables fused already.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd
import pyarrow as pa

from fusion_pipeline.errors import TrainingError
from fusion_pipeline.fusion import variables
from fusion_pipeline.fusion.arguments import whole
from fusion_pipeline.fusion.donors import Donors, load_donors
from fusion_pipeline.fusion.specification import FusionPlan, FusionStep, blocks, harmonized
from fusion_pipeline.fusion.variables import Variable
from fusion_pipeline.randomness import stream
from fusion_pipeline.storage.tables import TableRef

VERSION = "2"
DEVIANCE, CORRELATION = 0.95, 0.05
"""Share of the explained variance that a model must reach, and least rank correlation of a candidate."""
LEAST_CANDIDATES = 20
"""However weak their correlation, that many columns stay candidates."""
MOST_LEVELS = 15
"""Levels of an unordered predictor that get an indicator of their own; the rarest go without."""
MOST_ROWS = 50_000
"""Donors beyond this many add nothing to a screen; a sample is taken."""
log = logging.getLogger(__name__)


def prepare(
    donor: pd.DataFrame | pa.Table | TableRef,
    y: Sequence[str | Sequence[str]],
    x: Sequence[str],
    weight: str | None,
    *,
    forced: Sequence[str] = (),
    order: Literal["greedy", "given"] = "greedy",
    deviance: float = DEVIANCE,
    correlation: float = CORRELATION,
    max_predictors: int = 100,
    seed: int = 1,
) -> FusionPlan:
    """Find the fusion order and the predictors of every step.

    Parameters
    ----------
    donor : frame, table or handle
        Donor microdata; never changed.
    y : sequence of str or sequence of str
        Fusion variables; a list within the list is a block.
    x : sequence of str
        Harmonized and spatial predictors.
    weight : str or None
        Column of donor weights.
    forced : sequence of str
        Predictors that every step keeps.
    order : "greedy" or "given"
    deviance : float
        Share of the explained variance (R²) of the LASSO path's last model that the chosen model must reach.
    correlation : float
        Candidates of a step have at least this absolute weighted rank correlation with its variable, or are among
        the best 20.
    max_predictors : int
        Most predictors of a step, forced ones not counted.
    seed : int
        Of the sample taken from a donor of more than 50,000 rows.

    Returns
    -------
    FusionPlan
        Predictors of a step are in the order of `x`, then earlier fusion variables in fusion order.

    Raises
    ------
    TrainingError
        If a fusion variable is incomplete or cannot be modelled; the message names it.

    Notes
    -----
    An ordered category counts by rank, an unordered one by its indicators; a zero-inflated variable is screened
    together with its non-zero indicator, a category by its indicators weighted with their shares, a block by the
    mean over its variables. Missing predictors are filled by median or mode, for the screen only. A variable whose
    LASSO path is longer than 2 `max_predictors` steps is named in a warning: its chosen model then reaches the share
    of what that many steps explain, which is at most what the full model explains.

    Examples
    --------
    >>> import fusion_pipeline as fp
    >>> donor, _ = fp.example_tables()
    >>> plan = fp.prepare(donor, y=["size"], x=["group", "income"], weight="weight")
    >>> plan.steps[0].predictors
    ('group', 'income')
    """
    variables.column_names(donor, "donor", TrainingError)
    seed = whole("prepare, seed", seed, 0, TrainingError)
    max_predictors = whole("prepare, max_predictors", max_predictors, 1, TrainingError)
    steps = blocks(y)
    x = harmonized(x, steps)
    plan = FusionPlan(tuple(FusionStep(step, tuple(x)) for step in steps), weight)
    if unknown := [name for name in forced if name not in x]:
        raise TrainingError("prepare, forced", f"names {unknown[0]}, which is not in x.", "Add it to x.")
    donors = _sample(load_donors(donor, plan, None), seed)
    design = _Design.build(donors, steps, x)
    kept = [name for name in x if name in design.columns]
    chooser = _Chooser(
        design, [name for name in forced if name in kept], deviance, correlation, max_predictors
    )
    ceiling = {step: chooser.fit(step, [*kept, *_others(steps, step)]).full for step in steps}
    remaining = list(steps)
    done: list[tuple[str, ...]] = []
    chosen: list[FusionStep] = []
    while remaining:
        candidates = remaining if order == "greedy" else remaining[:1]
        usable = [*kept, *(v for step in done for v in step)]
        fits = [chooser.fit(step, usable) for step in candidates]
        scores = [
            fit.explained / max(ceiling[step], 1e-9) for fit, step in zip(fits, candidates, strict=True)
        ]
        best = int(np.argmax(scores))
        step, names = candidates[best], set(fits[best].names)
        chosen.append(FusionStep(step, tuple(name for name in usable if name in names)))
        log.info(
            "fusion order %d of %d: %s, %d predictors, %.0f %% of explainable variance",
            len(chosen), len(steps), chosen[-1].name, len(names), 100 * min(scores[best], 1.0),
        )  # fmt: skip
        remaining.remove(step)
        done.append(step)
    if chooser.cut_off:
        log.warning(
            "the LASSO path was cut off after %d steps, before the full model, for %s",
            chooser.most_steps,
            ", ".join(sorted(chooser.cut_off)),
        )
    return FusionPlan(tuple(chosen), weight)


def strongest(donor: pa.Table, y: str, x: Sequence[str], weight: str | None, most: int) -> list[str]:
    """Name the predictors of the smallest model that explains one variable, `most` at most, in the order of `x`.

    What `prepare` does for a step, where there is nothing to order and a limit is meant.

    Raises
    ------
    TrainingError
        As `prepare`.
    """
    donors = load_donors(donor, FusionPlan((FusionStep((y,), tuple(x)),), weight), None)
    design = _Design.build(donors, [(y,)], x)
    usable = [name for name in x if name in design.columns]
    chosen = set(_Chooser(design, [], DEVIANCE, CORRELATION, most).fit((y,), usable).names)
    return [name for name in usable if name in chosen]


@dataclass(frozen=True)
class _Fit:
    """A chosen model: its predictors, variance explained, variance explained by the full model."""

    names: list[str]
    explained: float
    full: float


@dataclass(frozen=True)
class _Design:
    """Weighted correlations of all columns, on values (`pearson`) and on weighted ranks (`ranks`).

    `columns` maps a predictor or fusion variable to its columns as predictor, `targets` a fusion variable to its
    columns as target, each with the weight it has in the variable's score.
    """

    pearson: np.ndarray
    ranks: np.ndarray
    columns: dict[str, list[int]]
    targets: dict[str, list[tuple[int, float]]]

    @classmethod
    def build(cls, donors: Donors, steps: Sequence[Sequence[str]], x: Sequence[str]) -> _Design:
        everyone = np.arange(donors.count)
        data: list[np.ndarray] = []
        columns: dict[str, list[int]] = {}
        targets: dict[str, list[tuple[int, float]]] = {}

        def add(values: np.ndarray) -> int:
            data.append(values.astype(np.float32))
            return len(data) - 1

        dropped = []
        for name in x:
            variable = donors.describe(name)
            parts = _expand(donors, variable, everyone, MOST_LEVELS)
            varying = [part for part in parts if part.min() < part.max()]
            if varying:
                columns[name] = [add(part) for part in varying]
            else:
                dropped.append(name)
        if dropped:
            log.info("constant predictors dropped: %s", ", ".join(dropped))
        if not columns:
            raise TrainingError("prepare, x", "has no predictor that varies.", "Add predictors.")
        for step in steps:
            for name in step:
                donors.rows_of(FusionStep((name,), tuple(x)), 2)
                variable = donors.describe(name, everyone)
                parts = [
                    p for p in _expand(donors, variable, everyone, len(variable.levels)) if p.min() < p.max()
                ]
                if not parts:
                    log.warning("%s is constant: it needs no predictors to be fused", name)
                    columns[name], targets[name] = [], []
                    continue
                if variable.kind == "zero-inflated":
                    parts.append(parts[0] != 0)
                columns[name] = [add(part) for part in parts]
                share = [1 / len(parts)] * len(parts)
                if variable.is_nominal:
                    share = [float(np.average(part, weights=donors.weight)) for part in parts]
                targets[name] = [(j, s / sum(share)) for j, s in zip(columns[name], share, strict=True)]
        matrix = np.column_stack(data)
        ranked = np.column_stack([_ranks(column, donors.weight) for column in data])
        return cls(
            _correlations(matrix, donors.weight), _correlations(ranked, donors.weight), columns, targets
        )


@dataclass(frozen=True)
class _Chooser:
    """Chooses predictors for a step among given candidates; `cut_off` collects whose LASSO path was too long."""

    design: _Design
    forced: Sequence[str]
    deviance: float
    correlation: float
    most: int
    cut_off: set[str] = field(default_factory=set)

    @property
    def most_steps(self) -> int:
        """Steps of a LASSO path, in each of which one column enters or leaves."""
        return 2 * self.most

    def fit(self, step: Sequence[str], usable: Sequence[str]) -> _Fit:
        """Find the smallest model of each target and put their predictors together."""
        strength: dict[str, float] = {}
        explained = full = 0.0
        owner = {j: name for name in usable for j in self.design.columns[name]}
        for variable in step:
            for target, share in self.design.targets[variable]:
                candidates = self._candidates(target, np.array(list(owner)))
                coefficients, reached, possible, is_cut_off = self._smallest(target, candidates)
                if is_cut_off:
                    self.cut_off.add(variable)
                explained += share * reached / len(step)
                full += share * possible / len(step)
                for j in np.flatnonzero(coefficients):
                    name = owner[int(candidates[j])]
                    strength[name] = strength.get(name, 0.0) + share * abs(float(coefficients[j]))
        free = sorted((n for n in strength if n not in self.forced), key=lambda n: (-strength[n], n))
        names = [*self.forced, *free[: self.most]]
        if not names:
            # Nothing correlates, or nothing varies: the strongest or first candidate keeps the step its predictor.
            columns = np.array(list(owner))
            targets = [target for name in step for target, _ in self.design.targets[name]]
            names = [owner[int((self._candidates(targets[0], columns) if targets else columns)[0])]]
        return _Fit(names, explained, full)

    def _candidates(self, target: int, columns: np.ndarray) -> np.ndarray:
        """Return the columns that pass the rank-correlation screen, strongest first; forced ones always pass."""
        size = np.abs(self.design.ranks[target, columns])
        order = np.argsort(-size, kind="stable")
        passes = size[order] >= self.correlation
        passes[:LEAST_CANDIDATES] = True
        always = {j for name in self.forced for j in self.design.columns[name]}
        return columns[order][passes | np.isin(columns[order], list(always))]

    def _smallest(self, target: int, candidates: np.ndarray) -> tuple[np.ndarray, float, float, bool]:
        """Return coefficients of the smallest sufficient model, its R², the path's largest, and if that was cut off."""
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import lars_path_gram

        gram = self.design.pearson[np.ix_(candidates, candidates)].copy()
        moments = self.design.pearson[candidates, target].copy()
        # Indicators of one variable may add up to another: a trace of ridge keeps the path defined.
        gram[np.diag_indices_from(gram)] += 1e-6
        with warnings.catch_warnings():
            # The path stops early where collinear columns add nothing: that is its end, not a failure.
            warnings.simplefilter("ignore", ConvergenceWarning)
            alphas, _, path, steps = lars_path_gram(
                moments,
                gram,
                n_samples=1,
                method="lasso",
                max_iter=self.most_steps,
                copy_Gram=False,
                copy_X=True,
                return_n_iter=True,
            )
        explained = 2 * moments @ path - np.einsum("jk,jk->k", path, gram @ path)
        full = float(explained.max())
        first = int(np.argmax(explained >= self.deviance * full))
        # A path that was walked to its end ends without penalty.
        is_cut_off = steps >= self.most_steps and alphas[-1] > 0
        return path[:, first], float(explained[first]), full, bool(is_cut_off)


def _others(steps: Sequence[tuple[str, ...]], step: tuple[str, ...]) -> list[str]:
    return [name for other in steps if other != step for name in other]


def _sample(donors: Donors, seed: int) -> Donors:
    if donors.count <= MOST_ROWS:
        return donors
    rows = np.sort(stream(seed, "prepare").choice(donors.count, MOST_ROWS, replace=False))
    return Donors(donors.table.take(rows), donors.weight[rows], None)


def _expand(donors: Donors, variable: Variable, rows: np.ndarray, most: int) -> list[np.ndarray]:
    """Return the numeric columns of a variable: itself, or indicators of its most frequent levels."""
    values = variables.feature(donors.table[variable.name], variable)[rows].astype(np.float64)
    known = ~np.isnan(values)
    if not known.any():
        return [np.zeros(len(values))]
    if variable.kind == "categorical":
        tally = np.bincount(values[known].astype(np.int64), donors.weight[rows][known])
        values = np.where(known, values, float(tally.argmax()))
        if variable.is_nominal:
            frequent = np.argsort(-tally, kind="stable")[:most]
            return [(values == level).astype(np.float64) for level in sorted(frequent) if tally[level] > 0]
        return [values]
    return [np.where(known, values, np.median(values[known]))]


def _ranks(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return weighted mid-ranks: the share of weight below a value, and half of that at it."""
    _, at = np.unique(values, return_inverse=True)
    mass = np.bincount(at, weight) / weight.sum()
    return (np.cumsum(mass) - mass / 2)[at].astype(np.float32)


def _correlations(matrix: np.ndarray, weight: np.ndarray) -> np.ndarray:
    share = weight / weight.sum()
    centred = matrix.astype(np.float64) - share @ matrix
    centred *= np.sqrt(share)[:, None]
    size = np.sqrt((centred**2).sum(axis=0))
    centred /= np.where(size > 0, size, 1.0)
    return centred.T @ centred
