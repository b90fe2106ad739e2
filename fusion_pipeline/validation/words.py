"""How codebooks describe the variables of a fusion pair, for titles and axes.

Belongs here: looking descriptions and units up. Does not belong here: codebooks (`surveys/codebook.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

from fusion_pipeline.registry import load_registry
from fusion_pipeline.surveys.codebook import load_codebook


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
