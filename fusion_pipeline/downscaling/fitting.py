"""One PUMA: its households shared out over its small areas so that the areas' tables are met.

Belongs here: tables made consistent with the PUMA and with each other, iterative proportional fitting, and how well
it went. Does not belong here: reading tables (`tables.py`), going through PUMAs (`downscale.py`).

The unknown is the weight x[i, a] of household i in area a. Start is w[i] N[a] / N, which knows nothing but the sizes of
areas. Scaling x to the table of each variable in turn, sum over i of x[i, a] with level l = T[a, l], and to the
households' weights, sum over a of x[i, a] = w[i], until nothing moves, gives the x closest to the start in the sense of
Kullback and Leibler among those that meet both (Csiszar 1975). All factors depend on a household's levels only, so
that households with the same levels, a *pattern*, have the same shares: x[i, a] = w[i] s[pattern(i), a].
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fusion_pipeline.downscaling.tables import PumaTables
from fusion_pipeline.errors import AnalysisError

Array = NDArray[np.float64]
LARGEST_DISAGREEMENT = 0.05
"""Tables of one PUMA whose totals differ by more count different things, such as persons and households."""
NOTHING = 1e-100
"""What is smaller has been scaled away, and is not scaled up again."""


@dataclass(frozen=True)
class Fit:
    """Shares of the patterns in the areas, and how well the tables are met."""

    shares: Array
    """(K, A); rows add up to one; 0 in areas without households."""
    size: Array
    """(A,) households, which add up to the PUMA's weight."""
    gap: Array
    """(A,) share of an area's households that are in the wrong cell of the table that is met worst."""
    iterations: int
    converged: bool
    disagreement: float
    """Largest relative difference between the totals of two tables of the PUMA."""
    scaled: float
    """The PUMA's weight over the mean total of its tables."""
    nobody: tuple[Array, ...]
    """(L,) of each table: counts in levels that no household of the PUMA has."""
    unlisted: tuple[Array, ...]
    """(L,) of each table: weight of households in levels that the PUMA's areas do not count."""
    filled: int
    """Tables of areas that were missing and got the PUMA's distribution."""
    nowhere: float
    """Weight of households that no area's tables admit."""


def fit(
    codes: NDArray[np.int64],
    weight: Array,
    tables: PumaTables,
    *,
    tolerance: float,
    max_iterations: int,
    where: str,
) -> Fit:
    """Share out the patterns of one PUMA.

    Parameters
    ----------
    codes : (K, V) levels of each pattern, one column a table
    weight : (K,) of all its households, positive
    tables : counts (A, L) of each table
    tolerance : largest `gap` that counts as met
    max_iterations : rounds over all tables
    where : PUMA, for messages

    Raises
    ------
    AnalysisError
        If totals of the tables differ by more than 5 %, or no area has households.

    Notes
    -----
    1. An area's size is the mean of its tables' totals (each table first scaled to the PUMA's weight W), scaled to W.
    2. With standard errors, a cell's share is moved towards the PUMA's by what its error makes of it (`shrunk`).
    3. A missing table of an area is the PUMA's distribution. So are, for all areas, levels that no area counts.
    4. Households of patterns that would need a cell of zero in every area are shared by size.
    5. Tables are scaled, by the same fitting, to the areas' sizes and to the PUMA's weights by level.
    6. The fit proper; households' weights are scaled last, so that sums over areas are the PUMA's to the last digit.
    """
    if not any(c.sum() > 0 for c in tables.counts):
        raise AnalysisError(
            f"tables, PUMA {where}",
            "count no household.",
            "Correct the tables, or leave this PUMA out of them.",
        )
    size, disagreement, scaled = _sizes(tables, float(weight.sum()), where)
    there = np.flatnonzero(size > 0)
    incidence = [_incidence(codes[:, v], c.shape[1]) for v, c in enumerate(tables.counts)]
    targets, nobody, unlisted, filled = [], [], [], 0
    for v, counts in enumerate(tables.counts):
        of_level = incidence[v] @ weight
        nobody.append(np.where(of_level > 0, 0.0, counts.sum(axis=0)))
        unlisted.append(np.where(counts.sum(axis=0) > 0, 0.0, of_level))
        errors = None if tables.errors is None else tables.errors[v][there]
        target, missing = _completed(counts[there], errors, size[there], of_level)
        targets.append(target)
        filled += missing
    placed = _admitted(codes, targets)
    shares = np.zeros((len(weight), len(size)))
    shares[:, there] = size[there] / size.sum()
    inner, gap, iterations = shares[:, there], np.zeros(len(there)), 0
    if placed.any():
        w, of_area = weight[placed], size[there] * weight[placed].sum() / size.sum()
        part = [i[:, placed] for i in incidence]
        wanted = [_scaled(t, of_area, p @ w) for t, p in zip(targets, part, strict=True)]
        inner[placed], iterations = _fitted(
            inner[placed], w, codes[placed], part, wanted, of_area, tolerance, max_iterations
        )
        gap = _gap(inner[placed] * w[:, None], part, wanted, of_area)
    shares[:, there] = inner
    gaps = np.zeros(len(size))
    gaps[there] = gap
    return Fit(
        shares, size, gaps, iterations, bool(gap.max() <= tolerance), disagreement, scaled, tuple(nobody),
        tuple(unlisted), filled, float(weight[~placed].sum()),
    )  # fmt: skip


def shrunk(counts: Array, errors: Array) -> Array:
    """Move the shares of cells towards those of all areas together, by what their sampling errors make of them.

    Parameters
    ----------
    counts, errors : (A, L) counts and their standard errors; areas with a count of zero stay as they are

    Returns
    -------
    (A, L) counts with the same total by area before negative ones are cut off.

    Notes
    -----
    d is the deviation of a cell's share from that of all areas, e its standard error. Areas truly differ by
    t^2 = mean(d^2 - e^2), weighed by size and not below 0; the best linear guess of a deviation is d t^2 / (t^2 + e^2)
    (Fay and Herriot 1979 without covariates). Covariances between cells of a table are not published and not used.
    """
    total = counts.sum(axis=1, keepdims=True)
    share, deviation, _, worth = _trusted(counts, errors)
    return np.where(total > 0, np.maximum(total * (share + worth * deviation), 0.0), counts)


def remaining_error(counts: Sequence[Array], errors: Sequence[Array] | None) -> Array:
    """Say how wrong the tables of an area are after `shrunk`.

    Parameters
    ----------
    counts, errors : (A, L) of each table; no errors mean that they are true

    Returns
    -------
    (A,) variance of the shares' errors, t^2 e^2 / (t^2 + e^2), over the variance of households, p (1 - p), both summed
    over the cells of all tables.
    """
    wrong, variance = np.zeros(len(counts[0])), np.zeros(len(counts[0]))
    if errors is None:
        return wrong
    for table, of_table in zip(counts, errors, strict=True):
        if table.any():
            share, deviation, error, worth = _trusted(table, of_table)
            p = np.clip(share + worth * deviation, 0.0, 1.0)
            wrong += (worth * error).sum(axis=1)
            variance += (p * (1 - p)).sum(axis=1)
    return np.divide(wrong, variance, out=np.zeros_like(wrong), where=variance > 0)


def _trusted(counts: Array, errors: Array) -> tuple[Array, Array, Array, Array]:
    """Give shares of all areas, deviations from them, squared errors, and what a deviation is worth."""
    total = counts.sum(axis=1, keepdims=True)
    share = counts.sum(axis=0) / total.sum()
    size = np.where(total > 0, total, 1.0)
    deviation, error = counts / size - share, (errors / size) ** 2
    between = np.maximum((total * (deviation**2 - error)).sum(axis=0) / total.sum(), 0.0)
    both = between + error
    return share, deviation, error, np.divide(between, both, out=np.ones_like(error), where=both > 0)


def _sizes(tables: PumaTables, weight: float, where: str) -> tuple[Array, float, float]:
    totals = np.stack([c.sum(axis=1) for c in tables.counts], axis=1)
    of_table = totals.sum(axis=0)
    used = of_table > 0
    disagreement = float(of_table[used].max() / of_table[used].min() - 1)
    if disagreement > LARGEST_DISAGREEMENT:
        raise AnalysisError(
            f"tables, PUMA {where}",
            f"have totals from {of_table[used].min():,.0f} to {of_table[used].max():,.0f}.",
            "All tables must count the same households; leave out those of persons or of some households only.",
        )
    relative = totals[:, used] / of_table[used]
    listed = np.count_nonzero(relative, axis=1)
    size = relative.sum(axis=1) / np.maximum(listed, 1)
    return size * (weight / size.sum()), disagreement, weight / float(of_table[used].mean())


def _incidence(codes: NDArray[np.int64], levels: int) -> sparse.csr_array:
    """(L, K) with a one where a pattern has the level."""
    count = len(codes)
    return sparse.csr_array((np.ones(count), (codes, np.arange(count))), shape=(levels, count))


def _completed(counts: Array, errors: Array | None, size: Array, of_level: Array) -> tuple[Array, int]:
    """Give a table cells for all that the PUMA's households are, and for nothing else."""
    share = of_level / of_level.sum()
    counts = np.where(of_level > 0, counts, 0.0)
    if errors is not None and counts.any():
        counts = shrunk(counts, np.where(of_level > 0, errors, 0.0))
    missing, unlisted = counts.sum(axis=1) <= 0, counts.sum(axis=0) <= 0
    listed = counts * _factor(size * (1 - share[unlisted].sum()), counts.sum(axis=1))[:, None]
    return np.where(missing[:, None] | unlisted, size[:, None] * share, listed), int(missing.sum())


def _admitted(codes: NDArray[np.int64], targets: Sequence[Array]) -> NDArray[np.bool_]:
    """(K,) whether some area has no zero among the cells of a pattern."""
    possible = np.ones((len(codes), len(targets[0])), dtype=bool)
    for v, target in enumerate(targets):
        possible &= (target > 0).T[codes[:, v]]
    return np.asarray(possible.any(axis=1))


def _scaled(table: Array, rows: Array, columns: Array, rounds: int = 1000, enough: float = 1e-12) -> Array:
    """Fit a table to its margins; the columns' are met whatever happens, the rows' if zeros allow."""
    for _ in range(rounds):
        table = table * _factor(rows, table.sum(axis=1))[:, None]
        table = table * _factor(columns, table.sum(axis=0))
        if np.abs(table.sum(axis=1) - rows).max() <= enough * rows.max():
            break
    return table


def _fitted(
    shares: Array,
    weight: Array,
    codes: NDArray[np.int64],
    incidence: Sequence[sparse.csr_array],
    targets: Sequence[Array],
    size: Array,
    tolerance: float,
    max_iterations: int,
) -> tuple[Array, int]:
    start, x = shares, shares * weight[:, None]
    rounds, met = 0, False
    while rounds < max_iterations and not met:
        rounds += 1
        for v, target in enumerate(targets):
            x = x * _factor(target.T, incidence[v] @ x)[codes[:, v]]
        total = x.sum(axis=1)
        # Only where tables cannot be met together do rounds starve a pattern.
        lost = total <= NOTHING * weight
        if lost.any():
            x[lost], total[lost] = start[lost] * weight[lost, None], weight[lost]
        x = x * (weight / total)[:, None]
        met = bool(_gap(x, incidence, targets, size).max() <= tolerance)
    return x / x.sum(axis=1, keepdims=True), rounds


def _gap(x: Array, incidence: Sequence[sparse.csr_array], targets: Sequence[Array], size: Array) -> Array:
    wrong = [np.abs(i @ x - t.T).sum(axis=0) / 2 for i, t in zip(incidence, targets, strict=True)]
    return np.asarray(np.max(wrong, axis=0) / size)


def _factor(wanted: Array, found: Array) -> Array:
    return np.divide(wanted, found, out=np.zeros_like(found), where=found > NOTHING)
