"""Drawing: from conditional expectations to one value for every household of an implicate.

Belongs here: the draws themselves, as functions of uniform random numbers. Does not belong here: predictions and
the order of steps (`chain.py`), donor pools (`matching.py`), the loops (`kernels.py`).

Arrays are (n, m): row, implicate. What is the same for all implicates may be given once, as (n, ..., 1).
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from fusion_pipeline.fusion.compiling import compiled
from fusion_pipeline.fusion.kernels import choose, draw, pack
from fusion_pipeline.fusion.matching import DonorPools

if TYPE_CHECKING:
    from scipy.spatial import cKDTree

GROUP, GROUPS = 48, 3
"""Centres compared with a point at a time, and how many such groups are known by distance to a centre."""
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
        self._scaling = pools.scaling
        self._increasing = np.array(increasing, dtype=np.int64).reshape(-1, 2)
        self._offsets, self._members = pools.offsets.astype(np.int64), pools.donors.astype(np.int32)
        self._near, self._reach, self._points = _neighbours(pools.centres)
        self._pools = pools
        self._weigh(weight)

    def reweighted(self, weight: np.ndarray) -> PoolDraw:
        """Return the same pools drawn from with other weights."""
        other = copy(self)
        other._weigh(weight)
        return other

    def _weigh(self, weight: np.ndarray) -> None:
        pools, self.weight = self._pools, weight
        # One cumulative sum over all pools, and where in it a number is found: a draw is one look at either.
        self._cumulative = np.concatenate([[0.0], np.cumsum(weight[pools.donors])])
        size = pools.sizes
        first = np.repeat(pools.offsets[:-1], size)
        step = (np.arange(len(first)) - first) / np.repeat(size, size)
        weights = np.repeat(np.diff(self._cumulative[pools.offsets]), size)
        target = self._cumulative[first] + step * weights
        self._guide = (np.searchsorted(self._cumulative, target, side="right") - 1).astype(np.int32)
        np.clip(self._guide, first, first + np.repeat(size, size) - 1, out=self._guide, casting="unsafe")

    @property
    def arrays(self) -> tuple[np.ndarray, ...]:
        """What it holds in memory; draws with other weights share all but the last three."""
        shared = (self._offsets, self._members, self._near, self._reach, self._points, self._pools.centres)
        return (*shared, self.weight, self._cumulative, self._guide)

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
        compiled(draw)(
            np.ascontiguousarray(expectations),
            self._increasing,
            self._scaling.centre,
            self._scaling.scale,
            self._near,
            self._reach,
            self._points,
            self._offsets,
            self._cumulative,
            self._guide,
            self._members,
            active,
            uniform,
            drawn,
        )
        return drawn

    def place(self, expectations: np.ndarray) -> np.ndarray:
        """Return (k, c) unscaled expectations as points among the centres, quantiles in order."""
        points = expectations.copy()
        for first, end in self._increasing:
            points[:, first:end] = np.sort(points[:, first:end], axis=1)
        return self._scaling.apply(points)

    @cached_property
    def tree(self) -> cKDTree:
        """The centres, to be asked for the nearest ones of a few points."""
        from scipy.spatial import cKDTree

        return cKDTree(self._pools.centres)

    @property
    def sizes(self) -> np.ndarray:
        """Donors in each pool."""
        return self._pools.sizes

    @cached_property
    def members(self) -> np.ndarray:
        """Donors who are in some pool."""
        return np.unique(self._members)

    def pool(self, centres: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the donors of some pools, and their weights: (k, largest pool), filled up with weight 0."""
        sizes, first = self._pools.sizes[centres], self._offsets[centres]
        columns = np.arange(sizes.max(initial=1))
        at = first[:, None] + np.minimum(columns, sizes[:, None] - 1)
        weight = self._cumulative[at + 1] - self._cumulative[at]
        return self._members[at], np.where(columns < sizes[:, None], weight, 0.0)


def _neighbours(centres: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """List the centres nearest to each centre: `near`, `reach` and `points` as `kernels.draw` wants them."""
    from scipy.spatial import cKDTree

    count, coordinates = centres.shape
    groups = min(GROUPS, -(-count // GROUP))
    padded = np.full((-(-count // 16) * 16 + 1, -(-coordinates // 4) * 4), np.inf, dtype=np.float32)
    padded[:count, :coordinates] = centres
    padded[:count, coordinates:] = 0
    ranks = np.arange(1, groups * GROUP + 1)
    distance, near = cKDTree(centres).query(centres, ranks[ranks <= count].tolist())
    near = np.pad(near, ((0, 0), (0, len(ranks) - near.shape[1])), constant_values=len(padded) - 1)
    near = near.astype(np.int32).reshape(count, groups, GROUP)
    reach = distance[:, ::GROUP] * (1 - _ROUNDING)
    points = np.concatenate([np.moveaxis(padded[near], 3, 2).ravel(), padded[:-1].T.ravel()])
    return near, reach.astype(np.float32), points
