"""Bounds on what no survey has asked together: the formulas, on shares and correlations that are known.

Belongs here: Frechet bounds of cross-classifications, bounds of a correlation from those with common variables. Does
not belong here: their estimation from implicates (`bounding.py`), estimates under an assumed dependence
(`sensitivity.py`).

Sources: Frechet 1951; D'Orazio, Di Zio and Scanu 2006, Statistical Matching, chapter 4 (bounds within classes of the
common variables, averaged); Moriarity and Scheuren 2001, J. Official Statistics 17:407 (correlation).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

NOTHING = 1e-9
"""Part of a variance below which it is rounding."""


def frechet(rows: ArrayLike, columns: ArrayLike, classes: ArrayLike | None = None) -> tuple[Array, Array]:
    """Bound the joint distribution of two categories from their distributions.

    Parameters
    ----------
    rows : (..., I) array
        Shares of one category, in every class of the common variables if there are classes.
    columns : (..., J) array
        Shares of the other.
    classes : (C,) array, optional
        Share of each class; then `rows` is (C, I) and `columns` (C, J), and bounds are averaged over classes.

    Returns
    -------
    lower, upper : (..., I, J), or (I, J) with classes

    Raises
    ------
    ValueError
        If shares are negative or do not sum to one.

    Notes
    -----
    max(0, a + b - 1) <= share <= min(a, b), in every class.
    """
    a, b = np.asarray(rows, dtype=np.float64), np.asarray(columns, dtype=np.float64)
    for shares in (a, b, *([np.asarray(classes, dtype=np.float64)] if classes is not None else [])):
        if (shares < 0).any() or not np.allclose(shares.sum(axis=-1), 1, atol=1e-6):
            raise ValueError("shares must not be negative and sum to one")
    lower, upper = joint(a, b)
    if classes is None:
        return lower, upper
    shares = np.asarray(classes, dtype=np.float64)
    return np.tensordot(shares, lower, 1), np.tensordot(shares, upper, 1)


def correlation(with_y: ArrayLike, with_z: ArrayLike, common: ArrayLike) -> tuple[Array, Array]:
    """Bound the correlation of Y and Z from their correlations with common variables X.

    Parameters
    ----------
    with_y, with_z : (..., p) arrays
        Correlations of X with Y, and with Z.
    common : (..., p, p) array
        Correlations among X; variables that others determine count once.

    Returns
    -------
    lower, upper : (...) at partial correlations of Y and Z given X of -1 and 1

    Raises
    ------
    ValueError
        If these are no correlations: the matrix of X, Y or of X, Z is not positive semidefinite.

    Notes
    -----
    y' R^-1 z +- sqrt((1 - y' R^-1 y) (1 - z' R^-1 z)).
    """
    y, z = np.atleast_1d(np.asarray(with_y, float)), np.atleast_1d(np.asarray(with_z, float))
    x = np.atleast_2d(np.asarray(common, float))
    for side in (y, z):
        whole = np.block([[x, side[..., None]], [side[..., None, :], np.ones((*x.shape[:-2], 1, 1))]])
        if np.linalg.eigvalsh(whole).min() < -NOTHING:
            raise ValueError("these are no correlations: the matrix is not positive semidefinite")
    return partial(y, z, x)


def joint(a: Array, b: Array) -> tuple[Array, Array]:
    """Apply Frechet's formula to shares (..., I) and (..., J) as they are: (..., I, J)."""
    a, b = a[..., :, None], b[..., None, :]
    return np.maximum(0, a + b - 1), np.minimum(a, b)


def partial(y: Array, z: Array, x: Array) -> tuple[Array, Array]:
    """Apply the formula of `correlation` to correlations (..., p), (..., p), (..., p, p) as they are: (...)."""
    on_y, on_z = ((np.linalg.pinv(x, hermitian=True) @ side[..., None])[..., 0] for side in (y, z))
    left = (1 - (y * on_y).sum(axis=-1)).clip(0) * (1 - (z * on_z).sum(axis=-1)).clip(0)
    middle, width = (y * on_z).sum(axis=-1), np.sqrt(left)
    return middle - width, middle + width
