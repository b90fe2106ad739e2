"""The PUMAs a donor may live in, and how probable each is, given its disclosed location and its predictors.

Belongs here: candidates by disclosed location, their probabilities, expectations over them. Does not belong here: the
model behind the probabilities (`area_model.py`), fusion variables (`area_effects.py`), draws (`puma_imputation.py`).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from fusion_pipeline.errors import GeographyError
from fusion_pipeline.geography.area_model import MOST_CELLS, AreaModel, fit_area_model, learning_sample
from fusion_pipeline.geography.places import Places, by_household
from fusion_pipeline.geography.profiles import Features, Profiles, profiles

Array = np.ndarray
_CELLS = 4_000_000
"""Donors x candidates worked on at once."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Location:
    """One combination of disclosed locations, and the donors who disclose it.

    Attributes
    ----------
    label : for messages and random streams
    donors : rows of the donor table, in the order of survey and household
    model : of the PUMAs that the recipient covers; None if it covers none
    covered : probability of a covered PUMA
    elsewhere : (P,) probabilities of the PUMAs that it does not cover, by housing units
    """

    label: str
    donors: Array
    model: AreaModel | None
    covered: float
    elsewhere: Array

    @property
    def pumas(self) -> Array:
        """Positions of the candidates, ascending."""
        known = np.flatnonzero(self.elsewhere)
        return known if self.model is None else np.union1d(known, self.model.areas)

    def probabilities(self, features: Array) -> Array:
        """(n, candidates) float64."""
        pumas = self.pumas
        found = np.broadcast_to(self.elsewhere[pumas], (len(features), len(pumas))).copy()
        if self.model is not None:
            within = self.model.probabilities(features)
            found[:, np.searchsorted(pumas, self.model.areas)] += self.covered * within
        return found


@dataclass(frozen=True)
class Candidates:
    """Candidates of all donors.

    Attributes
    ----------
    locations : every donor is in one of them
    profiles : of the donors
    features : of profiles
    """

    locations: list[Location]
    profiles: Profiles
    features: Features

    @property
    def donors(self) -> int:
        """Number of donors."""
        return len(self.profiles.codes)

    def by_block(self) -> Iterator[tuple[Location, Array, Array]]:
        """Some donors of a location at a time: the location, their rows and (rows, candidates) probabilities."""
        for location in self.locations:
            size = max(1, _CELLS // len(location.pumas))
            for start in range(0, len(location.donors), size):
                rows = location.donors[start : start + size]
                yield location, rows, location.probabilities(self.features(self.profiles.take(rows)))

    def expected(self, values: Array) -> Array:
        """(donors, Q) expectation over a donor's candidates of (P, Q) values of PUMAs."""
        found = np.empty((self.donors, values.shape[1]))
        for location, rows, probability in self.by_block():
            found[rows] = probability @ values[location.pumas]
        return found


def find_candidates(
    donor: pa.Table,
    disclosed: Array,
    recipient: pa.Table,
    places: Places,
    predictors: Sequence[str],
    most_cells: int = MOST_CELLS,
) -> Candidates:
    """Find the candidate PUMAs of every donor and learn how probable each is.

    Parameters
    ----------
    donor, recipient, predictors : see `impute_puma`
    disclosed : (donors, locations) positions in the levels of `places`; -1: not disclosed
    places : with the location columns
    most_cells : see `learning_sample`

    Raises
    ------
    GeographyError
        See `impute_puma`.

    Notes
    -----
    A recipient household is a candidate of every location that its PUMA crosses, with weight x share, where
    share = W in the location / W of the PUMA and W are the concordance's weights. If only some states are covered,
    covered PUMAs have together the probability W covered / W of the location.
    """
    rows = by_household(recipient)
    home = _homes(recipient, places)[rows]
    weight = recipient["weight"].to_numpy().astype(np.float64)[rows]
    of_donor, of_recipient = profiles(donor, recipient, predictors)
    of_recipient = of_recipient.take(rows)
    features = Features.of(of_recipient, weight)
    combinations, member = np.unique(disclosed, axis=0, return_inverse=True)
    order, member = by_household(donor), member.reshape(-1)
    found = []
    for number, combination in enumerate(combinations):
        within, label = places.weights_within(combination), places.label(combination)
        candidate_weight = weight * (within / places.by_puma)[home]
        chosen = np.flatnonzero(candidate_weight)
        if not len(chosen) and places.covered.all():
            raise GeographyError(
                f"donor location {label}",
                "has no recipient household in any of its PUMAs.",
                "Say which states the recipient's files cover (`states` in fusion_pipeline/registry.yaml), or"
                " correct the donor's location.",
            )
        covered = float(within[places.covered].sum() / within.sum()) if len(chosen) else 0.0
        elsewhere = np.where(places.covered, 0, within) if covered > 0 else within
        total = elsewhere.sum()
        model = None
        if len(chosen):
            learnt = chosen[learning_sample(home[chosen], most_cells)]
            model = fit_area_model(
                features(of_recipient.take(learnt)), home[learnt], candidate_weight[learnt]
            )
        found.append(
            Location(
                label,
                order[member[order] == number],
                model,
                covered,
                elsewhere / total * (1 - covered) if total > 0 else elsewhere,
            )
        )
        _log.info(
            "candidates: location %d of %d (%s), %d donors, %d PUMAs, %d households",
            number + 1,
            len(combinations),
            label,
            len(found[-1].donors),
            len(found[-1].pumas),
            len(chosen),
        )
    return Candidates(found, of_donor, features)


def _homes(recipient: pa.Table, places: Places) -> Array:
    """Position of each recipient's PUMA; it must be in a covered state."""
    home = places.positions(recipient, "recipient")
    outside = ~places.covered[home]
    if outside.any():
        state = places.ids[home[outside][0]] // 100_000
        raise GeographyError(
            f"recipient table, state {state:02d}",
            "has households, but is not among the states said to be covered.",
            "Correct `states` of the raw file in fusion_pipeline/registry.yaml.",
        )
    return home
