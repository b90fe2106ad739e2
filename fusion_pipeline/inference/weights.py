"""Weights and their replicates: what the variance within an implicate is made of.

Belongs here: replication methods and their factors, the weights as arrays, bootstrap replicates. Does not belong
here: estimates.

Var(theta) = scale * sum_r (theta_r - theta)^2, over all R replicates. Factors: successive differences 4/R (Fay and
Train 1995; ACS), balanced 1/R, Fay's 1/(R (1 - k)^2) (Judkins 1990), jackknife (R - 1)/R with one unit dropped at a
time, 1 for the paired jackknife, bootstrap 1/R (Wolter 2007, Introduction to Variance Estimation).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fusion_pipeline.errors import AnalysisError
from fusion_pipeline.randomness import stream

METHODS = ("sdr", "brr", "fay", "jk1", "jk2", "bootstrap")
BOOTSTRAPS = 200


@dataclass(frozen=True)
class ReplicateDesign:
    """The columns of the replicate weights and the factor of their squared deviations."""

    columns: tuple[str, ...]
    scale: float

    @classmethod
    def of(
        cls,
        columns: Sequence[str],
        scale: float | None,
        method: str,
        fay: float = 0.5,
        count: int | None = None,
    ) -> ReplicateDesign:
        """Make a design.

        Raises
        ------
        AnalysisError
            If there are fewer than two columns, a column twice, another number than `count`, the method is
            unknown, or a factor is none.
        """
        columns = tuple(columns)
        where = f"replicate weights ({columns[0]} ... {columns[-1]})" if columns else "replicate weights"
        if columns and len(columns) < 2:
            raise AnalysisError(where, "are one: a variance needs at least two.", "Name all of them.")
        if len(set(columns)) < len(columns):
            raise AnalysisError(where, "name a column twice.", "Name each once.")
        if count is not None and columns and len(columns) != count:
            raise AnalysisError(
                where,
                f"are {len(columns)}, the design has {count}: the variance would be of the wrong size.",
                "Name all of them, or leave replicate weights out.",
            )
        if method not in METHODS:
            raise AnalysisError(
                f"replicate method {method}", "is not known.", f"Choose one of: {', '.join(METHODS)}."
            )
        if not 0 <= fay < 1:
            raise AnalysisError(f"fay {fay}", "is not a factor k of Fay's method.", "Give 0 <= k < 1.")
        if scale is not None and not scale > 0:
            raise AnalysisError(f"replicate scale {scale}", "is not positive.", "Write 4 / 80 for the ACS.")
        if scale is None and columns:
            scale = scale_of(method, len(columns), fay)
        return cls(columns, float(scale or 0.0))


def scale_of(method: str, count: int, fay: float = 0.5) -> float:
    """Return the factor of a replication method with `count` replicates; `fay` is Fay's k."""
    return {
        "sdr": 4 / count,
        "brr": 1 / count,
        "fay": 1 / (count * (1 - fay) ** 2),
        "jk1": (count - 1) / count,
        "jk2": 1.0,
        "bootstrap": 1 / count,
    }[method]


@dataclass(frozen=True)
class Weights:
    """Weights as arrays; records point into them by row."""

    main: NDArray[np.float64]
    """(N,)"""
    replicates: NDArray[np.float32]
    """(N, R); R = 0 without."""
    scale: float = 0.0
    df: float = np.inf
    """Degrees of freedom of the replicates: R - 1."""

    def without_replicates(self) -> Weights:
        """Leave the replicates out."""
        return Weights(self.main, np.empty((len(self.main), 0), dtype=np.float32))

    def bootstrapped(self, seed: int, count: int = BOOTSTRAPS) -> Weights:
        """Make bootstrap replicates: N - 1 of N records with replacement (Rao and Wu 1988), the same every time."""
        rows = len(self.main)
        replicates = np.zeros((rows, count), dtype=np.float32)
        if rows > 1:
            for b in range(count):
                drawn = stream(seed, "analyze", "bootstrap", b).integers(0, rows, rows - 1)
                factor = np.bincount(drawn, minlength=rows) * (rows / (rows - 1))
                replicates[:, b] = self.main * factor
        return Weights(self.main, replicates, 1 / count)


def checked(main: NDArray[np.float64], replicates: NDArray[np.float32], name: str | None, where: str) -> None:
    """Refuse weights that cannot be.

    Raises
    ------
    AnalysisError
        If a weight is missing or negative, none is positive, or a replicate weight is missing.
    """
    remedy = "Correct the recipient, or leave these records out of the static table."
    if np.isnan(main).any():
        raise AnalysisError(
            f"weight {name}", f"is missing in {int(np.isnan(main).sum()):,} records{where}.", remedy
        )
    if len(main) and main.min() < 0:
        raise AnalysisError(f"weight {name}", f"is negative ({main.min():g}){where}.", remedy)
    # A sum per replicate instead of a mask of the whole table.
    if replicates.size and not np.isfinite(replicates.sum(axis=0, dtype=np.float64)).all():
        raise AnalysisError(
            "replicate weights", f"are missing in some records{where}.", "Give every record all of them."
        )
