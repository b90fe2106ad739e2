"""Pooling: one estimate and one variance out of several implicates.

Belongs here: rules that combine estimates and variances of any shape, and their names. Does not belong here:
how an estimate and its variance come about within an implicate (`estimators.py`).

Which rule is right depends on how the implicates were made; `docs/inference.md` has the table. Notation: q and u
are the estimates and variances within implicates, m their number, ``b = var(q)`` with divisor m - 1,
``ubar = mean(u)``. Variances are averaged, never standard errors.

Sources: Rubin 1987, Multiple Imputation for Nonresponse in Surveys, section 3.1; Barnard and Rubin 1999,
Biometrika 86:948; Raghunathan, Reiter and Rubin 2003, J. Official Statistics 19:1, and Reiter 2002, ibid. 18:531
(fully synthetic); Reiter 2003, Survey Methodology 29:181 (partially synthetic); Reiter 2004, ibid. 30:235
(completed, then synthetic); Reiter 2012, Bayesian finite population imputation for data fusion.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fusion_pipeline.errors import AnalysisError

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
    """Mean variance within implicates; zero for rules that use none."""
    between: Array
    """Variance of the estimates between implicates."""
    missing_information: Array
    """Rubin's fraction of missing information, (r + 2/(df + 3)) / (r + 1); NaN for rules without one."""

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


def rubin(estimates: ArrayLike, variances: ArrayLike, complete_df: ArrayLike | None = None) -> Pooled:
    """Pool the estimates of m implicates by Rubin's rule for completed data.

    Parameters
    ----------
    estimates : (m, ...) array
        The estimate in each implicate.
    variances : (m, ...) array
        Its variance within each implicate: squared standard errors.
    complete_df : array shaped like one implicate's estimates, optional
        Degrees of freedom if nothing were missing: the small-sample rule of Barnard and Rubin.

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
    ::

        T  = ubar + (1 + 1/m) b        r = (1 + 1/m) b / ubar
        df = (m - 1) (1 + 1/r)^2,  infinite where b = 0
        Barnard-Rubin: 1 / (1/df + 1/obs), obs = (c + 1)/(c + 3) c ubar/T, c = complete_df
    """
    q, u = _checked(estimates, variances)
    m = len(q)
    if m < 2:
        return _alone(q[0], u[0])
    between, within = q.var(axis=0, ddof=1), u.mean(axis=0)
    added = (1 + 1 / m) * between
    total = within + added
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        df = np.where(added == 0, np.inf, (m - 1) * (1 + within / added) ** 2)
        if complete_df is not None:
            c = np.broadcast_to(np.asarray(complete_df, dtype=np.float64), total.shape)
            share = np.where(total > 0, within / np.where(total > 0, total, 1), 1.0)
            observed = np.where(
                np.isfinite(c), (c + 1) / (c + 3) * c * share, np.where(share > 0, np.inf, 0.0)
            )
            df = 1 / (1 / df + 1 / observed)
            # Without variance within, what is seen says nothing: df tends to 0, and so would no interval end.
            df = np.where(share > 0, df, (m - 1) * 1.0)
        ratio = added / within
        lost = np.where(np.isinf(ratio), 1.0, (ratio + 2 / (df + 3)) / (ratio + 1))
        lost = np.where(added == 0, 0.0, lost)
    # An unknown variance stays unknown, whatever the implicates agree on.
    unknown = np.isnan(within)
    return Pooled(
        q.mean(axis=0),
        total,
        np.where(unknown, np.nan, df),
        within,
        between,
        np.where(unknown, np.nan, lost),
    )


def nested(estimates: ArrayLike, variances: ArrayLike) -> Pooled:
    """Pool m completed data sets with r synthetic ones of each (Reiter 2004; SIPP Synthetic Beta).

    Parameters
    ----------
    estimates, variances : (m, r, ...) arrays

    Notes
    -----
    With B the variance of the m means, and W the mean of the m variances within their r::

        T  = (1 + 1/m) B - W/r + ubar;   where T <= 0 the subtraction is dropped
        df = 1 / ( ((1 + 1/m) B)^2 / ((m - 1) T^2) + (W/r)^2 / (m (r - 1) T^2) )
    """
    q, u = _checked(estimates, variances)
    if q.ndim < 2:
        raise ValueError(f"estimates {q.shape} must be (m, r, ...)")
    m, r = q.shape[:2]
    if m < 2 or r < 2:
        return _alone(q.mean(axis=(0, 1)), u.mean(axis=(0, 1)))
    centres = q.mean(axis=1)
    between, inside, within = (
        centres.var(axis=0, ddof=1),
        q.var(axis=1, ddof=1).mean(axis=0),
        u.mean(axis=(0, 1)),
    )
    added = (1 + 1 / m) * between
    total = added - inside / r + within
    total = np.where(total > 0, total, added + within)
    with np.errstate(divide="ignore", invalid="ignore"):
        df = 1 / ((added / total) ** 2 / (m - 1) + (inside / r / total) ** 2 / (m * (r - 1)))
    df = np.where((added == 0) & (inside == 0), np.inf, df)
    return _pooled(centres.mean(axis=0), total, df, within, between)


def finite_population(estimates: ArrayLike) -> Pooled:
    """Pool the values of completed populations (Reiter 2012, section 3): T = (1 + 1/m) W, df = m - 1.

    Parameters
    ----------
    estimates : (m, ...) array
        The estimand computed in each completed population; it has no sampling variance there.
    """
    q = np.asarray(estimates, dtype=np.float64)
    q, _ = _checked(q, np.zeros_like(q))
    m = len(q)
    if m < 2:
        return _alone(q[0], np.zeros_like(q[0]))
    between = q.var(axis=0, ddof=1)
    df = np.full_like(between, m - 1)
    return _pooled(q.mean(axis=0), (1 + 1 / m) * between, df, np.zeros_like(between), between)


def confidential(estimates: ArrayLike) -> Pooled:
    """Pool m completed populations of each of r shared synthetic files (Reiter 2012, equations 1 to 4).

    Parameters
    ----------
    estimates : (r, m, ...) array

    Notes
    -----
    With w the mean variance within the r files and b the variance of their means::

        T = w + b / r          df = (r - 1) (1 + r w / b)^2
    """
    q = np.asarray(estimates, dtype=np.float64)
    if q.ndim < 2:
        raise ValueError(f"estimates {q.shape} must be (r, m, ...)")
    q, _ = _checked(q, np.zeros_like(q))
    r, m = q.shape[:2]
    if r < 2 or m < 2:
        return _alone(q.mean(axis=(0, 1)), np.zeros(q.shape[2:]))
    centres, inside = q.mean(axis=1), q.var(axis=1, ddof=1).mean(axis=0)
    between = centres.var(axis=0, ddof=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        df = np.where(between == 0, np.inf, (r - 1) * (1 + r * inside / between) ** 2)
    return _pooled(centres.mean(axis=0), inside + between / r, df, inside, between)


def synthetic(estimates: ArrayLike, variances: ArrayLike) -> Pooled:
    """Pool fully synthetic samples (Raghunathan, Reiter and Rubin 2003).

    Parameters
    ----------
    estimates, variances : (m, ...) arrays

    Notes
    -----
    ::

        T = (1 + 1/m) b - ubar;   where T <= 0: ubar (Reiter 2002, synthetic samples of the original size)
        df = (m - 1) (1 - ubar / ((1 + 1/m) b))^2
    """
    q, u = _checked(estimates, variances)
    m = len(q)
    if m < 2:
        return _alone(q[0], u[0])
    between, within = q.var(axis=0, ddof=1), u.mean(axis=0)
    added = (1 + 1 / m) * between
    total = added - within
    with np.errstate(divide="ignore", invalid="ignore"):
        df = np.where(total > 0, (m - 1) * (1 - within / added) ** 2, m - 1)
    return _pooled(q.mean(axis=0), np.where(total > 0, total, within), df, within, between)


def partially_synthetic(estimates: ArrayLike, variances: ArrayLike) -> Pooled:
    """Pool partially synthetic files (Reiter 2003): T = ubar + b/m, df = (m - 1) (1 + m ubar / b)^2.

    Parameters
    ----------
    estimates, variances : (m, ...) arrays
    """
    q, u = _checked(estimates, variances)
    m = len(q)
    if m < 2:
        return _alone(q[0], u[0])
    between, within = q.var(axis=0, ddof=1), u.mean(axis=0)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        df = np.where(between == 0, np.inf, (m - 1) * (1 + m * within / between) ** 2)
    return _pooled(q.mean(axis=0), within + between / m, df, within, between)


@dataclass(frozen=True)
class Rule:
    """A rule by name, and what it asks of the implicates."""

    combine: Callable[[Array, Array, Array], Pooled]
    """(estimates, variances, complete-data degrees of freedom)."""
    is_nested: bool = False
    """Whether implicates come in nests: column `nest`, arrays (nests, implicates of a nest, ...)."""


RULES: dict[str, Rule] = {
    "barnard-rubin": Rule(rubin),
    "rubin": Rule(lambda q, u, c: rubin(q, u)),
    "nested": Rule(lambda q, u, c: nested(q, u), is_nested=True),
    "finite-population": Rule(lambda q, u, c: finite_population(q)),
    "confidential": Rule(lambda q, u, c: confidential(q), is_nested=True),
    "synthetic": Rule(lambda q, u, c: synthetic(q, u)),
    "partially-synthetic": Rule(lambda q, u, c: partially_synthetic(q, u)),
}
DEFAULT, DEFAULT_NESTED = "barnard-rubin", "nested"


def rule_named(name: str) -> Rule:
    """Look a rule up.

    Raises
    ------
    AnalysisError
        Listing those there are.
    """
    if name not in RULES:
        raise AnalysisError(f"rule {name}", "is not known.", f"Choose one of: {', '.join(RULES)}.")
    return RULES[name]


def _checked(estimates: ArrayLike, variances: ArrayLike) -> tuple[Array, Array]:
    q, u = np.asarray(estimates, dtype=np.float64), np.asarray(variances, dtype=np.float64)
    if q.shape != u.shape or q.ndim == 0 or len(q) == 0:
        raise ValueError(f"estimates {q.shape} and variances {u.shape} must both be (m, ...) with m > 0")
    if (u < 0).any():
        raise ValueError("variances must not be negative")
    return q, u


def _alone(estimate: Array, within: Array) -> Pooled:
    warnings.warn(
        "One implicate says nothing about the variance between implicates: margins of error are NaN.",
        stacklevel=3,
    )
    unknown = np.full_like(np.asarray(estimate, dtype=np.float64), np.nan)
    return Pooled(np.asarray(estimate), unknown, unknown, within, unknown, unknown)


def _pooled(estimate: Array, total: Array, df: Array, within: Array, between: Array) -> Pooled:
    return Pooled(estimate, total, df, within, between, np.full_like(total, np.nan))
