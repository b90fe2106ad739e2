"""The smallest LASSO model that explains a fusion variable, found in its correlations.

Belongs here: candidates, LASSO paths, the predictors of a step. Does not belong here: the correlations
(`correlations.py`), the fusion order and the method as a whole (`screening.py`).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from fusion_pipeline.fusion.correlations import Correlations

LEAST_CANDIDATES = 20
"""However weak their correlation, that many columns stay candidates."""


@dataclass(frozen=True)
class Fit:
    """A chosen model: its predictors, variance explained, variance explained by the full model."""

    names: list[str]
    explained: float
    full: float


@dataclass(frozen=True)
class Chooser:
    """Chooses predictors for a step among given candidates; `cut_off` collects whose LASSO path was too long."""

    correlations: Correlations
    forced: Sequence[str]
    deviance: float
    least_correlation: float
    most: int
    cut_off: set[str] = field(default_factory=set)

    @property
    def most_steps(self) -> int:
        """Steps of a LASSO path, in each of which one column enters or leaves."""
        return 2 * self.most

    def fit(self, step: Sequence[str], usable: Sequence[str]) -> Fit:
        """Find the smallest model of each target and put their predictors together."""
        strength: dict[str, float] = {}
        explained = full = 0.0
        owner = {j: name for name in usable for j in self.correlations.columns[name]}
        for variable in step:
            for target, share in self.correlations.targets[variable]:
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
            targets = [target for name in step for target, _ in self.correlations.targets[name]]
            names = [owner[int((self._candidates(targets[0], columns) if targets else columns)[0])]]
        return Fit(names, explained, full)

    def _candidates(self, target: int, columns: np.ndarray) -> np.ndarray:
        """Return the columns that pass the rank-correlation screen, strongest first; forced ones always pass."""
        size = np.abs(self.correlations.ranks[target, columns])
        order = np.argsort(-size, kind="stable")
        passes = size[order] >= self.least_correlation
        passes[:LEAST_CANDIDATES] = True
        always = {j for name in self.forced for j in self.correlations.columns[name]}
        return columns[order][passes | np.isin(columns[order], list(always))]

    def _smallest(self, target: int, candidates: np.ndarray) -> tuple[np.ndarray, float, float, bool]:
        """Find the smallest sufficient model: its coefficients and R², the full model's R², if the path was cut off."""
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import lars_path_gram

        gram = self.correlations.pearson[np.ix_(candidates, candidates)].copy()
        moments = self.correlations.pearson[candidates, target].copy()
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
                copy_Gram=True,
                copy_X=True,
                return_n_iter=True,
            )
        explained = 2 * moments @ path - np.einsum("jk,jk->k", path, gram @ path)
        full = max(float(explained.max()), _full(gram, moments))
        enough = explained >= self.deviance * full
        first = int(np.argmax(enough)) if enough.any() else int(np.argmax(explained))
        # A path that was walked to its end ends without penalty.
        is_cut_off = steps >= self.most_steps and alphas[-1] > 0
        return path[:, first], float(explained[first]), full, bool(is_cut_off)


def _full(gram: np.ndarray, moments: np.ndarray) -> float:
    """Return R² of the model with all columns, which a path that ends early does not reach."""
    from scipy.linalg import lstsq

    found = lstsq(gram, moments, check_finite=False)[0]
    return float(2 * moments @ found - found @ gram @ found)
