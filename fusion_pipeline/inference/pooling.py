"""Pooling: one estimate and one variance out of M implicates.

Belongs here: rules that combine estimates and variances of any shape. Does not belong here: how an estimate
and its variance come about within an implicate (`analyze.py`).

Method: Rubin 1987, Multiple Imputation for Nonresponse in Surveys, section 3.1. Reiter 2012 shows the rule to
be conservative for fused data; Ummel et al. 2024 use it for that reason. Variances are averaged, never
standard errors.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Pooled:
    """A pooled estimate; every array has the shape of one implicate's estimates."""

    estimate: Array
    variance: Array
    """Total variance T."""
    df: Array
    """Degrees of freedom of Student's t; infinite where the implicates agree."""
    within: Array
    """Mean variance within implicates."""
    between: Array
    """Variance of the estimates between implicates."""

    @property
    def standard_error(self) -> Array:
        """Square root of the total variance."""
        return np.sqrt(self.variance)

    def margin(self, level: float = 0.90) -> Array:
        """Half width of the confidence interval; the Census Bureau's margin of error has `level` .90."""
        from scipy.special import stdtrit

        if not 0 < level < 1:
            raise ValueError(f"level must lie between 0 and 1, not {level}")
        return stdtrit(self.df, (1 + level) / 2) * self.standard_error

    def interval(self, level: float = 0.90) -> tuple[Array, Array]:
        """Lower and upper bound of the confidence interval."""
        margin = self.margin(level)
        return self.estimate - margin, self.estimate + margin


def rubin(estimates: ArrayLike, variances: ArrayLike) -> Pooled:
    """Pool the estimates of M implicates by Rubin's rule for completed data.

    Parameters
    ----------
    estimates : (M, ...) array
        The estimate in each implicate.
    variances : (M, ...) array
        Its variance within each implicate: squared standard errors.

    Returns
    -------
    Pooled
        Shaped like one implicate's estimates. With fewer than two implicates the variance is unknown (NaN),
        and a warning says so.

    Raises
    ------
    ValueError
        If the shapes differ, there is no implicate, or a variance is negative.

    Notes
    -----
    With q_m and u_m the estimate and variance in implicate m::

        estimate = mean(q)      within = ubar = mean(u)      between = b = var(q), divisor M - 1
        T  = ubar + (1 + 1/M) b
        df = (M - 1) (1 + ubar / ((1 + 1/M) b))^2,  infinite where b = 0
    """
    q, u = np.asarray(estimates, dtype=np.float64), np.asarray(variances, dtype=np.float64)
    if q.shape != u.shape or q.ndim == 0 or len(q) == 0:
        raise ValueError(f"estimates {q.shape} and variances {u.shape} must both be (M, ...) with M > 0")
    if (u < 0).any():
        raise ValueError("variances must not be negative")
    implicates = len(q)
    estimate, within = q.mean(axis=0), u.mean(axis=0)
    if implicates < 2:
        warnings.warn(
            "One implicate says nothing about the variance between implicates: margins of error are NaN.",
            stacklevel=2,
        )
        unknown = np.full_like(estimate, np.nan)
        return Pooled(estimate, unknown, unknown, within, unknown)
    between = q.var(axis=0, ddof=1)
    added = (1 + 1 / implicates) * between
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        df = np.where(added == 0, np.inf, (implicates - 1) * (1 + within / added) ** 2)
    # An unknown variance stays unknown, whatever the implicates agree on.
    df = np.where(np.isnan(within), np.nan, df)
    return Pooled(estimate, within + added, df, within, between)
