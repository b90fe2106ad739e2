"""How codebooks describe the variables of a fusion pair, for titles, axes and the columns of fused tables.

Belongs here: looking descriptions and units up. Does not belong here: codebooks (`surveys/codebook.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

from fusion_pipeline.registry import load_registry
from fusion_pipeline.surveys.codebook import load_codebook

_IDENTIFIERS = {
    "year": "Year of the recipient's interview",
    "hid": "Household of the recipient; with the year, the key of acs/households",
}


@dataclass(frozen=True)
class Words:
    """How a codebook describes a variable."""

    description: str
    unit: str


def words_of(pair: str) -> dict[str, Words]:
    """Describe every variable of a pair's donors."""
    registry = load_registry()
    words: dict[str, Words] = {}
    for donor in registry.pair(pair).donors:
        entry = load_codebook(registry.donor(donor).codebook).households
        words |= {name: Words(v.description, v.unit or "") for name, v in entry.everything.items()}
    return words


def columns_of(pair: str) -> dict[str, str]:
    """Say what every column of a pair's implicates is: of a fusion variable the description and, if any, the unit."""
    told = {
        name: f"{w.description} ({w.unit})" if w.unit else w.description for name, w in words_of(pair).items()
    }
    return _IDENTIFIERS | told
