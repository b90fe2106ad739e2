"""The smallest LASSO model that explains a fusion variable, found in its correlations.

Belongs here: candidates, the predictors of a step. Does not belong here: the correlations (`correlations.py`), the
LASSO path (`least_angle.py`), the full model (`full_models.py`), the fusion order and the method as a whole
(`screening.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from fusion_pipeline.fusion.compiling import compiled
from fusion_pipeline.fusion.correlations import Correlations
from fusion_pipeline.fusion.full_models import FullModels
from fusion_pipeline.fusion.least_angle import smallest_model

LEAST_CANDIDATES = 20
"""However weak their correlation, that many columns stay candidates."""
RIDGE = 1e-6
"""Indicators of one variable may add up to another: a trace of ridge keeps the path defined."""


@dataclass(frozen=True)
class Fit:
    """A chosen model: its predictors, the variance it explains, and whose LASSO path ended before it was enough."""

    names: list[str]
    explained: float
    cut_off: tuple[str, ...]


@dataclass(frozen=True)
class Chooser:
    """Chooses predictors for a step among given candidates."""

    correlations: Correlations
    forced: Sequence[str]
    deviance: float
    least_correlation: float
    most: int
    _full_models: dict[int, tuple[bytes, FullModels]] = field(default_factory=dict)

    @property
    def most_steps(self) -> int:
        """Steps of a LASSO path, in each of which one column enters or leaves."""
        return 2 * self.most

    def explicable(self, step: Sequence[str], usable: Sequence[str]) -> float:
        """Return the variance that the full models of a step explain: the most that any of its models can."""
        columns = self._columns(usable)
        return sum(
            share * self._full(target, self._candidates(target, columns)) / len(step)
            for variable in step
            for target, share in self.correlations.targets[variable]
        )

    def fit(self, step: Sequence[str], usable: Sequence[str]) -> Fit:
        """Find the smallest model of each target and put their predictors together."""
        strength: dict[str, float] = {}
        explained, cut_off = 0.0, []
        owner = {j: name for name in usable for j in self.correlations.columns[name]}
        columns = self._columns(usable)
        for variable in step:
            for target, share in self.correlations.targets[variable]:
                candidates = self._candidates(target, columns)
                enough = self.deviance * self._full(target, candidates)
                chosen, coefficients, reached, is_cut_off = compiled(smallest_model)(
                    self._gram, target, candidates, enough, self.most_steps
                )
                if is_cut_off and variable not in cut_off:
                    cut_off.append(variable)
                explained += share * reached / len(step)
                for j, coefficient in zip(chosen.tolist(), coefficients.tolist(), strict=True):
                    strength[owner[j]] = strength.get(owner[j], 0.0) + share * abs(coefficient)
        free = sorted((n for n in strength if n not in self.forced), key=lambda n: (-strength[n], n))
        names = [*self.forced, *free[: self.most]]
        if not names:
            # Nothing correlates, or nothing varies: the strongest or first candidate keeps the step its predictor.
            targets = [target for name in step for target, _ in self.correlations.targets[name]]
            names = [owner[int((self._candidates(targets[0], columns) if targets else columns)[0])]]
        return Fit(names, explained, tuple(cut_off))

    @cached_property
    def _gram(self) -> np.ndarray:
        return self.correlations.pearson + RIDGE * np.eye(len(self.correlations.pearson))

    @cached_property
    def _fused(self) -> np.ndarray:
        """Which columns are of fusion variables: (q,) bool."""
        return self._is_of(self.correlations.targets)

    @cached_property
    def _forced(self) -> np.ndarray:
        return self._is_of(self.forced)

    def _is_of(self, names: Iterable[str]) -> np.ndarray:
        found = np.zeros(len(self.correlations.pearson), dtype=bool)
        found[self._columns(names)] = True
        return found

    def _columns(self, names: Iterable[str]) -> np.ndarray:
        return np.array([j for name in names for j in self.correlations.columns[name]], dtype=np.int64)

    def _full(self, target: int, candidates: np.ndarray) -> float:
        """Return R² of the full model. Only fusion variables are added from one call to the next, as a rule."""
        is_fused = self._fused[candidates]
        fixed = np.sort(candidates[~is_fused])
        known, models = self._full_models.get(target, (b"", None))
        if models is None or known != fixed.tobytes():
            others = [j for j in np.flatnonzero(self._fused).tolist() if j != target]
            models = FullModels(self._gram, target, fixed, others)
            self._full_models[target] = fixed.tobytes(), models
        return models.explained(candidates[is_fused].tolist())

    def _candidates(self, target: int, columns: np.ndarray) -> np.ndarray:
        """Return the columns that pass the rank-correlation screen, strongest first; forced ones always pass."""
        size = np.abs(self.correlations.ranks[target, columns])
        order = np.argsort(-size, kind="stable")
        passes = size[order] >= self.least_correlation
        passes[:LEAST_CANDIDATES] = True
        ordered = columns[order]
        return ordered[passes | self._forced[ordered]]
