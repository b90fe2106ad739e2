"""A fusion pair's two sides, harmonized together: pooled donors, one recipient, the predictors both have.

Belongs here: which harmonies a pair has, and pooling several survey-years of a donor. Does not belong here: one
side (`tables.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pyarrow as pa

from fusion_pipeline.errors import HarmonyError
from fusion_pipeline.harmonize.definitions import Entry, Harmony
from fusion_pipeline.harmonize.loading import load_harmonies
from fusion_pipeline.harmonize.tables import (
    DONOR_KEYS,
    Harmonized,
    common,
    harmonize_donor,
    harmonize_recipient,
    names_of,
)
from fusion_pipeline.registry import FusionPair, Registry
from fusion_pipeline.storage.tables import TableRef, categorical

Microdata: TypeAlias = pa.Table | TableRef


@dataclass(frozen=True)
class HarmonizedPair:
    """Donor and recipient tables with the same predictors, and the harmonies left out, by name, with why."""

    donor: pa.Table
    recipient: pa.Table
    predictors: tuple[str, ...]
    skipped: dict[str, str]


def pair_harmonies(pair: FusionPair, registry: Registry) -> dict[str, Harmony]:
    """Harmonies of a fusion pair, by donor survey-year.

    Raises
    ------
    RegistryError
        If a donor survey has no harmony file, or none for these vintages.
    """
    recipient = registry.recipients[pair.recipient]
    donors = {key: registry.donor(key) for key in pair.donors}
    return {
        key: load_harmonies(donor.survey, donor.vintage, recipient.vintage, pair.harmony_set)
        for key, donor in donors.items()
    }


def poolable(harmonies: Mapping[str, Harmony]) -> tuple[dict[str, Entry], dict[str, str]]:
    """Harmonies that all survey-years of a pooled donor have in the same groups, and the others with why not."""
    first, *others = harmonies.values()
    kept, left_out = {}, {}
    for name, entry in first.entries.items():
        for other in others:
            there = other.entries.get(name)
            if there is None:
                left_out[name] = f"{other.name} has no such harmony"
            elif there.names != entry.names or there.recipient != entry.recipient:
                left_out[name] = f"{first.name} and {other.name} differ in groups or in the recipient's side"
        if name not in left_out:
            kept[name] = entry
    return kept, left_out


def harmonize_pair(
    donors: Mapping[str, Microdata],
    households: Microdata,
    persons: Microdata,
    harmonies: Mapping[str, Harmony],
    *,
    donor_persons: Mapping[str, Microdata] | None = None,
    locations: Sequence[str] = (),
) -> HarmonizedPair:
    """Harmonize a fusion pair.

    Parameters
    ----------
    donors : survey-year -> standardized households; several are pooled, told apart by the column `survey`
    households, persons : the recipient's standardized microdata
    harmonies : survey-year -> its harmonies with the recipient
    donor_persons : survey-year -> standardized persons, of those surveys that have them
    locations : disclosed location columns of the donor, which are kept

    Raises
    ------
    HarmonyError
        If a value has no group, a donor has not a location, or the sides have no predictor in common.
    """
    surveys, members = list(donors), donor_persons or {}
    entries, left_out = poolable({key: harmonies[key] for key in surveys})
    sides = []
    for key, table in donors.items():
        if absent := [name for name in locations if name not in names_of(table)]:
            raise HarmonyError(
                f"{key}, households",
                f"have no column {', '.join(absent)}, by which the pair's `locations` in the registry place donors.",
                "Bring a raw file that has what the codebook makes it of, or take it out of `locations`.",
            )
        own = {name: harmonies[key].entries[name] for name in entries}
        harmony = harmonies[key].model_copy(update={"entries": own})
        sides.append(harmonize_donor(table, harmony, members.get(key), keep=(*DONOR_KEYS, *locations)))
    shared = [name for name in sides[0].predictors if all(name in side.predictors for side in sides)]
    tables = []
    for position, side in enumerate(sides):
        survey = categorical(np.full(side.table.num_rows, position), surveys)
        kept = side.table.select([*DONOR_KEYS, *locations, *shared])
        tables.append(kept.add_column(0, "survey", survey))
    pooled = Harmonized(
        pa.concat_tables(tables).unify_dictionaries(),
        left_out | {name: reason for side in sides for name, reason in side.skipped.items()},
        tuple(shared),
    )
    first = harmonies[surveys[0]].model_copy(update={"entries": entries})
    donor, recipient, skipped = common(pooled, harmonize_recipient(households, persons, first))
    return HarmonizedPair(donor, recipient, tuple(n for n in shared if n in recipient.column_names), skipped)
