"""Weights and their replicates: what the variance within an implicate is made of.

Belongs here: replication methods and their factors, the weights as arrays, bootstrap replicates. Does not belong
here: estimates.

Var(theta) = sum_r factor_r (theta_r - theta)^2, over all R replicates. Factors: successive differences 4/R (Fay and
Train 1995; ACS), balanced 1/R, Fay's 1/(R (1 - k)^2) (Judkins 1990), jackknife (R - 1)/R with one unit dropped at a
time, 1 for the paired jackknife, bootstrap 1/R (Wolter 2007, Introduction to Variance Estimation). Only the jackknife
of strata has factors that differ: (n - 1)/n for every replicate that drops one of the n units of its stratum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fusion_pipeline.errors import AnalysisError
from fusion_pipeline.randomness import stream

METHODS = ("sdr", "brr", "fay", "jk1", "jk2", "jkn", "bootstrap")
BOOTSTRAPS = 200


@dataclass(frozen=True)
class ReplicateDesign:
    """The columns of the replicate weights and what is made of their squared deviations."""

    columns: tuple[str, ...]
    factors: NDArray[np.float64]
    """(R,) of the squared deviation of each replicate."""
    df: float = np.inf
    """Degrees of freedom: R - 1; of the jackknife of strata, units less strata; infinite without replicates."""

    @classmethod
    def of(
        cls,
        columns: Sequence[str],
        scale: float | Sequence[float] | None,
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
        if not columns:
            return cls(columns, np.empty(0))
        factors = _factors(scale, method, len(columns), fay)
        # A stratum of n units has n replicates of factor 1 - 1/n.
        df = float(factors.sum()) if method == "jkn" else len(columns) - 1.0
        return cls(columns, factors, df)


def _factors(
    scale: float | Sequence[float] | None, method: str, count: int, fay: float
) -> NDArray[np.float64]:
    """Give the factor of every replicate (count,).

    Raises
    ------
    AnalysisError
        If a factor is not positive, there is one too many or too few, or strata ask for one a replicate.
    """
    given = np.asarray(scale_of(method, count, fay) if scale is None else scale, dtype=np.float64)
    if given.ndim and given.shape != (count,):
        raise AnalysisError(
            "replicate scale", f"has {given.size} factors for {count} replicates.", "Give one for each."
        )
    if (wrong := given[~(given > 0)]).size:
        raise AnalysisError(
            f"replicate scale {wrong.flat[0]}", "is not positive.", "Write 4 / 80 for the ACS."
        )
    if method == "jkn" and (given >= 1).any():
        raise AnalysisError(
            f"replicate scale {given.max():g}",
            "is none of a jackknife of strata.",
            "Give (n - 1)/n, n being the units of the stratum that the replicate drops one of.",
        )
    return np.broadcast_to(given, (count,))


def scale_of(method: str, count: int, fay: float = 0.5) -> float:
    """Return the factor of a replication method with `count` replicates; `fay` is Fay's k.

    Raises
    ------
    AnalysisError
        If replicates of the method have factors of their own.
    """
    if method == "jkn":
        raise AnalysisError(
            "replicate method jkn",
            "has a factor for each replicate.",
            "Give them as replicate_scale: (n - 1)/n, n being the units of the stratum that it drops one of.",
        )
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
    factors: NDArray[np.float64]
    """(R,) of the squared deviation of each replicate."""
    df: float = np.inf
    """Degrees of freedom of the replicates."""

    @classmethod
    def plain(cls, main: NDArray[np.float64]) -> Weights:
        """Take weights that have no replicates."""
        return cls(main, np.empty((len(main), 0), dtype=np.float32), np.empty(0))

    def without_replicates(self) -> Weights:
        """Leave the replicates out."""
        return Weights.plain(self.main)

    def bootstrapped(self, seed: int, count: int = BOOTSTRAPS) -> Weights:
        """Make bootstrap replicates: N - 1 of N records with replacement (Rao and Wu 1988), the same every time."""
        rows = len(self.main)
        replicates = np.zeros((rows, count), dtype=np.float32)
        if rows > 1:
            for b in range(count):
                drawn = stream(seed, "analyze", "bootstrap", b).integers(0, rows, rows - 1)
                factor = np.bincount(drawn, minlength=rows) * (rows / (rows - 1))
                replicates[:, b] = self.main * factor
        return Weights(self.main, replicates, np.full(count, 1 / count))


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
