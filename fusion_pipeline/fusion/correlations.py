"""Weighted correlations of a donor's columns, which screening reads instead of the rows.

Belongs here: numeric columns of predictors and fusion variables, their correlations on values and on ranks. Does not
belong here: what is chosen by them (`lasso.py`).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fusion_pipeline.errors import TrainingError
from fusion_pipeline.fusion import variables
from fusion_pipeline.fusion.donors import Donors
from fusion_pipeline.fusion.specification import FusionStep
from fusion_pipeline.fusion.variables import Variable

MOST_LEVELS = 15
"""Levels of an unordered predictor that get an indicator of their own; the rarest go without."""
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Correlations:
    """Weighted correlations of all columns, on values (`pearson`) and on weighted ranks (`ranks`).

    `columns` maps a predictor or fusion variable to its columns as predictor, `targets` a fusion variable to its
    columns as target, each with the weight it has in the variable's score.
    """

    pearson: np.ndarray
    ranks: np.ndarray
    columns: dict[str, list[int]]
    targets: dict[str, list[tuple[int, float]]]

    @classmethod
    def build(cls, donors: Donors, steps: Sequence[Sequence[str]], x: Sequence[str]) -> Correlations:
        """Correlate the predictors `x` and the fusion variables of all steps.

        Raises
        ------
        TrainingError
            If a fusion variable is incomplete, or no predictor varies.
        """
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
            raise TrainingError(
                "prepare, x", f"has no predictor that varies among {donors.count} donors.", "Add predictors."
            )
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
