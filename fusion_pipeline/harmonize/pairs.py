"""A fusion pair's two sides, harmonized together: pooled donors, one recipient, the predictors both have.

Belongs here: pooling several survey-years of a donor. Does not belong here: one side (`tables.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from fusion_pipeline.harmonize.definitions import Harmony
from fusion_pipeline.harmonize.tables import (
    DONOR_KEYS,
    Harmonized,
    common,
    harmonize_donor,
    harmonize_recipient,
)
from fusion_pipeline.storage.tables import TableRef, categorical


@dataclass(frozen=True)
class HarmonizedPair:
    """Donor and recipient tables with the same predictors, and the harmonies left out, by name, with why."""

    donor: pa.Table
    recipient: pa.Table
    predictors: tuple[str, ...]
    skipped: dict[str, str]


def harmonize_pair(
    donors: Mapping[str, TableRef],
    households: TableRef,
    persons: TableRef,
    harmony: Harmony,
    *,
    locations: Sequence[str] = (),
) -> HarmonizedPair:
    """Harmonize a fusion pair.

    Parameters
    ----------
    donors : survey-year -> standardized households; several are pooled, told apart by the column `survey`
    households, persons : the recipient's standardized microdata
    harmony : the pair's harmonies
    locations : disclosed location columns of the donor, which are kept

    Raises
    ------
    HarmonyError
        If a value has no group, or the sides have no predictor in common.
    """
    surveys = list(donors)
    sides = [harmonize_donor(ref, harmony, keep=(*DONOR_KEYS, *locations)) for ref in donors.values()]
    shared = [name for name in sides[0].predictors if all(name in side.predictors for side in sides)]
    tables = []
    for position, side in enumerate(sides):
        survey = categorical(np.full(side.table.num_rows, position), surveys)
        kept = side.table.select([*DONOR_KEYS, *locations, *shared])
        tables.append(kept.add_column(0, "survey", survey))
    pooled = Harmonized(
        pa.concat_tables(tables).unify_dictionaries(),
        {name: reason for side in sides for name, reason in side.skipped.items()},
        tuple(shared),
    )
    donor, recipient, skipped = common(pooled, harmonize_recipient(households, persons, harmony))
    return HarmonizedPair(donor, recipient, tuple(n for n in shared if n in recipient.column_names), skipped)
