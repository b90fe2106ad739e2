"""Drawing: from conditional expectations to one value for every household of an implicate.

Belongs here: the draws themselves, as functions of uniform random numbers. Does not belong here: predictions and
the order of steps (`chain.py`), donor pools (`matching.py`), the loops (`kernels.py`).

Arrays are (n, m): row, implicate. What is the same for all implicates may be given once, as (n, ..., 1).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fusion_pipeline.fusion.compiling import compiled
from fusion_pipeline.fusion.kernels import choose, draw, pack
from fusion_pipeline.fusion.matching import DonorPools

NEIGHBOURS = 128
"""Centres that are known by their distance to a centre; a longer list is needed less often and costs memory."""
_ROUNDING = 1e-4


def draw_classes(probabilities: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """Draw a class for each row and implicate by inverting its cumulative distribution.

    Parameters
    ----------
    probabilities : (n, classes, m or 1) float64
        Need not sum to one exactly. A single probability is that of the second of two classes.
    uniform : (n, m) float64 in [0, 1)

    Returns
    -------
    (n, m) int32 codes. A class of probability zero is never drawn.
    """
    drawn = np.empty(uniform.shape, dtype=np.int32)
    compiled(choose)(probabilities, uniform, drawn)
    return drawn


def pack_masks(wanted: np.ndarray) -> np.ndarray:
    """Turn (n, m) booleans, m at most 64, into (n,) uint64 with a bit for each implicate."""
    masks = np.empty(len(wanted), dtype=np.uint64)
    compiled(pack)(wanted, masks)
    return masks


class PoolDraw:
    """Draws donors from the pools of a step with probability proportional to weight.

    Parameters
    ----------
    pools : DonorPools
    weight : (donors,) float64
        Of all rows of the donor table; positive.
    increasing : sequence of (first, end)
        Coordinates that are quantiles of one variable: they are put in order before use.
    """

    def __init__(
        self, pools: DonorPools, weight: np.ndarray, increasing: Sequence[tuple[int, int]] = ()
    ) -> None:
        from scipy.spatial import cKDTree

        self._pools = pools
        self._increasing = np.array(increasing, dtype=np.int64).reshape(-1, 2)
        # One cumulative sum over all pools: a draw is then one binary search, whatever the pool's size.
        self._cumulative = np.concatenate([[0.0], np.cumsum(weight[pools.donors])])
        count, coordinates = pools.centres.shape
        self._centres = np.zeros((count, -(-coordinates // 4) * 4), dtype=np.float32)
        self._centres[:, :coordinates] = pools.centres
        distance, near = cKDTree(self._centres).query(self._centres, [*range(1, min(NEIGHBOURS, count) + 1)])
        self._near = near.astype(np.int32)
        self._gap = ((distance / 2) ** 2 * (1 - _ROUNDING)).astype(np.float32)

    def donors(
        self, expectations: np.ndarray, uniform: np.ndarray, active: np.ndarray | None = None
    ) -> np.ndarray:
        """Draw a donor for every row and implicate.

        Parameters
        ----------
        expectations : (n, c, m or 1) float64
            Unscaled.
        uniform : (n, m) float64
        active : (n,) uint64, optional
            Masks of the implicates wanted; without it all are.

        Returns
        -------
        (n, m) int32 rows of the donor table, from the pool of the nearest centre; -1 where none is wanted.
        """
        if active is None:
            active = pack_masks(np.ones(uniform.shape, dtype=bool))
        drawn = np.empty(uniform.shape, dtype=np.int32)
        pools = self._pools
        compiled(draw)(
            np.ascontiguousarray(expectations),
            self._increasing,
            pools.scaling.centre,
            pools.scaling.scale,
            self._centres,
            self._near,
            self._gap,
            pools.offsets,
            self._cumulative,
            np.ascontiguousarray(pools.donors),
            active,
            uniform,
            drawn,
        )
        return drawn
