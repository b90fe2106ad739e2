"""Sampling designs of the simulated surveys: allocation, weights, and replicate weights.

Belongs here: what a sampling statistician decides. Does not belong here: whom the sample finds
(`population.py`), files (`acs.py`, `recs.py`).

Replicates: Fay's balanced repeated replication (Judkins 1990) with epsilon 1/2 for RECS, successive
difference replication (Fay and Train 1995) for the ACS; every replicate is calibrated as the full sample is,
so that totals the survey controls have no variance.
"""

from __future__ import annotations

from functools import cache

import numpy as np

Array = np.ndarray

FAY_EPSILON = 0.5
RATE_BY_URBAN = np.array([1.0, 1.2, 1.4])
"""Relative sampling rates of urbanized areas, urban clusters and rural areas."""
NONRESPONSE = 0.25
"""Standard deviation of the log of the non-response adjustment."""


def allocate(total: int, sizes: Array, power: float, minimum: int = 2) -> Array:
    """Share a sample among strata in proportion to size^power, at least `minimum` each; sums to `total`."""
    exact = sizes**power / (sizes**power).sum() * max(total - minimum * len(sizes), 0)
    count = np.floor(exact).astype(int)
    largest = np.argsort(count - exact, kind="stable")[: max(total - minimum * len(sizes), 0) - count.sum()]
    count[largest] += 1
    return count + minimum


def draw_places(
    total: int, stratum: Array, households: Array, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Draw a sample of places, stratified with n_h proportional to N_h^0.7, by households within strata.

    Parameters
    ----------
    total : size of the sample
    stratum, households : (P,) of each place

    Returns
    -------
    place (n,), stratum (n,), in random order.
    """
    size = np.bincount(stratum, households)
    drawn = rng.permutation(np.repeat(np.arange(len(size)), allocate(total, size, 0.7)))
    place = np.empty(total, dtype=int)
    for number in range(len(size)):
        members = np.flatnonzero(stratum == number)
        odds = np.cumsum(households[members])
        found = np.searchsorted(odds, rng.random((drawn == number).sum()) * odds[-1], side="right")
        place[drawn == number] = members[np.minimum(found, len(members) - 1)]
    return place, drawn


def draw_urban(shares: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """Draw the urban type of sampled households, and their design weights relative to the stratum's mean.

    Parameters
    ----------
    shares : (n, 3)
        Shares of the urban types where each sampled household lies.

    Returns
    -------
    urban (n,), relative weight (n,) with a mean of one: inverse rate times non-response adjustment.
    """
    odds = np.cumsum(shares * RATE_BY_URBAN, axis=1)
    urban = np.minimum((rng.random(len(shares))[:, None] * odds[:, -1:] >= odds).sum(axis=1), 2)
    response = np.exp(NONRESPONSE * rng.normal(size=len(shares)) - NONRESPONSE**2 / 2)
    return urban, odds[:, -1] / RATE_BY_URBAN[urban] * response


def calibrate(weights: Array, stratum: Array, totals: Array) -> Array:
    """Scale (n,) or (n, R) weights so that each stratum adds up to its total."""
    sums = np.zeros((len(totals), *weights.shape[1:]))
    np.add.at(sums, stratum, weights)
    shape = (-1,) + (1,) * (weights.ndim - 1)
    return weights * (totals.reshape(shape) / np.where(sums > 0, sums, 1))[stratum]


def successive_difference(sequence: Array) -> Array:
    """Return the (n, 80) factors of successive difference replication: 1, 1.71 or 0.29.

    Parameters
    ----------
    sequence : (n,)
        Position of each unit in the order of selection over the whole sample.

    Notes
    -----
    f = 1 + 2^(-3/2) (h[a] - h[b]), rows a and b of a Hadamard matrix of order 80. Neighbours share a row; the
    step from a to b changes with every cycle of 79 units, so that distant units do not repeat a pair.
    """
    rows = hadamard(80)[1:]
    step = 1 + (sequence // 79) % 78
    position = sequence % 79
    first, second = (position * step) % 79, ((position + 1) * step) % 79
    return 1 + 2**-1.5 * (rows[first] - rows[second])


def jackknife(count: int, strata: int, groups: int) -> Array:
    """Return the (n, strata x groups) factors of a stratified jackknife: 0, groups / (groups - 1), or 1.

    Units must be in random order; each replicate leaves one group of one stratum out.

    Notes
    -----
    V = (groups - 1) / groups sum (t_r - t)^2.
    """
    stratum, group = np.arange(count) % strata, np.arange(count) // strata % groups
    factors = np.ones((count, strata * groups))
    for replicate in range(strata * groups):
        within = stratum == replicate // groups
        left = group == replicate % groups
        factors[within, replicate] = np.where(left[within], 0.0, groups / (groups - 1))
    return factors


def fay(stratum: Array, half: Array, order: int = 96, epsilon: float = FAY_EPSILON) -> Array:
    """Return the (n, order) factors of Fay's balanced repeated replication: epsilon or 2 - epsilon.

    Parameters
    ----------
    stratum : (n,) pseudo-strata, 0 to order - 2.
    half : (n,) 0 or 1, the half-sample within the pseudo-stratum.
    order : number of replicates, 44, 80, 96 or 160.
    epsilon : 0 for half-samples
    """
    rows = hadamard(order)[1:]
    return 1 + (1 - epsilon) * rows[stratum] * np.where(half == 0, 1, -1)[:, None]


def pseudo_strata(stratum: Array, count: int) -> tuple[Array, Array]:
    """Deal units out to `count` pseudo-strata within design strata, and to two halves of each.

    Units must be in random order within their design stratum.
    """
    sizes = np.bincount(stratum)
    shares = allocate(count, sizes, 1.0, minimum=1)
    start = np.cumsum(shares) - shares
    pseudo, half = np.empty(len(stratum), dtype=int), np.empty(len(stratum), dtype=int)
    for number, share in enumerate(shares):
        members = np.flatnonzero(stratum == number)
        position = np.arange(len(members))
        pseudo[members] = start[number] + position % share
        half[members] = position // share % 2
    return pseudo, half


@cache
def hadamard(order: int) -> Array:
    """Build a Hadamard matrix of order 44, 80, 96 or 160 whose first row is ones (Paley, doubled by Sylvester)."""
    prime = {44: 43, 80: 19, 96: 23, 160: 19}[order]
    squares = np.zeros(prime, dtype=int)
    squares[np.arange(1, prime) ** 2 % prime] = 1
    legendre = 2 * squares - 1
    legendre[0] = 0
    skew = np.zeros((prime + 1, prime + 1), dtype=int)
    skew[0, 1:], skew[1:, 0] = 1, -1
    skew[1:, 1:] = legendre[(np.arange(prime)[:, None] - np.arange(prime)) % prime]
    matrix = skew + np.eye(prime + 1, dtype=int)
    while len(matrix) < order:
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    return matrix * matrix[0]
