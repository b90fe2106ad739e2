"""Area error: what makes one place differ from another beyond its predictors, as a component of the variance.

Belongs here: the size of area errors, estimated where the truth is known; what is expected for a variable whose truth
is not; the file that carries it. Does not belong here: how groups lie in areas
(`area_groups.py`), fusing proxies whose truth is known (`validation/self_fusion.py`), estimation (`analyze.py`).

Model. The fused mean of group g errs by sampling, by the implicates, and by what its areas have of their own::

    error of g = sum over areas a of (share(g, a) - share(a)) delta(a) + the rest        delta(a) ~ (0, icc S)

where S is the residual variance of households (given the predictors) and icc the intraclass correlation of area errors:
the share of residual variance that households of one area have in common. share(a) is the area's share of everyone:
donors are a sample of everyone, so the models have their average right whatever single areas are like. Independent
over areas, the errors average out in proportion to ``H = sum of (share(g, a) - share(a))^2``: nearly 1 for one area,
0 for the nation. Two refinements. A part of the icc, `wider`, is common to the areas of a state, and averages out
over states only: ``(icc - wider) H + wider H(states)``. And in a part f of an area's households groups differ in
their own ways: ``finer sum of (1 - f) share(g, a)^2`` is added.

Against Rubin's total variance there is something to be said first. With S/n the residual noise of a group's mean, the
variance of the pooled estimate around the population's mean is, M implicates drawn from proper models, ``ubar + (1 +
1/M) b - 2 S/n``: the draws are noise of their own where Rubin's rule takes them for answers (the surplus is what
makes the rule conservative for fused data; Reiter 2012). The area component is therefore ::

    max(0, S (icc H, refined) - 2 S/n)        S = residual share x n ubar

In the notation of small-area estimation icc S is the model variance of Fay and Herriot (1979), estimated as they do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fusion_pipeline.errors import AnalysisError, StorageError
from fusion_pipeline.inference.area_groups import FEWEST_AREAS
from fusion_pipeline.storage.atomic import atomic_file

Array = NDArray[np.float64]
FEWEST_PROXIES = 5
LEAST_ICC, LEAST_SPREAD = 2e-3, 1e-3
"""About a standard error: below these an icc or a spread cannot be told from zero, and logarithms start here."""
POWER = 0.5
"""Of the spread, to which the icc is in proportion."""


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
        The solution of ``sum error^2 / (known + icc residual) = A`` (Fay and Herriot 1979), 0 where the errors are
        smaller than `known`; its standard error by the delta method with the observed spread of the terms.

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

    low = 0.0 if (v > 0).all() else 1e-12
    value, high = 0.0, 1.0
    if surplus(low) > 0:
        while surplus(high) > 0:
            high *= 2
        value = float(brentq(surplus, low, high))
    total = v + max(value, low) * s
    slope = float(np.mean(e**2 * s / total**2))
    spread = float(np.std(e**2 / total, ddof=1)) / np.sqrt(len(e))
    return Icc(value, float(spread / slope) if slope else 0.0, len(e))


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Proxy(_Model):
    """One variable whose truth is known in every area."""

    variable: str
    icc: float = Field(ge=0)
    standard_error: float = Field(ge=0)
    icc_finer: float = Field(ge=0)
    """In parts of areas that are `part` of their households on average."""
    icc_wider: float | None = None
    """What areas of one wider area have in common; may be negative by chance; None with fewer than five wider areas."""
    part: float = Field(gt=0, lt=1)
    residual_share: float = Field(ge=0)
    """Residual over total variance of households: 1 - R2 of the predictors."""
    spread: float = Field(ge=0)
    """Of the fused area means, as `area_groups.explained` tells it of any variable."""
    areas: int


@dataclass(frozen=True)
class Expected:
    """What is expected of a variable whose truth is not known."""

    icc: float
    """Of one area."""
    wider: float
    """The part of it that is common to the areas of a wider one."""
    finer: float
    """What is added in parts of areas."""
    df: float
    """Degrees of freedom of the component: how well an icc is known that proxies only suggest."""


class AreaError(_Model):
    """Area errors of a fusion pair, measured on proxies.

    Parameters
    ----------
    area : columns of the recipient that make up one area
    wider : columns of the recipient that make up a wider area, of whole areas
    complete : whether recipients are everyone whom donors are a sample of, or live in some places only
    proxies : five or more, or the errors count as not measured
    measured_on : what the figures rest on: survey, states, households, donors, implicates, seed
    """

    area: tuple[str, ...] = Field(min_length=1)
    wider: tuple[str, ...] = ()
    complete: bool = True
    proxies: tuple[Proxy, ...]
    measured_on: dict[str, str | int | float | list[str]]

    @property
    def measured(self) -> bool:
        """Whether there are proxies enough; small worlds have too few areas to measure any."""
        return len(self.proxies) >= FEWEST_PROXIES

    def without(self, variables: Sequence[str]) -> AreaError:
        """Leave proxies out, as if their truth were not known."""
        return self.model_copy(
            update={"proxies": tuple(p for p in self.proxies if p.variable not in variables)}
        )

    def expected(self, spread: float) -> Expected:
        """Expect the icc of a variable from the spread of its fused area means.

        Parameters
        ----------
        spread : of `area_groups.explained`; NaN if it cannot be told: the icc is then the median of the proxies

        Raises
        ------
        AnalysisError
            If there are fewer than five proxies.

        Notes
        -----
        Areas that differ much in what predictors explain differ much in what they do not: over proxies the icc rises
        with the square root of the spread (the power is that of the development states in `benchmarks/areas.py`,
        where Theil and Sen's slope of the logarithms is 0.5 to 0.7; a handful of proxies could not tell it). The
        factor is the proxies' median. With t the standard deviation of their logarithms around it (from the median
        absolute deviation; their own noise of estimation is in it), the relative variance of an icc that is lognormal
        is exp(t^2) - 1, and a variance known that well has df = 2 / relative variance (Satterthwaite 1946), here at
        least 2. Spreads beyond those of the proxies count as the nearest of theirs.
        """
        if not self.measured:
            raise AnalysisError(
                "area error",
                f"rests on {len(self.proxies)} proxies; {FEWEST_PROXIES} or more are needed.",
                "Fuse more proxies, onto ten areas or more.",
            )
        x = POWER * np.log([max(p.spread, LEAST_SPREAD) for p in self.proxies])
        y = np.log([max(p.icc, LEAST_ICC) for p in self.proxies])
        told = not np.isnan(spread)
        at = float(np.clip(POWER * np.log(max(spread, LEAST_SPREAD)), np.min(x), np.max(x))) if told else 0.0
        off = y - x if told else y
        icc = float(np.exp(np.median(off) + at))
        t = 1.4826 * float(np.median(np.abs(off - np.median(off))))
        relative = float(np.expm1(min(t**2, 1.0)))
        told_icc = [(p, max(p.icc, LEAST_ICC)) for p in self.proxies]
        finer = [(p.icc_finer - p.icc) / (1 - p.part) / size for p, size in told_icc]
        wider = [p.icc_wider / size for p, size in told_icc if p.icc_wider is not None] or [0.0]
        return Expected(
            icc,
            icc * float(np.clip(np.median(wider), 0, 1)),
            icc * max(0.0, float(np.median(finer))),
            max(2.0, 2 / relative) if relative > 0 else np.inf,
        )

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
