"""Donors comparable with the recipient: what the donor survey alone says of households like the recipient's.

Belongs here: the odds that make donors comparable, how well they do, and from where on a difference is one. Does not
belong here: estimates (`marginals.py`).

A recipient that covers a few states differs from the donors' nation. Donors of the recipient's disclosed locations are
weighted by their odds of being a recipient rather than a donor, given the harmonized predictors (a propensity model:
Rosenbaum and Rubin 1983; weighting by odds: Hirano, Imbens and Ridder 2003). Thus weighted they have the recipient's
predictors, and an estimate from them differs from the fused one by chance, or because the fusion errs.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fusion_pipeline.randomness import stream
from fusion_pipeline.storage.tables import TableRef, codes_of, levels_of

Array = NDArray[np.float64]

MOST_RECIPIENTS = 50_000
"""Recipients beyond this many add nothing to the model; a sample is taken."""
BEYOND = 3.0
"""Combined standard errors from which a marginal is called different. Rarely so by chance, though there are dozens of
marginals: what is fused was learned from the same donors, so that the combined error counts theirs twice."""
LEAST_EFFECTIVE = 100.0
"""Effective number of comparable donors below which a comparison says little."""
MOST_UNLIKE = 0.2
"""Difference of a predictor, in standard deviations, from which the weighted donors are unlike the recipients."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ComparableDonors:
    """How much every donor counts in a comparison with the recipient.

    `odds` (donors,) float64 multiply the donors' weights and replicate weights; they are 0 outside the recipient's
    locations. `effective` is Kish's effective number of donors under the product; `unlike` the largest difference of a
    predictor's mean from the recipient's, in standard deviations, and `where` names that predictor.
    """

    odds: Array
    effective: float
    unlike: float
    where: str

    @property
    def is_sound(self) -> bool:
        """Whether enough donors are left, and these are like the recipients."""
        return self.effective >= LEAST_EFFECTIVE and self.unlike <= MOST_UNLIKE

    @property
    def words(self) -> str:
        """Say in a sentence who is compared."""
        quality = "" if self.is_sound else ": too few or too unlike, so that z says little"
        return (
            f"{int((self.odds > 0).sum()):,} of {len(self.odds):,} donors, effectively {self.effective:,.0f}; "
            f"largest difference from the recipients {self.unlike:.2f} sd ({self.where}){quality}"
        )


def comparable_donors(
    donor: TableRef,
    recipient: TableRef,
    recipient_weight: Array,
    *,
    predictors: Sequence[str],
    locations: Sequence[str],
    seed: int,
    weight: str = "weight",
) -> ComparableDonors:
    """Weigh donors by their odds of being recipients.

    Parameters
    ----------
    donor, recipient : tables with the predictors and locations; the donor with `weight`
    recipient_weight : (recipients,) float64
    predictors : sequence of str
        Harmonized predictors; a missing one counts as the mean of those who have it.
    locations : sequence of str
        Disclosed location columns, such as `recs_division`. Donors elsewhere than the recipients do not count, unless
        there are no others.
    seed : int
        Of the sample of recipients.

    Notes
    -----
    Logistic regression with a ridge penalty of 1 on standardized columns (categories one column a level, numbers with
    their squares); survey weights are scaled so that either side has half of all weight.
    """
    from sklearn.linear_model import LogisticRegression

    near = np.flatnonzero(_near(donor, recipient, locations))
    chosen = np.arange(len(recipient_weight))
    if len(chosen) > MOST_RECIPIENTS:
        draw = stream(seed, "comparable donors")
        chosen = np.sort(draw.choice(len(chosen), MOST_RECIPIENTS, replace=False))
    own = donor.read([weight])[weight].to_numpy().astype(np.float64)
    shares = [own[near] / own[near].sum(), recipient_weight[chosen] / recipient_weight[chosen].sum()]
    names, x = _design(donor, recipient, near, chosen, [*predictors, *locations], shares)
    odds = np.zeros(len(own))
    odds[near] = 1.0
    if names:
        side = np.repeat([0, 1], [len(near), len(chosen)])
        model = LogisticRegression(solver="newton-cholesky", tol=1e-8, max_iter=200)
        model.fit(x, side, sample_weight=np.concatenate(shares) * len(side) / 2)
        odds[near] = np.exp(model.decision_function(x[: len(near)]))
    weighted = own[near] * odds[near]
    effective = float(weighted.sum() ** 2 / (weighted**2).sum())
    apart = np.abs(weighted / weighted.sum() @ x[: len(near)] - shares[1] @ x[len(near) :])
    worst = int(apart.argmax()) if names else -1
    found = ComparableDonors(
        odds, effective, float(apart[worst]) if names else 0.0, names[worst] if names else "nothing"
    )
    _log.info("comparable donors: %s", found.words)
    return found


def beyond(marginals: pd.DataFrame, standard_errors: float = BEYOND) -> list[str]:
    """Name the marginals of `marginals.compare_marginals` that lie too far from those of comparable donors."""
    far = marginals[marginals["z"].abs() > standard_errors]
    return [f"{row.variable} {row.level}" for row in far.itertuples()]


def _near(donor: TableRef, recipient: TableRef, locations: Sequence[str]) -> NDArray[np.bool_]:
    near = np.ones(donor.num_rows, dtype=bool)
    for name in locations:
        covered = recipient.read([name])[name].cast(pa.string()).unique()
        near &= pc.is_in(donor.read([name])[name].cast(pa.string()), value_set=covered).to_numpy()
    if near.any():
        return near
    _log.warning("no donor shares the recipients' %s: all donors are compared", ", ".join(locations))
    return ~near


def _design(
    donor: TableRef,
    recipient: TableRef,
    near: NDArray[np.int64],
    chosen: NDArray[np.int64],
    names: Sequence[str],
    shares: Sequence[Array],
) -> tuple[list[str], Array]:
    """Return the names and the standardized columns that vary, donors first; a column of a table is read once."""
    kept, columns = [], []
    for name in names:
        sides = [
            ref.read([name])[name].take(pa.array(rows)) for ref, rows in ((donor, near), (recipient, chosen))
        ]
        for label, pair in _numbers(name, *sides):
            filled = [_filled(values, share) for values, share in zip(pair, shares, strict=True)]
            column = np.concatenate(filled)
            if (spread := column.std()) > 1e-9:
                kept.append(label)
                columns.append((column - column.mean()) / spread)
    return kept, np.column_stack(columns) if columns else np.empty((len(near) + len(chosen), 0))


def _numbers(name: str, ours: pa.ChunkedArray, theirs: pa.ChunkedArray) -> list[tuple[str, list[Array]]]:
    """Return labelled columns of both sides, NaN where missing."""
    if not pa.types.is_dictionary(ours.type):
        values = [column.cast(pa.float64()).to_numpy() for column in (ours, theirs)]
        middle, spread = np.nanmean(values[1]), np.nanstd(values[1]) or 1.0
        return [(name, values), (f"{name} squared", [((v - middle) / spread) ** 2 for v in values])]
    levels = list(dict.fromkeys([*levels_of(ours), *levels_of(theirs)]))
    at = []
    for column in (ours, theirs):
        place = np.array([*(levels.index(level) for level in levels_of(column)), -1])
        at.append(place[codes_of(column)])
    return [
        (f"{name} {level}", [np.where(codes < 0, np.nan, codes == k) for codes in at])
        for k, level in enumerate(levels)
    ]


def _filled(values: Array, share: Array) -> Array:
    known = ~np.isnan(values)
    mean = share[known] @ values[known] / share[known].sum() if known.any() else 0.0
    return np.where(known, values, mean)
