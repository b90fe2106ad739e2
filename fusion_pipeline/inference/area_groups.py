"""How groups lie in areas, and how much of a variable is explained, household by household and area by area.

Belongs here: the concentration of a group on few areas; the residual share and the area spread of a variable, from two
of its implicates. Does not belong here: what follows for a variance (`area_error.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
FEWEST_AREAS = 10
"""With fewer areas neither an icc nor a spread between areas can be told."""


@dataclass(frozen=True)
class Explained:
    """What predictors tell of a variable."""

    residual_share: float
    """Residual over total variance of households: 1 - R2."""
    spread: float
    """Variance between areas of what predictors explain, noise taken off, over the total variance of households; NaN
    where there are too few areas to tell."""


def concentration(
    cells: NDArray[np.int64],
    areas: NDArray[np.int64],
    weight: Array,
    count: int,
    everyone: Array | None = None,
) -> tuple[Array, Array]:
    """Say how far the weight of every group is concentrated on few areas.

    Parameters
    ----------
    cells : (n,) number of each record's group, -1 for none
    areas : (n,) number of its area, from 0
    weight : (n,)
    count : number of groups
    everyone : (areas,) each area's share of all whom donors are a sample of; by default its share of the records

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
    all_shares = of_area / of_area.sum() if everyone is None else everyone
    apart = share**2 - 2 * share * all_shares[area]
    h = np.bincount(cell, weights=apart, minlength=count) + float(all_shares @ all_shares)
    partial = np.bincount(cell, weights=share**2 * (1 - np.nan_to_num(part)), minlength=count)
    return np.clip(h, 0, None).astype(np.float64), partial.astype(np.float64)


def explained(first: Array, second: Array, weight: Array, areas: NDArray[np.int64]) -> Explained:
    """Tell from two implicates of the same households how much of a variable is explained.

    Parameters
    ----------
    first, second : (n,) or (n, levels)
    weight : (n,)
    areas : (n,) number of each record's area, from 0

    Returns
    -------
    Explained
        Residual share 0 and spread 0 where the implicates agree everywhere, as they do for what was observed.

    Notes
    -----
    What two draws for one household have in common is what the predictors explain, so R2 is their correlation. The
    product of an area's means in two implicates, averaged over areas, holds the spread of the explained part, the
    sampling of the areas' households, R2 V / n, and what is wrong with the models in all implicates alike: as much as
    differs between implicates, half the squared difference of the means, beyond the residual noise (1 - R2) V / n of
    the draws.
    """
    first, second = first.reshape(len(weight), -1), second.reshape(len(weight), -1)
    share = weight / weight.sum()
    sides = [x - share @ x for x in (first, second)]
    variance = sum(float(share @ np.sum(x**2, axis=1)) for x in sides) / 2
    if variance <= 0 or np.array_equal(first, second):
        return Explained(0.0, 0.0)
    common = float(share @ np.sum(sides[0] * sides[1], axis=1))
    r2 = float(np.clip(common / variance, 0, 1))
    of_area = np.bincount(areas, weights=share)
    there = of_area > 0
    if there.sum() < FEWEST_AREAS:
        return Explained(1 - r2, float("nan"))
    together = apart = 0.0
    for x, y in zip(sides[0].T, sides[1].T, strict=True):
        one, other = (np.bincount(areas, weights=share * z)[there] for z in (x, y))
        together += float(np.sum(one * other / of_area[there]))
        apart += float(np.sum((one - other) ** 2 / of_area[there])) / 2
    sampled = float(np.sum(np.bincount(areas, weights=share**2)[there] / of_area[there]))
    spread = (together - apart) / variance + (1 - 2 * r2) * sampled
    return Explained(1 - r2, max(0.0, spread))
