"""Quarters of a household that was not interviewed: drawn from households alike that were.

Belongs here: completing quarterly amounts to a year. Does not belong here: what is a household's quarter
(`panel.py`), answers missing within an interview (`imputing.py`).

Method: multivariate predictive mean matching (Little 1988, *Journal of Business & Economic Statistics* 6:287-296).
Amounts are put on the scale of the inverse hyperbolic sine. Of households with all quarters, the missing quarters'
amounts are regressed on the mean of the quarters that are there and on what is alike. A household without takes the
missing quarters, all amounts together, from one of the ten that are predicted most alike (differences over residual
standard deviations), drawn by weight. What the two are predicted to differ in still is made good (local residual
draws: Schenker and Taylor 1996, *Computational Statistics & Data Analysis* 22:425-446); nothing remains nothing.
Which quarters are missing is taken to depend on nothing but these predictors, and not on the season.
"""

from __future__ import annotations

import numpy as np

from fusion_pipeline.errors import IngestError
from fusion_pipeline.randomness import stream

Array = np.ndarray

VERSION = "1"
NEIGHBOURS = 10
_MOST = np.log(3)
"""A drawn amount is changed to its triple or third at most."""
_RIDGE = 1.0
"""Penalty on standardized predictors, as if one household more had been average: few households, many amounts."""


def fill_quarters(
    amounts: Array, alike: Array, weight: Array, *, seed: int, stream_name: str
) -> tuple[Array, dict[int, int]]:
    """Draw the quarters that are missing.

    Parameters
    ----------
    amounts : (n, Q, C)
        Dollars by household, quarter and category; a quarter that is not there is NaN throughout, and follows those
        that are.
    alike : (n, P)
        Further predictors, such as income and size.
    weight : (n,)

    Returns
    -------
    amounts : (n, Q, C) without NaN; quarters that were there are unchanged
    completed : number of quarters that were there -> households

    Raises
    ------
    IngestError
        If quarters are missing, and no household has all.
    """
    there = ~np.isnan(amounts).any(axis=2)
    count = there.sum(axis=1)
    quarters, result, completed = amounts.shape[1], amounts.copy(), {}
    donors = np.flatnonzero(count == quarters)
    for known in sorted({int(c) for c in count} - {quarters}):
        if not donors.size:
            raise IngestError(
                "interviews", "no household has all of them.", "Check that all quarters are there."
            )
        recipients = np.flatnonzero(count == known)
        both = np.r_[donors, recipients]
        seen = np.arcsinh(amounts[both, :known].mean(axis=1))
        fitted, spread = _fit(
            np.hstack([seen, np.arcsinh(alike[both])]), amounts[donors, known:], weight[donors]
        )
        here, there = fitted[donors.size :], fitted[: donors.size]
        rng = stream(seed, stream_name, known)
        chosen = _draw(there / spread, here / spread, weight[donors], rng)
        # A difference on this scale is the log of a ratio.
        ratio = np.exp(np.clip(here - there[chosen], -_MOST, _MOST))
        result[recipients, known:] = amounts[donors[chosen], known:] * ratio[:, None, :]
        completed[known] = recipients.size
    return result, completed


def _fit(predictors: Array, missing: Array, weight: Array) -> tuple[Array, Array]:
    """Predict the missing quarters' amounts (donors first), with their residual standard deviations."""
    known = len(missing)
    target = np.arcsinh(missing.sum(axis=1))
    share = weight / weight.sum()
    centre = share @ predictors[:known]
    spread = np.sqrt(share @ (predictors[:known] - centre) ** 2)
    x = (predictors - centre) / np.where(spread > 0, spread, 1)
    mean = share @ target
    root = np.sqrt(share * known)[:, None]
    gram = (x[:known] * root).T @ (x[:known] * root) + _RIDGE * np.eye(x.shape[1])
    slopes = np.linalg.solve(gram, (x[:known] * root**2).T @ (target - mean))
    fitted = x @ slopes
    residual = np.sqrt(share @ (target - mean - fitted[:known]) ** 2)
    return fitted, np.where(residual > 0, residual, 1)


def _draw(donors: Array, recipients: Array, weight: Array, rng: np.random.Generator) -> Array:
    """Draw one of each recipient's nearest donors by weight; (n,) positions among the donors."""
    from sklearn.neighbors import NearestNeighbors

    nearest = NearestNeighbors(n_neighbors=min(NEIGHBOURS, len(donors))).fit(donors)
    near = nearest.kneighbors(recipients, return_distance=False)
    odds = np.cumsum(weight[near], axis=1)
    pick = (rng.random(len(near))[:, None] * odds[:, -1:] >= odds).sum(axis=1)
    return near[np.arange(len(near)), np.minimum(pick, near.shape[1] - 1)]
