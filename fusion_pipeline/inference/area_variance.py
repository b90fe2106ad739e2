"""The area component of a variance, and the margin with it.

Belongs here: the two formulas, for `analyze` and for scores alike. Does not belong here: the model and its icc
(`area_error.py`), how groups lie in areas (`area_groups.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fusion_pipeline.inference.area_error import Expected

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Lie:
    """How groups lie in areas: arrays (groups,)."""

    areas: Array
    """Concentration on few areas, H."""
    wider: Array
    """On few wider areas."""
    partial: Array
    """Of `area_groups.concentration`."""

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Lie:
        """Some of the groups."""
        return Lie(self.areas[rows], self.wider[rows], self.partial[rows])


def area_variance(
    expected: Expected, share: ArrayLike, within: ArrayLike, effective_n: ArrayLike, lie: Lie
) -> Array:
    """Compute the area component of the variance of every group: max(0, S (icc H, refined) - 2 S/n).

    Parameters
    ----------
    expected : icc of the variable
    share : residual share of the variance of households
    within : variance within implicates, ubar
    effective_n : of the group
    lie : how the groups lie in areas
    """
    noise = np.asarray(share) * np.asarray(within)
    areas = (expected.icc - expected.wider) * lie.areas + expected.wider * lie.wider
    return noise * np.maximum(0.0, (areas + expected.finer * lie.partial) * np.asarray(effective_n) - 2)


def widened(
    variance: ArrayLike, df: ArrayLike, component: ArrayLike, component_df: ArrayLike, level: float
) -> tuple[Array, Array]:
    """Join a variance and its area component.

    Returns
    -------
    df : of the sum, by Satterthwaite (1946); `df` where there is no component
    margin : at `level`; never below that without the component, which a variance that is hardly known (few implicates)
        and grows by one that is known better could otherwise be
    """
    from scipy.special import stdtrit

    t, c, own = (np.asarray(x, dtype=np.float64) for x in (variance, component, df))
    with np.errstate(divide="ignore", invalid="ignore"):
        joined = np.where(c > 0, (t + c) ** 2 / (t**2 / own + c**2 / np.asarray(component_df)), own)
    q = (1 + level) / 2
    margins = stdtrit(own, q) * np.sqrt(t), stdtrit(joined, q) * np.sqrt(t + c)
    return joined, np.maximum(*margins)
