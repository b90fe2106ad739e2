"""PUMA imputation: in which PUMA does a donor household live, given the location its survey discloses?

Belongs here: the draws, and the locations of recipients. Does not belong here: candidates and their probabilities
(`candidates.py`), what fusion variables tell of place (`area_effects.py`), the concordance (`concordance.py`).

The reference (Ummel et al. 2024, "Spatial predictors") draws the PUMA of one ACS household by Gower's distance. Here a
donor's PUMA is drawn with its probability given disclosed location, predictors and fusion variables, and several times:
`docs/geography.md` says why, and what each of these is worth.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from fusion_pipeline.geography.area_effects import AreaEffects, components, fit_area_effects
from fusion_pipeline.geography.candidates import Candidates, find_candidates
from fusion_pipeline.geography.concordance import find_pumas
from fusion_pipeline.geography.evidence import signals
from fusion_pipeline.geography.places import Places, by_household, draw_by_weight, set_column
from fusion_pipeline.geography.predictors import MARK
from fusion_pipeline.geography.pumas import PUMAS
from fusion_pipeline.randomness import stream
from fusion_pipeline.storage.tables import categorical

VERSION = "2"
DRAWS = 5
"""Most PUMAs drawn for a household unless more are asked for: ten are no better (`docs/geography.md`)."""
ROWS = 40_000
"""Of a training table, from which more draws are not worth their time: many donors average over places too."""
Array = np.ndarray
_log = logging.getLogger(__name__)


def draws_for(donors: int) -> int:
    """How many PUMAs to draw for each of so many donor households."""
    return max(1, min(DRAWS, ROWS // max(donors, 1)))


@dataclass(frozen=True)
class Evidence:
    """What tells of a donor's place beyond its predictors.

    Attributes
    ----------
    values : fusion variables of the donors, in their order
    places : what is known of every PUMA, a row each: `state`, its PUMA column, and spatial predictors
    """

    values: pa.Table
    places: pa.Table


@dataclass(frozen=True)
class Located:
    """Donors with their imputed PUMA, and what the imputation did.

    `table` is the donor table in its order, with `state` and the PUMA of the first draw, and with the concordance's
    levels in these and in the location columns. `draws` has the other draws: `survey` if donors have it, `hid`, `draw`
    from 2, `state` and PUMA. `report` counts donors, locations, and donors placed by housing units alone because the
    recipient does not cover the PUMA; `candidates` is among how many equally probable PUMAs a donor is placed,
    exp(entropy), on average, from predictors and from all that is known; `explained` is the share of the residual
    variance of each fusion variable that place explains.
    """

    table: pa.Table
    draws: pa.Table
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
    draws: int = 1,
    evidence: Evidence | None = None,
) -> Located:
    """Impute the PUMA of every donor household.

    Parameters
    ----------
    donor : table with `hid`, `weight`, the location columns and the predictors
        A missing location means that it is not disclosed.
    recipient : table with `hid`, `weight`, `state`, a PUMA of the concordance's definition, and the predictors
    concordance : of `build_concordance`
    locations : columns of the donor and of the concordance
    predictors : harmonized predictors
    seed : int
    covered_states : FIPS codes of the states the recipient covers; empty: all of them.
    draws : PUMAs drawn for each donor
    evidence : fusion variables; without them PUMAs are drawn from location and predictors

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
    P(PUMA) is proportional to P(PUMA | predictors, location), a multinomial logit learned from the recipients in each
    combination of disclosed locations, times the likelihood of the fusion variables there.

    If only some states are covered, a donor is in a covered PUMA with the probability that its location gives to these,
    sum of W covered / sum of W, before its fusion variables are looked at, and else in an uncovered PUMA by W: else all
    households of a division would move into the one state at hand.

    Draws of a donor are (u + j / draws) mod 1 for one uniform number u: each has the right distribution, and together
    they spread over it. Each location has a random stream of its own and its donors are taken in the order of `hid`, so
    the order of rows does not matter.
    """
    places = Places.read(concordance, locations, covered_states)
    disclosed = places.combinations(donor)
    candidates = find_candidates(donor, disclosed, recipient, places, predictors)
    effects = None if evidence is None else _learn_effects(candidates, donor, places, evidence)
    puma, chosen_among = draw_pumas(candidates, seed, draws, effects)
    report: dict[str, Any] = {
        "donors": donor.num_rows,
        "locations": len(candidates.locations),
        "draws": draws,
        "donors_by_concordance_weight": int((~places.covered[puma[:, 0]]).sum()),
        "candidates": {name: round(float(mean), 1) for name, mean in chosen_among.items()},
    }
    if effects is not None:
        report["explained"] = {e.signal.name: round(e.explained, 4) for e in effects.effects}
    table = _with_puma(donor, places, puma[:, 0])
    for j, name in enumerate(locations):
        table = set_column(table, name, categorical(disclosed[:, j], places.levels[name]))
    return Located(table, _other_draws(donor, places, puma), report)


def _learn_effects(
    candidates: Candidates, donor: pa.Table, places: Places, evidence: Evidence
) -> AreaEffects:
    """Learn how PUMAs shift the fusion variables of donors. See `fit_area_effects`."""
    of_place = components(known_of_places(evidence.places, places).to_numpy(), places.by_puma)
    # Sums are taken in the order of households.
    order = by_household(donor)
    found = fit_area_effects(
        signals(evidence.values.take(pa.array(order))),
        candidates.features(candidates.profiles.take(order)),
        candidates.expected(of_place)[order],
        of_place,
        donor["weight"].to_numpy().astype(np.float64)[order],
    )
    return found.take(np.argsort(order))


def known_of_places(table: pa.Table, places: Places) -> pd.DataFrame:
    """Spatial predictors of a table by PUMA, a row a PUMA of `places`; NaN where the table has it not."""
    names = [name for name in table.column_names if MARK in name]
    rows = find_pumas(places.ids, places.column, table, "spatial predictors")
    known = np.full((len(places.ids), len(names)), np.nan)
    for j, name in enumerate(names):
        known[rows, j] = table[name].cast(pa.float64()).to_numpy()
    return pd.DataFrame(known, columns=names)


def draw_pumas(
    candidates: Candidates, seed: int, draws: int, effects: AreaEffects | None = None
) -> tuple[Array, dict[str, float]]:
    """Draw the PUMAs of all donors.

    Returns
    -------
    (donors, draws) positions of PUMAs, and the mean number of equally probable candidates, exp(entropy): `predictors`,
    and `all` if there are effects.
    """
    puma = np.empty((candidates.donors, draws), dtype=np.int64)
    among = {"predictors": 0.0} | ({} if effects is None else {"all": 0.0})
    uniform = np.empty(candidates.donors)
    for location in candidates.locations:
        uniform[location.donors] = stream(seed, "puma", location.label).random(len(location.donors))
    for location, rows, probability in candidates.by_block():
        among["predictors"] += _equally_probable(probability)
        if effects is not None:
            probability = _updated(probability, effects.log_likelihood(rows, location.pumas))
            among["all"] += _equally_probable(probability)
        cumulated = np.cumsum(probability, axis=1)
        for j in range(draws):
            target = (uniform[rows] + j / draws) % 1 * cumulated[:, -1]
            chosen = (cumulated <= target[:, None]).sum(axis=1)
            puma[rows, j] = location.pumas[np.minimum(chosen, len(location.pumas) - 1)]
    return puma, {name: total / max(candidates.donors, 1) for name, total in among.items()}


def _updated(probability: Array, log_likelihood: Array) -> Array:
    log_likelihood = np.where(probability > 0, log_likelihood, -np.inf)
    updated = probability * np.exp(log_likelihood - log_likelihood.max(axis=1, keepdims=True))
    return updated / updated.sum(axis=1, keepdims=True)


def _equally_probable(probability: Array) -> float:
    from scipy.special import xlogy

    return float(np.exp(-xlogy(probability, probability).sum(axis=1)).sum())


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


def _with_puma(table: pa.Table, places: Places, puma: Array) -> pa.Table:
    """Set state and PUMA, with the concordance's levels."""
    state, code = np.divmod(places.ids, 100_000)
    for name, of_puma, levels in (
        ("state", state, places.state_levels),
        (places.column, code, places.puma_levels),
    ):
        position = {int(level): i for i, level in enumerate(levels)}
        codes = np.array([position[value] for value in of_puma.tolist()])
        table = set_column(table, name, categorical(codes[puma], levels))
    return table


def _other_draws(donor: pa.Table, places: Places, puma: Array) -> pa.Table:
    """All draws but the first, one below the other."""
    keys = donor.select([name for name in ("survey", "hid") if name in donor.column_names])
    others = range(1, puma.shape[1])
    repeated = keys.take(pa.array(np.tile(np.arange(donor.num_rows), len(others))))
    draw = np.repeat(np.arange(2, puma.shape[1] + 1, dtype=np.int16), donor.num_rows)
    return _with_puma(repeated.append_column("draw", pa.array(draw)), places, puma[:, 1:].T.reshape(-1))
