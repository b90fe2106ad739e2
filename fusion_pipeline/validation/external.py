"""Estimates by area against published figures of the same areas.

Belongs here: the comparison, usable on any two tables. Does not belong here: which figures are published
(`published.py`), the estimates of a pair (`pair_external.py`), how it is drawn (`external_figures.py`).

As in Ummel et al. 2024, "External validation" and Fig. 6: correlation of the figures and of their ranks; and what the
paper leaves out: slope, relative error, bias, and how many figures lie inside the margin of error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from fusion_pipeline.errors import AnalysisError
from fusion_pipeline.inference.output import Estimates

FEWEST = 3
"""Areas that a correlation needs: two points always lie on a line."""


@dataclass(frozen=True)
class Agreement:
    """How well estimates agree with published figures; NaN where it cannot be told."""

    areas: int
    """In both tables."""
    correlation: float
    """Pearson's, weighted by the areas' weights."""
    rank_correlation: float
    """Spearman's."""
    slope: float
    """Of estimates on figures, weighted: 1 if differences between areas are kept, less if they are flattened."""
    median_error: float
    """Median of |estimate / figure - 1| over areas."""
    bias: float
    """Weighted sum of the estimates over that of the figures, less 1."""
    inside: float
    """Share of the figures inside the margin of error of estimate and figure."""
    only_estimated: int
    """Areas without figure."""
    only_published: int
    """Areas without estimate."""


@dataclass(frozen=True)
class Comparison:
    """Estimates beside published figures, and how well they agree."""

    table: pd.DataFrame
    """One row an area in both: the columns compared on, `estimate`, `margin`, `published`, `published_margin`,
    `weight`, `relative_error` and `inside` (missing where there is no margin)."""
    agreement: Agreement

    def plot(self, *, title: str = "", unit: str = "", source: str = "") -> bytes:
        """Draw estimates against figures, as PNG."""
        from fusion_pipeline.validation.external_figures import against_published

        return against_published([(title, unit, self)], source=source)


def compare(
    estimates: Estimates | pd.DataFrame, published: pd.DataFrame, on: Sequence[str], *, factor: float = 1.0
) -> Comparison:
    """Hold estimates by area against published figures.

    Parameters
    ----------
    estimates : Estimates or DataFrame
        One estimand: columns `on`, `estimate` and, if known, `margin` (half width).
    published : DataFrame
        Columns `on`, `published` and, if known, `published_margin` (of the same level) and `weight` (what an area
        counts for in correlation and bias, such as its households; 1 for totals, which are weighed by their size).
    on : sequence of str
        Columns that name an area; none for the nation.
    factor : float
        Turns estimates and margins into the unit of the figures.

    Returns
    -------
    Comparison
        Of the areas in both tables; those in one only are counted. Areas without estimate, figure or positive weight
        are left out.

    Raises
    ------
    AnalysisError
        If a column is missing, an area is in a table twice, or no area is in both.

    Examples
    --------
    >>> import pandas as pd
    >>> import fusion_pipeline as fp
    >>> fused = pd.DataFrame({"state": ["01", "02", "04"], "estimate": [11.0, 19.0, 33.0], "margin": [2.0, 2.0, 2.0]})
    >>> known = pd.DataFrame({"state": ["01", "02", "04"], "published": [10.0, 20.0, 30.0]})
    >>> found = fp.compare(fused, known, ["state"])
    >>> found.table["inside"].tolist()
    [True, True, False]
    >>> round(found.agreement.median_error, 2)
    0.1
    """
    frame = estimates.table if isinstance(estimates, Estimates) else estimates
    left = _areas(frame, "estimates", on, "estimate", ["margin"])
    right = _areas(published, "published figures", on, "published", ["published_margin", "weight"])
    right["weight"] = right["weight"].fillna(1.0)
    left[["estimate", "margin"]] *= factor
    both = left.merge(right[right["weight"] > 0], on=_KEY, how="inner", validate="one_to_one")
    if both.empty:
        raise AnalysisError(
            f"estimates and published figures by {', '.join(on) or 'nation'}",
            f"have no area in common: {_some(left)} and {_some(right)}.",
            "Name areas by the same codes, as text.",
        )
    difference = both["estimate"] - both["published"]
    margin = np.hypot(both["margin"].to_numpy(), both["published_margin"].fillna(0.0).to_numpy())
    both["relative_error"] = np.where(both["published"] != 0, difference / both["published"].abs(), np.nan)
    both["inside"] = (difference.abs() <= margin).astype("boolean").mask(np.isnan(margin))
    agreement = agreement_of(
        both, only_estimated=len(left) - len(both), only_published=len(right) - len(both)
    )
    keys = pd.DataFrame(both.pop(_KEY).tolist(), columns=list(on), index=both.index)
    return Comparison(pd.concat([keys, both], axis=1), agreement)


def agreement_of(table: pd.DataFrame, *, only_estimated: int = 0, only_published: int = 0) -> Agreement:
    """Say how well the estimates of a comparison's table agree with its figures."""
    x, y, w = (table[name].to_numpy(np.float64) for name in ("published", "estimate", "weight"))
    inside = table["inside"].dropna()
    error = table["relative_error"].abs().dropna()
    whole = float((w * x).sum())
    ranks = table["published"].rank().to_numpy(), table["estimate"].rank().to_numpy()
    return Agreement(
        areas=len(table),
        correlation=_correlated(x, y, w)[0],
        rank_correlation=_correlated(*ranks, np.ones(len(x)))[0],
        slope=_correlated(x, y, w)[1],
        median_error=float(error.median()) if len(error) else np.nan,
        bias=float((w * y).sum()) / whole - 1 if whole else np.nan,
        inside=float(inside.mean()) if len(inside) else np.nan,
        only_estimated=only_estimated,
        only_published=only_published,
    )


_KEY = "(area)"


def _areas(
    frame: pd.DataFrame, what: str, on: Sequence[str], value: str, further: Sequence[str]
) -> pd.DataFrame:
    """Give columns `_KEY` (a tuple), the value and further ones, NaN where there are none; no areas without value."""
    if missing := [name for name in (*on, value) if name not in frame]:
        raise AnalysisError(
            what, f"have no column {', '.join(missing)}.", f"There are {', '.join(frame.columns)}."
        )
    found = pd.DataFrame(
        {_KEY: list(frame[list(on)].itertuples(index=False, name=None)) if on else [()] * len(frame)}
    )
    for name in (value, *further):
        found[name] = frame[name].to_numpy(np.float64) if name in frame else np.nan
    if (twice := found[_KEY].duplicated()).any():
        area = " ".join(map(str, found.loc[twice, _KEY].iloc[0])) or "the nation"
        raise AnalysisError(
            what, f"have {area} more than once.", "Choose one estimand and level first (`Estimates.only`)."
        )
    return found[np.isfinite(found[value])].reset_index(drop=True)


def _some(frame: pd.DataFrame) -> str:
    return ", ".join(" ".join(map(str, key)) for key in frame[_KEY].head(3)) or "none"


def _correlated(x: np.ndarray, y: np.ndarray, w: np.ndarray) -> tuple[float, float]:
    """Correlation, and slope of y on x; unknown of too few areas, or where either is the same everywhere."""
    if len(x) < FEWEST or np.ptp(x) == 0 or np.ptp(y) == 0:
        return np.nan, np.nan
    (xx, xy), (_, yy) = np.cov(x, y, aweights=w)
    return float(xy / np.sqrt(xx * yy)), float(xy / xx)
