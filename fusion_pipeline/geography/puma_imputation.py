"""PUMA imputation: in which PUMA does a donor household live, given the location its survey discloses?

Belongs here: candidate PUMAs and households of a disclosed location, the draw, and the locations of
recipients. Does not belong here: distances (`gower.py`), the concordance itself (`concordance.py`).

Method: Ummel et al. 2024, "Spatial predictors": a donor takes the PUMA of an ACS household within the same
disclosed location, drawn with probability proportional to similarity by Gower's distance. Unlike the
reference, all ACS households of the location are candidates, not at most 1,000 drawn without weights, and
draws are seeded.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from fusion_pipeline.errors import GeographyError
from fusion_pipeline.geography.gower import draw_similar, profiles
from fusion_pipeline.geography.places import Places, by_household, draw_by_weight, set_column
from fusion_pipeline.geography.pumas import PUMAS
from fusion_pipeline.randomness import stream
from fusion_pipeline.storage.tables import categorical

VERSION = "1"
# Donors x candidates of one location up to which every candidate is compared. The largest RECS division on
# the whole ACS has about 2.5e8, some seconds; beyond this bound candidates are subsampled by weight.
MAX_PAIRS = 2_000_000_000
Array = np.ndarray
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Located:
    """Donors with their imputed PUMA, and what the imputation did.

    `table` is the donor table in its order, with `state` and the PUMA, and with the concordance's levels in these
    and in the location columns. `report` counts donors, locations, donors drawn from the concordance's weights alone
    and locations whose candidates were subsampled, and gives the mean distance to the household drawn.
    """

    table: pa.Table
    report: dict[str, Any]


def impute_puma(
    donor: pa.Table,
    recipient: pa.Table,
    concordance: pa.Table,
    *,
    locations: Sequence[str],
    predictors: Sequence[str],
    seed: int,
    covered_states: Sequence[str] = (),
    max_pairs: int = MAX_PAIRS,
) -> Located:
    """Impute the PUMA of every donor household.

    Parameters
    ----------
    donor : table with `hid`, the location columns and the predictors
        A missing location means that it is not disclosed.
    recipient : table with `hid`, `weight`, `state`, a PUMA of the concordance's definition, and the predictors
    concordance : of `build_concordance`
    locations : columns of the donor and of the concordance
    predictors : harmonized predictors over which similarity is measured
    seed : int
    covered_states : FIPS codes of the states the recipient covers; empty: all of them.
    max_pairs : donors x candidates of a location above which candidates are subsampled

    Returns
    -------
    Located

    Raises
    ------
    GeographyError
        If a location is not in the concordance, or has no candidates although it is covered; if a recipient's
        PUMA is not in the concordance. The message names the location or the PUMA.

    Notes
    -----
    For each combination of disclosed locations, with W the concordance's weights:
    share(PUMA) = sum of W in the location / sum of W in the PUMA;
    P(candidate) proportional to weight(candidate) x share(its PUMA) / Gower distance.

    If only some states are covered, a donor is drawn from candidates with the probability that its location
    gives to covered PUMAs, sum of W covered / sum of W, and otherwise gets an uncovered PUMA by W: else all
    households of a division would move into the one state at hand.

    Each location has a random stream of its own and its donors are taken in the order of `hid`, so the order
    of rows does not matter.
    """
    places = Places.read(concordance, locations, covered_states)
    disclosed = np.empty((donor.num_rows, len(locations)), dtype=np.int64)
    for j, name in enumerate(locations):
        disclosed[:, j] = places.location_codes(donor, name)
    candidates = _Candidates.read(recipient, places)
    donor_profiles, recipient_profiles = profiles(donor, recipient, predictors)
    combinations, member = np.unique(disclosed, axis=0, return_inverse=True)
    order, member = by_household(donor), member.reshape(-1)
    puma = np.empty(donor.num_rows, dtype=np.int64)
    distance = np.full(donor.num_rows, np.nan)
    subsampled = 0
    for number, combination in enumerate(combinations):
        rows = order[member[order] == number]
        within = places.weights_within(combination)
        label = places.label(combination)
        generator = stream(seed, "puma", label)
        uniform = generator.random((len(rows), 2))
        weight, probability = candidates.weights(within, label)
        matched = uniform[:, 0] < probability
        if not matched.all():
            outside = np.where(places.covered, 0, within) if probability > 0 else within
            puma[rows[~matched]] = draw_by_weight(outside, uniform[~matched, 1])
        chosen = np.flatnonzero(weight)
        if matched.any():
            weight, limit = weight[chosen], max(1, max_pairs // int(matched.sum()))
            if len(chosen) > limit:
                subsampled += 1
                chosen, weight = chosen[_systematic_sample(weight, limit, generator)], np.ones(limit)
            drawn = draw_similar(
                donor_profiles.take(rows[matched]),
                recipient_profiles.take(candidates.rows[chosen]),
                weight,
                uniform[matched, 1],
            )
            puma[rows[matched]] = candidates.puma[chosen[drawn.candidate]]
            distance[rows[matched]] = drawn.distance
        _log.info(
            "PUMA imputation: location %d of %d (%s), %d donors, %d candidates",
            number + 1,
            len(combinations),
            label,
            len(rows),
            len(chosen),
        )
    by_weight = int(np.isnan(distance).sum())
    report = {
        "donors": donor.num_rows,
        "locations": len(combinations),
        "donors_by_concordance_weight": by_weight,
        "locations_subsampled": subsampled,
        "mean_distance": None if by_weight == donor.num_rows else round(float(np.nanmean(distance)), 4),
    }
    return Located(_with_places(donor, places, disclosed, locations, puma), report)


def locate_recipients(
    recipient: pa.Table, concordance: pa.Table, locations: Sequence[str], seed: int
) -> pa.Table:
    """Give recipients the location columns that donors disclose.

    A PUMA that lies in one location gives it to all its households. In a PUMA that is split, every household
    draws a location by the concordance's weights, all location columns together.

    Parameters
    ----------
    recipient : table with `hid`, `state`, and a PUMA of the concordance's definition
    concordance : of `build_concordance`
    locations : columns of the concordance
    seed : int
        Each split PUMA has a stream of its own, whose draws are taken in the order of `hid`.

    Raises
    ------
    GeographyError
        If a household's PUMA is not in the concordance.
    """
    names = [name for name in locations if name not in ("state", *PUMAS)]
    places = Places.read(concordance, names, ())
    if not names:
        return recipient
    puma = places.positions(recipient, "recipient")
    combinations, of_row = np.unique(places.codes, axis=0, return_inverse=True)
    of_row = of_row.reshape(-1)
    weight = np.zeros((len(places.ids), len(combinations)))
    np.add.at(weight, (places.puma, of_row), places.weight)
    location = weight.argmax(axis=1)[puma]
    order = by_household(recipient)
    order = order[np.argsort(puma[order], kind="stable")]
    starts = np.searchsorted(puma[order], np.arange(len(places.ids) + 1))
    for split in np.flatnonzero((weight > 0).sum(axis=1) > 1):
        rows = order[starts[split] : starts[split + 1]]
        uniform = stream(seed, "location", f"{places.ids[split]:07d}").random(len(rows))
        location[rows] = draw_by_weight(weight[split], uniform)
    for j, name in enumerate(names):
        column = categorical(combinations[location, j], places.levels[name])
        recipient = set_column(recipient, name, column)
    return recipient


@dataclass(frozen=True)
class _Candidates:
    """Recipient households in the order of PUMA and household."""

    rows: Array
    puma: Array
    weight: Array
    places: Places

    @classmethod
    def read(cls, recipient: pa.Table, places: Places) -> _Candidates:
        puma = places.positions(recipient, "recipient")
        outside = ~places.covered[puma]
        if outside.any():
            state = places.ids[puma[outside][0]] // 100_000
            raise GeographyError(
                f"recipient table, state {state:02d}",
                "has households, but is not among the states said to be covered.",
                "Correct `states` of the raw file in fusion_pipeline/registry.yaml.",
            )
        rows = by_household(recipient)
        rows = rows[np.argsort(puma[rows], kind="stable")]
        return cls(rows, puma[rows], recipient["weight"].to_numpy().astype(np.float64)[rows], places)

    def weights(self, within: Array, label: str) -> tuple[Array, float]:
        """Weights of all households as candidates (0: not one), and the covered share of the location."""
        places = self.places
        weight = self.weight * (within / places.by_puma)[self.puma]
        covered = float(within[places.covered].sum() / within.sum())
        if (weight > 0).any():
            return weight, covered
        if places.covered.all():
            raise GeographyError(
                f"donor location {label}",
                "has no recipient household in any of its PUMAs.",
                "Say which states the recipient's files cover (`states` in fusion_pipeline/registry.yaml), or"
                " correct the donor's location.",
            )
        return weight, 0.0


def _systematic_sample(weight: Array, size: int, generator: np.random.Generator) -> Array:
    """Positions drawn in proportion to weight, evenly spread; a heavy one may come more than once."""
    cumulated = np.cumsum(weight)
    ticks = (np.arange(size) + generator.random()) / size * cumulated[-1]
    return np.minimum(np.searchsorted(cumulated, ticks, side="right"), len(weight) - 1)


def _with_places(
    donor: pa.Table, places: Places, disclosed: Array, locations: Sequence[str], puma: Array
) -> pa.Table:
    for j, name in enumerate(locations):
        donor = set_column(donor, name, categorical(disclosed[:, j], places.levels[name]))
    state, code = np.divmod(places.ids, 100_000)
    for name, of_puma, levels in (
        ("state", state, places.state_levels),
        (places.column, code, places.puma_levels),
    ):
        position = {int(level): i for i, level in enumerate(levels)}
        codes = np.array([position[value] for value in of_puma.tolist()])
        donor = set_column(donor, name, categorical(codes[puma], levels))
    return donor
