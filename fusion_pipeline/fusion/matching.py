"""Donor pools: which donors stand behind each point of conditional-expectation space.

Belongs here: scaling of conditional expectations, reduction to centres, neighbour search, choice of k*. Does not
belong here: model fitting (`boosting.py`), drawing (`drawing.py`).

Method: Ummel et al. 2024, "General strategy"; symbols follow the paper (D, S, k*).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType

import numpy as np

EPSILON = 0.001
"""Scaled expectations lie in [0, 1] up to this share of a normal distribution on either side."""
LEAST_POOL = 10
"""Fewest donors among whom k* is chosen; the most are the neighbours that training asks for."""
_CHUNK_VALUES = 1 << 21
"""Neighbour values held at a time when pools are sized: bounds memory, changes nothing else."""
_KMEANS_ITERATIONS = 25


@dataclass(frozen=True)
class Scaling:
    """Centre and scale of each coordinate (columns of D)."""

    centre: np.ndarray
    scale: np.ndarray

    def apply(self, expectations: np.ndarray) -> np.ndarray:
        """Scale (n, c) expectations to float32."""
        return ((expectations - self.centre) / self.scale).astype(np.float32)

    def undo(self, scaled: np.ndarray) -> np.ndarray:
        """Return scaled points to the units of the fusion variables, as float64."""
        return scaled.astype(np.float64) * self.scale + self.centre


@dataclass(frozen=True)
class DonorPools:
    """The pools of one step.

    `centres` (C, c) float32 are scaled points; `donors` (sum of k*,) int32 lists the pools one after the other,
    nearest donor first, and pool i is ``donors[offsets[i]:offsets[i + 1]]``.
    """

    scaling: Scaling
    centres: np.ndarray
    donors: np.ndarray
    offsets: np.ndarray

    @property
    def sizes(self) -> np.ndarray:
        """k* of every centre."""
        return np.diff(self.offsets)


def fit_scaling(expectations: np.ndarray, is_probability: Sequence[bool]) -> Scaling:
    """Find the scaling that gives every coordinate about the same say in distances.

    Parameters
    ----------
    expectations : (n, c) float64
    is_probability : (c,) bool
        Probabilities are on one scale already and keep it.

    Notes
    -----
    D_j = ((x - med) / mad - Φ⁻¹(ε)) / (2 Φ⁻¹(1 - ε)): z-scores of ±3.09 become 0 and 1. The median absolute
    deviation is made consistent with the standard deviation (1.4826); if it is zero the standard deviation takes
    its place, then 1.
    """
    from scipy.stats import norm

    median = np.median(expectations, axis=0)
    mad = 1.4826 * np.median(np.abs(expectations - median), axis=0)
    deviation = expectations.std(axis=0)
    spread = np.where(mad > 0, mad, np.where(deviation > 0, deviation, 1.0))
    reach = norm.ppf(1 - EPSILON)
    keep = np.asarray(is_probability, dtype=bool)
    return Scaling(np.where(keep, 0.0, median - reach * spread), np.where(keep, 1.0, 2 * reach * spread))


def build_pools(
    expectations: np.ndarray,
    is_probability: Sequence[bool],
    donors: np.ndarray,
    weight: np.ndarray,
    *,
    values: np.ndarray | None,
    levels: Sequence[float],
    neighbours: int,
    centres: int,
    seed: int,
) -> DonorPools:
    """Build the donor pools of one step.

    Parameters
    ----------
    expectations : (n, c) float64
        Of the donors; for a solo continuous variable mean first, then quantiles.
    donors : (n,) int32
        Rows of the donor table these are.
    values, weight : (n,) float64
        Of the fusion variable. `values` None: a block, which has no single distribution that could choose k*; every
        pool has K donors.
    levels : (p,)
        Probabilities of the quantiles.
    neighbours, centres : int
        Largest K, and largest number of centres.

    Notes
    -----
    A pool ends with all donors who have the expectations of its last one, so it may be larger than K.
    With more distinct donors than `centres`, k-means stands in for them (as the paper does for large N_b). A
    centre's expectations are then its coordinates in units of the variable.
    """
    scaling = fit_scaling(expectations, is_probability)
    scaled = np.ascontiguousarray(scaling.apply(expectations))
    points = reduce_to_centres(scaled, centres, seed)
    k = min(neighbours, len(donors))
    # Equally near donors come in chance order, not in that of the file.
    order = np.random.default_rng(seed).permutation(len(scaled))
    nearest = order[nearest_rows(scaled[order], points, k)]
    if values is None:
        sizes = np.full(len(points), k, dtype=np.int32)
    else:
        expected = scaling.undo(points)
        sizes = pool_sizes(values, weight, nearest, expected[:, 0], np.sort(expected[:, 1:], axis=1), levels)
    pools = with_ties(scaled, nearest, sizes)
    offsets = np.concatenate([[0], np.cumsum([len(pool) for pool in pools])]).astype(np.int64)
    return DonorPools(scaling, points, donors[np.concatenate(pools)].astype(np.int32), offsets)


def with_ties(scaled: np.ndarray, nearest: np.ndarray, sizes: np.ndarray) -> list[np.ndarray]:
    """Return each centre's k* nearest donors, and whoever has the same expectations as the last of them.

    Donors that no model tells apart are equally good; a pool that stopped among them would stand for few of many.
    """
    _, point, count = np.unique(scaled, axis=0, return_inverse=True, return_counts=True)
    point = point.reshape(-1)
    by_point = np.argsort(point, kind="stable")
    first = np.concatenate([[0], np.cumsum(count)])
    pools = []
    for near, size in zip(nearest, sizes, strict=True):
        pool, last = near[:size], point[near[size - 1]]
        if count[last] > 1:
            pool = np.concatenate([pool[point[pool] != last], by_point[first[last] : first[last + 1]]])
        pools.append(pool)
    return pools


def reduce_to_centres(scaled: np.ndarray, centres: int, seed: int) -> np.ndarray:
    """Return the distinct rows of (n, c) `scaled`, or k-means centres if there are more than `centres`.

    The start is the rows at evenly spaced ranks of distance to the median: no chance, and the sparse outskirts get
    their centres too.
    """
    faiss = _faiss()
    distinct = np.unique(scaled, axis=0)
    if len(distinct) <= centres:
        return np.ascontiguousarray(distinct)
    distance = ((distinct - np.median(distinct, axis=0)) ** 2).sum(axis=1)
    ranks = np.linspace(0, len(distinct) - 1, centres).round().astype(np.int64)
    start = distinct[np.argsort(distance, kind="stable")[ranks]]
    kmeans = faiss.Kmeans(
        scaled.shape[1],
        centres,
        niter=_KMEANS_ITERATIONS,
        seed=seed % (1 << 31),
        min_points_per_centroid=1,
        max_points_per_centroid=len(scaled),
    )
    kmeans.train(scaled, init_centroids=np.ascontiguousarray(start))
    return np.ascontiguousarray(kmeans.centroids)


def nearest_rows(points: np.ndarray, queries: np.ndarray, k: int) -> np.ndarray:
    """Return (len(queries), k) int64: the rows of `points` nearest to each query, nearest first, exactly."""
    faiss = _faiss()
    index = faiss.IndexFlatL2(points.shape[1])
    index.add(np.ascontiguousarray(points, dtype=np.float32))
    return index.search(np.ascontiguousarray(queries, dtype=np.float32), k)[1]


def pool_sizes(
    values: np.ndarray,
    weight: np.ndarray,
    nearest: np.ndarray,
    mean: np.ndarray,
    quantiles: np.ndarray,
    levels: Sequence[float],
) -> np.ndarray:
    """Choose k* for every centre: the pool whose mean and quantiles come closest to the model's.

    Parameters
    ----------
    values, weight : (n,) float64
        Observed values and weights of the donors.
    nearest : (C, K) int
        Positions in `values`, nearest first: with their values, the paper's S.
    mean : (C,) float64
    quantiles : (C, p) float64
        Not decreasing along a row.
    levels : (p,)
        Probabilities P of the quantiles.

    Returns
    -------
    (C,) int32 with `LEAST_POOL` <= k* <= K; the smallest of equally good ones.

    Raises
    ------
    ValueError
        If K < `LEAST_POOL`.

    Notes
    -----
    Minimises Δ = Δ_μ + Σ_p Δ_p over k, with weighted mean x̄ and shares of the first k values:
    Δ_μ = 1 - φ((x̄ - μ) / σ) / φ(0), σ = (Q_p - Q_1) / (Φ⁻¹(P_p) - Φ⁻¹(P_1)), and
    Δ_p = |share(x <= Q_p) - P_p| / max(P_p, 1 - P_p).
    """
    from scipy.stats import norm

    largest = nearest.shape[1]
    if largest < LEAST_POOL:
        raise ValueError(f"a pool of {LEAST_POOL} donors cannot be chosen among {largest} neighbours")
    probability = np.asarray(levels, dtype=np.float64)
    spread = norm.ppf(probability[-1]) - norm.ppf(probability[0])
    sizes = np.empty(len(nearest), dtype=np.int32)
    step = max(1, _CHUNK_VALUES // largest)
    for start in range(0, len(nearest), step):
        part = slice(start, start + step)
        rows = nearest[part]
        x, w = values[rows], weight[rows]
        total = np.cumsum(w, axis=1)
        away = np.cumsum(w * x, axis=1) / total - mean[part, None]
        sigma = (quantiles[part, -1] - quantiles[part, 0])[:, None] / spread
        with np.errstate(divide="ignore", invalid="ignore"):
            z = np.where(away == 0, 0.0, away / sigma)
        divergence = 1 - np.exp(-(z**2) / 2)
        for j, p in enumerate(probability):
            share = np.cumsum(w * (x <= quantiles[part, j, None]), axis=1) / total
            divergence += np.abs(share - p) / max(p, 1 - p)
        sizes[part] = LEAST_POOL + np.argmin(divergence[:, LEAST_POOL - 1 :], axis=1)
    return sizes


def _faiss() -> ModuleType:
    """Import faiss without its report on processor features, and keep it on one thread: sums keep their order."""
    logging.getLogger("faiss").setLevel(logging.WARNING)
    import faiss

    faiss.omp_set_num_threads(1)
    return faiss
