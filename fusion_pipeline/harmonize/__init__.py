"""Harmonization: donor and recipient variables brought to common predictors.

Belongs here: how harmonies are written (`documents.py`, `vintages.py`), read (`loading.py`) and are (`definitions.py`),
applying them to a survey's tables (`tables.py`, with `recoding.py` and `aggregation.py`) and to a pair's
(`pairs.py`), comparing the two sides (`similarity.py`, `side_by_side.py`),
what recoding loses (`information.py`), holding them against codebooks (`checking.py`).
Does not belong here: the harmonies themselves (`fusion_pipeline/harmonies/`).

Method: Ummel et al. 2024: similar variables of the donor and of the ACS are recoded until both measure the
same concept in the same levels; only these predict in both surveys.
"""

from fusion_pipeline.harmonize.definitions import Entry, Harmony, Side
from fusion_pipeline.harmonize.information import information_kept
from fusion_pipeline.harmonize.loading import load_harmonies
from fusion_pipeline.harmonize.pairs import harmonize_pair, pair_harmonies
from fusion_pipeline.harmonize.side_by_side import least_alike, side_by_side
from fusion_pipeline.harmonize.similarity import SIMILARITY_THRESHOLD, similarity
from fusion_pipeline.harmonize.tables import (
    DONOR_KEYS,
    RECIPIENT_KEYS,
    Harmonized,
    common,
    harmonize_donor,
    harmonize_recipient,
)

VERSION = "4"

__all__ = [
    "DONOR_KEYS",
    "RECIPIENT_KEYS",
    "SIMILARITY_THRESHOLD",
    "VERSION",
    "Entry",
    "Harmonized",
    "Harmony",
    "Side",
    "common",
    "harmonize_donor",
    "harmonize_pair",
    "harmonize_recipient",
    "information_kept",
    "least_alike",
    "load_harmonies",
    "pair_harmonies",
    "side_by_side",
    "similarity",
]
