"""Drawing: from conditional expectations to one value for every household of an implicate.

Belongs here: the draws themselves, as functions of uniform random numbers. Does not belong here: predictions and
the order of steps (`fusing.py`), donor pools (`matching.py`).
"""

from __future__ import annotations

import numpy as np

from fusion_pipeline.fusion.matching import DonorPools, nearest_rows


def draw_classes(probabilities: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """Draw a class for each row by inverting its cumulative distribution.

    Parameters
    ----------
    probabilities : (n, classes) float64
        Rows need not sum to one exactly.
    uniform : (n,) float64 in [0, 1)

    Returns
    -------
    (n,) int32 codes. A class of probability zero is never drawn.
    """
    cumulative = np.cumsum(probabilities, axis=1)
    target = uniform * cumulative[:, -1]
    drawn = (cumulative <= target[:, None]).sum(axis=1)
    return np.minimum(drawn, probabilities.shape[1] - 1).astype(np.int32)


class PoolDraw:
    """Draws donors from the pools of a step with probability proportional to weight.

    Parameters
    ----------
    pools : DonorPools
    weight : (donors,) float64
        Of all rows of the donor table; positive.
    """

    def __init__(self, pools: DonorPools, weight: np.ndarray) -> None:
        self.pools = pools
        # One cumulative sum over all pools: a draw is then one binary search, whatever the pool's size.
        self._cumulative = np.concatenate([[0.0], np.cumsum(weight[pools.donors])])

    def donors(self, expectations: np.ndarray, uniform: np.ndarray) -> np.ndarray:
        """Draw a donor for each row of (n, c) unscaled expectations.

        Returns
        -------
        (n,) int32 rows of the donor table, from the pool of the nearest centre.
        """
        if len(expectations) == 0:
            return np.empty(0, dtype=np.int32)
        centre = nearest_rows(self.pools.centres, self.pools.scaling.apply(expectations), 1)[:, 0]
        first, end = self.pools.offsets[centre], self.pools.offsets[centre + 1]
        low, high = self._cumulative[first], self._cumulative[end]
        position = np.searchsorted(self._cumulative, low + uniform * (high - low), side="right") - 1
        return self.pools.donors[np.clip(position, first, end - 1)]
