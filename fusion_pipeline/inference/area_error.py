"""Area error: what makes one place differ from another beyond its predictors, as a component of the variance.

Belongs here: the size of area errors, estimated where the truth is known; what is expected for a variable whose truth is
not; the component of a group's variance; the file that carries it. Does not belong here: fusing proxies whose truth is
known (`validation/self_fusion.py`), estimation (`analyze.py`).

Model. The fused mean of group g errs by sampling, by the implicates, and by what its areas have of their own::

    error of g = sum over areas a of (share(g, a) - share(a)) delta(a) + the rest        delta(a) ~ (0, icc S)

where S is the residual variance of households (given the predictors) and icc the intraclass correlation of area errors:
the share of residual variance that households of one area have in common. share(a) is the area's share of everyone: donors are
a sample of everyone, so the models have their average right whatever single areas are like. Independent over areas, the errors
average out in proportion to ``H = sum of (share(g, a) - share(a))^2``: nearly 1 for one area, 0 for the nation. In a part f of
an area's households groups differ in their own ways: ``finer (1 - f) share(g, a)^2`` is added.

Against Rubin's total variance there is something to be said first. With S/n the residual noise of a group's mean, the variance
of the pooled estimate around the population's mean is, M implicates drawn from proper models,
``ubar + (1 + 1/M) b - 2 S/n``: the draws are noise of their own where Rubin's rule takes them for answers (the surplus is
what makes the rule conservative for fused data; Reiter 2012). The area component is therefore ::

    max(0, icc S H - 2 S/n)        S = residual share x n ubar

In the notation of small-area estimation icc S is the model variance of Fay and Herriot (1979), estimated as they do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fusion_pipeline.errors import AnalysisError, StorageError
from fusion_pipeline.storage.atomic import atomic_file

Array = NDArray[np.float64]
Kind = Literal["number", "share"]
FEWEST_AREAS = 10
FEWEST_PROXIES = 3
PRIOR_PROXIES = 2.0
"""How many proxies of the kind the proxies of all kinds together count for."""
LEAST_ICC = 5e-4
"""Below this an icc cannot be told from zero; logarithms start here."""


@dataclass(frozen=True)
class Icc:
    """Intraclass correlation of area errors, with the standard error of its estimate."""

    value: float
    standard_error: float
    areas: int


def estimate_icc(error: ArrayLike, known: ArrayLike, residual: ArrayLike) -> Icc:
    """Estimate the intraclass correlation from errors whose truth is known.

    Parameters
    ----------
    error : (A,) fused minus true mean of the same households, one an area
    known : (A,) variance of these errors that the implicates tell: (1 + 1/M) b
    residual : (A,) residual variance of households in the area, S

    Returns
    -------
    Icc
        The solution of ``sum error^2 / (known + icc residual) = A`` (Fay and Herriot 1979), 0 where the errors are smaller than
        `known`; its standard error by the delta method with the observed spread of the terms.

    Raises
    ------
    AnalysisError
        If there are fewer than ten areas, shapes differ, or a value is negative, not finite, or zero in `residual`.

    Notes
    -----
    Truth and fused mean are of the same households. The truth's own residual noise S/n is then in the error,
    and in b as that of a draw: (1 + 1/M) b is exactly what the error has without an area's own part.
    """
    from scipy.optimize import brentq

    e, v, s = (np.asarray(x, dtype=np.float64) for x in (error, known, residual))
    if not (e.shape == v.shape == s.shape and e.ndim == 1 and len(e) >= FEWEST_AREAS):
        raise AnalysisError(
            "area errors",
            f"have shapes {e.shape}, {v.shape} and {s.shape}; {FEWEST_AREAS} areas or more are needed.",
            "Give one error, known variance and residual variance an area.",
        )
    fit = np.isfinite(e) & np.isfinite(v) & np.isfinite(s) & (v >= 0) & (s > 0)
    if not fit.all():
        bad = int(np.argmin(fit))
        raise AnalysisError(
            f"area errors, area {bad}",
            f"has error {e[bad]}, known variance {v[bad]} and residual variance {s[bad]}.",
            "Leave out areas without households, and variables that never vary.",
        )

    def surplus(icc: float) -> float:
        return float(np.mean(e**2 / (v + icc * s)) - 1)

    if (v > 0).all() and surplus(0.0) <= 0:
        value = 0.0
    else:
        high = 1.0
        while surplus(high) > 0:
            high *= 2
        value = float(brentq(surplus, 1e-12 if (v == 0).any() else 0.0, high))
    total = v + value * s
    slope = float(np.mean(e**2 * s / total**2))
    spread = float(np.std(e**2 / total, ddof=1)) / np.sqrt(len(e))
    return Icc(value, spread / slope if slope else float("nan"), len(e))


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Proxy(_Model):
    """One variable whose truth is known in every area."""

    variable: str
    kind: Kind
    icc: float = Field(ge=0)
    standard_error: float = Field(ge=0)
    icc_finer: float = Field(ge=0)
    """In parts of areas that are `part` of their households on average."""
    part: float = Field(gt=0, lt=1)
    residual_share: float = Field(ge=0)
    """Residual over total variance of households: 1 - R2 of the predictors."""
    areas: int


@dataclass(frozen=True)
class Expected:
    """What is expected of a variable whose truth is not known."""

    icc: float
    finer: float
    df: float
    """Degrees of freedom of the component: how well an icc is known that proxies only suggest."""


class AreaError(_Model):
    """Area errors of a fusion pair, measured on proxies.

    Parameters
    ----------
    area : columns of the recipient that make up one area
    proxies : at least three
    measured_on : what the figures rest on: survey, states, households, donors, implicates, seed
    """

    area: tuple[str, ...] = Field(min_length=1)
    proxies: tuple[Proxy, ...] = Field(min_length=FEWEST_PROXIES)
    measured_on: dict[str, str | int | float | list[str]]

    def without(self, variables: Sequence[str]) -> AreaError:
        """Leave proxies out, as if their truth were not known."""
        kept = tuple(p for p in self.proxies if p.variable not in variables)
        if len(kept) < FEWEST_PROXIES:
            raise AnalysisError(
                f"area error without {', '.join(variables)}",
                f"rests on {len(kept)} proxies; {FEWEST_PROXIES} or more are needed.",
                "Fuse more proxies.",
            )
        return self.model_copy(update={"proxies": kept})

    def expected(self, kind: Kind) -> Expected:
        """Expect the icc of a variable of some kind: the median of its kind, drawn towards that of all proxies.

        Notes
        -----
        The median of k proxies of the kind counts k, that of all counts two. With t the standard deviation of the
        proxies' log icc (its noise of estimation included, from the median absolute deviation), the relative variance of an icc
        that is lognormal around the median is exp(t^2) - 1, and a variance known that well has
        df = 2 / relative variance (Satterthwaite 1946), here at least 2.
        """
        every = np.array([p.icc for p in self.proxies])
        own = np.array([p.icc for p in self.proxies if p.kind == kind])
        weight = len(own) / (len(own) + PRIOR_PROXIES)
        icc = float(np.median(every)) * (1 - weight) + (float(np.median(own)) * weight if len(own) else 0.0)
        finer = max(0.0, float(np.median([(p.icc_finer - p.icc) / (1 - p.part) for p in self.proxies])))
        logs = np.log(np.maximum(own if len(own) >= FEWEST_PROXIES else every, LEAST_ICC))
        spread = 1.4826 * float(np.median(np.abs(logs - np.median(logs))))
        relative = float(np.expm1(min(spread**2, 1.0)))
        return Expected(icc, finer, max(2.0, 2 / relative) if relative > 0 else np.inf)

    def write(self, path: Path) -> None:
        """Write as JSON."""
        with atomic_file(path) as temporary:
            temporary.write_text(self.model_dump_json(indent=1) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> AreaError:
        """Read what `write` wrote.

        Raises
        ------
        StorageError
            If it is missing or no such file.
        """
        try:
            return cls.model_validate_json(path.read_text(encoding="utf-8"))
        except (OSError, ValidationError) as error:
            raise StorageError(
                str(path), f"holds no area error ({error}).", "Materialize quality/area_error again."
            ) from error


def concentration(
    cells: NDArray[np.int64], areas: NDArray[np.int64], weight: Array, count: int
) -> tuple[Array, Array]:
    """Say how far the weight of every group is concentrated on few areas.

    Parameters
    ----------
    cells : (n,) number of each record's group, -1 for none
    areas : (n,) number of its area, from 0
    weight : (n,)
    count : number of groups

    Returns
    -------
    H : (count,) sum over areas of (share(g, a) - share(a))^2
    partial : (count,) sum over areas of (1 - f) share(g, a)^2, f the group's part of the area's weight
    """
    there = cells >= 0
    of_area = np.bincount(areas, weights=weight)
    pairs, inverse = np.unique(cells[there] * len(of_area) + areas[there], return_inverse=True)
    cell, area = np.divmod(pairs, len(of_area))
    together = np.bincount(inverse, weights=weight[there], minlength=len(pairs))
    with np.errstate(divide="ignore", invalid="ignore"):
        share = together / np.bincount(cell, weights=together, minlength=count)[cell]
        part = np.clip(together / of_area[area], 0, 1)
    share = np.nan_to_num(share)
    everyone = of_area / of_area.sum()
    apart = share**2 - 2 * share * everyone[area]
    return (
        np.clip(np.bincount(cell, weights=apart, minlength=count) + everyone @ everyone, 0, None),
        np.bincount(cell, weights=share**2 * (1 - np.nan_to_num(part)), minlength=count),
    )


def residual_share(first: Array, second: Array, weight: Array) -> float:
    """Tell the residual share of the variance from two implicates of the same households: 1 - their correlation.

    What two draws for one household have in common is what the predictors explain. Arrays (n,) or (n, levels); 0
    where the implicates agree, as they do for what was observed.
    """
    first, second = first.reshape(len(weight), -1), second.reshape(len(weight), -1)
    share = weight / weight.sum()
    centred = [x - share @ x for x in (first, second)]
    variance = sum(float(share @ np.sum(x**2, axis=1)) for x in centred) / 2
    if variance <= 0:
        return 0.0
    common = float(share @ np.sum(centred[0] * centred[1], axis=1))
    return float(np.clip(1 - common / variance, 0, 1))


def area_variance(
    expected: Expected, share: ArrayLike, within: ArrayLike, effective_n: ArrayLike, h: ArrayLike, partial: ArrayLike
) -> Array:
    """Compute the area component of the variance of every group: max(0, icc S H - 2 S/n).

    Parameters
    ----------
    expected : icc of the variable
    share : residual share of the variance of households
    within : variance within implicates, ubar
    effective_n : of the group
    h, partial : of `concentration`
    """
    noise = np.asarray(share) * np.asarray(within)
    areas = expected.icc * np.asarray(h) + expected.finer * np.asarray(partial)
    return noise * np.maximum(0.0, areas * np.asarray(effective_n) - 2)


def total_df(total: ArrayLike, df: ArrayLike, component: ArrayLike, component_df: ArrayLike) -> Array:
    """Join degrees of freedom of two independent parts of a variance (Satterthwaite 1946)."""
    t, c = np.asarray(total, dtype=np.float64), np.asarray(component, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        joined = (t + c) ** 2 / (t**2 / np.asarray(df) + c**2 / np.asarray(component_df))
    return np.where(c > 0, joined, df)
