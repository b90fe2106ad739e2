"""Compiled loops: weighted sums by cell, quantiles and concentration, for a weight and all its replicates.

Belongs here: loops over records. Does not belong here: estimands (`estimators.py`) and their variances.

A household's replicate weights are read once and multiplied with every value, because they are by far the
largest table. Loops release the interpreter, so that implicates can be worked on side by side.
"""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[Any]
Integers = NDArray[Any]


@nb.njit(cache=True, nogil=True)
def weighted_sums(
    cells: Integers, rows: Integers, main: Floats, replicates: Floats, values: Floats, out: Floats
) -> None:
    """Add weight times value to every record's cell, for the weight and its replicates.

    Parameters
    ----------
    cells : (n,) int64; records with a negative cell are passed over
    rows : (n,) int64, positions in the weights
    main : (N,) float64, the weight
    replicates : (N, R) float32
    values : (V, n) float64, without missing values
    out : (cells, V, 1 + R) float64, added to
    """
    for i in range(cells.size):
        cell, row = cells[i], rows[i]
        if cell < 0:
            continue
        for v in range(values.shape[0]):
            x = values[v, i]
            if x != 0:
                out[cell, v, 0] += main[row] * x
                for r in range(replicates.shape[1]):
                    out[cell, v, r + 1] += replicates[row, r] * x


@nb.njit(cache=True, nogil=True)
def _quantile(x: Floats, w: Floats, p: float) -> float:
    """Smallest value whose cumulated weight reaches p of the whole; half way to the next where it hits p."""
    total = 0.0
    for i in range(w.size):
        total += w[i]
    if not total > 0:
        return np.nan
    target, seen, slack = p * total, 0.0, 1e-10 * total
    for i in range(w.size):
        seen += w[i]
        if w[i] > 0 and seen >= target - slack:
            if seen <= target + slack:
                for j in range(i + 1, w.size):
                    if w[j] > 0:
                        return 0.5 * (x[i] + x[j])
            return x[i]
    return x[-1]


@nb.njit(cache=True, nogil=True)
def cell_quantiles(
    starts: Integers,
    order: Integers,
    rows: Integers,
    main: Floats,
    replicates: Floats,
    x: Floats,
    p: Floats,
    out: Floats,
) -> None:
    """Find the quantile p[cell] of each cell's x, for the weight and its replicates.

    Parameters
    ----------
    starts : (cells + 1,) int64, where each cell begins in `order`
    order : (n,) int64, records by cell and x
    p : (cells,) float64
    out : (cells, 1 + R) float64, written
    """
    for cell in range(starts.size - 1):
        begin, end = starts[cell], starts[cell + 1]
        values, w = np.empty(end - begin), np.empty(end - begin)
        for k in range(begin, end):
            values[k - begin] = x[order[k]]
        for r in range(out.shape[1]):
            for k in range(begin, end):
                row = rows[order[k]]
                w[k - begin] = main[row] if r == 0 else replicates[row, r - 1]
            out[cell, r] = _quantile(values, w, p[cell])


@nb.njit(cache=True, nogil=True)
def cell_ginis(
    starts: Integers,
    order: Integers,
    rows: Integers,
    main: Floats,
    replicates: Floats,
    x: Floats,
    out: Floats,
    influence: Floats,
) -> None:
    """Find each cell's Gini coefficient, and each record's influence on that of the weight.

    Notes
    -----
    With records in order of x, N_i the weight up to and with i, N the whole and Y = sum(w x)::

        G = sum(w_i x_i (2 N_i - w_i)) / (N Y) - 1
        dG/dw_k = 2 (x_k N_k + sum_(i > k) w_i x_i) / (N Y) - (G + 1) (1/N + x_k/Y)

    (Langel and Tille 2013, J. Royal Statistical Society A 176:521).
    """
    for cell in range(starts.size - 1):
        begin, end = starts[cell], starts[cell + 1]
        for r in range(out.shape[1]):
            upto, total, area = 0.0, 0.0, 0.0
            for k in range(begin, end):
                row = rows[order[k]]
                w = main[row] if r == 0 else np.float64(replicates[row, r - 1])
                upto += w
                total += w * x[order[k]]
                area += w * x[order[k]] * (2 * upto - w)
            out[cell, r] = area / (upto * total) - 1 if upto > 0 and total > 0 else np.nan
            if r == 0:
                after, below = total, 0.0
                for k in range(begin, end):
                    i = order[k]
                    w = main[rows[i]]
                    below += w
                    after -= w * x[i]
                    influence[i] = 2 * (x[i] * below + after) / (upto * total) - (out[cell, 0] + 1) * (
                        1 / upto + x[i] / total
                    )
