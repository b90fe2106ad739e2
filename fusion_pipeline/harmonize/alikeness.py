"""How alike two variables of different codebooks are, by their names, words, answers and ranges.

Belongs here: the score that a draft of harmonies ranks pairs by. Does not belong here: the draft itself
(`drafting.py`).

Words are weighed by how rare they are among all variables of both codebooks (inverse document frequency; Sparck Jones
1972, Journal of Documentation 28:11-21): "number" tells little, "refrigerator" much. Words count by their stem, the
first five letters.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

_WORD = re.compile(r"[a-z]+|\d+")
_STEM = 5
# What names of surveys abbreviate, and words for one thing; each word also counts as the first of its row.
_SAME = (
    ("people", "person", "persons", "members", "member", "size", "np"),
    ("householder", "respondent", "hh", "reference"),
    ("home", "dwelling", "housing", "unit", "building", "structure", "house", "units"),
    ("tenure", "owned", "rented", "own", "rent", "ownership", "homeownership"),
    ("vehicles", "vehicle", "cars", "veh"),
    ("education", "educational", "school", "diploma", "schl", "attainment", "grade"),
    ("hispanic", "latino", "hisp", "origin", "descent"),
    ("race", "white", "black", "rac"),
    ("income", "earnings", "inc"),
    ("computer", "desktop", "laptop", "laptops", "pc", "computers"),
    ("tablet", "tablets", "handheld"),
    ("work", "worker", "workers", "employed", "employment", "job", "wrk", "hours"),
    ("age", "adults", "children", "years", "old", "aged"),
    ("range", "stove", "cooktop", "stoves"),
    ("gas", "natural"),
    ("built", "construction", "made"),
    ("moved", "move", "occupied", "occupancy"),
    ("internet", "web", "online", "access"),
    ("citizen", "citizenship", "born", "nativity"),
    ("fuel", "heating", "heat"),
)
# Words of any question, and answers to any.
_STOP = frozenset(("number", "numb", "of", "the", "in", "and", "to", "for", "any", "or", "is", "was", "by", "at",
                   "with", "per", "from", "this", "last", "all", "an", "used", "has"))  # fmt: skip
_ANY_ANSWER = frozenset({"yes", "no", "not", "none", "other"})
_UNTOLD = 0.3
"""What answers count for that tell nothing: yes and no, or levels beside numbers."""
_CANON = {word: row[0] for row in _SAME for word in row}


Ends = tuple[float | None, float | None]
"""Ends of the numbers that a variable may be."""


@dataclass(frozen=True)
class Candidate:
    """A variable of a codebook, as far as it matters here."""

    name: str
    level: str
    description: str
    labels: tuple[str, ...]
    ordered: bool
    range: Ends | None = None

    @cached_property
    def said(self) -> frozenset[str]:
        """Words of the name and the description."""
        return frozenset(words(f"{self.name} {self.description}"))

    @cached_property
    def answers(self) -> frozenset[str]:
        """Words of all levels."""
        return frozenset(word for label in self.labels for word in words(label)) - _ANY_ANSWER


def words(text: str) -> list[str]:
    """Give the stems of a text's words, those of one meaning alike."""
    found = _WORD.findall(text.casefold())
    return [_CANON.get(word, word)[:_STEM] for word in found if len(word) > 1 and word not in _STOP]


def rarity(candidates: Sequence[Candidate]) -> dict[str, float]:
    """Weigh every word by how few variables have it."""
    counts = Counter(word for c in candidates for word in c.said | c.answers)
    return {word: math.log(1 + len(candidates) / count) for word, count in counts.items()}


def alikeness(mine: Candidate, other: Candidate, weights: Mapping[str, float]) -> float:
    """How alike two variables are, 0 to 1: the words said of them and of their answers, and their kind."""
    said = overlap(mine.said, other.said, weights)
    # What one survey asks in the question the other may list among the answers.
    everything = overlap(mine.said | mine.answers, other.said | other.answers, weights)
    if mine.answers and other.answers:
        third = overlap(mine.answers, other.answers, weights)
    elif mine.labels or other.labels:
        third = _UNTOLD
    else:
        third = _alike_ranges(mine.range, other.range)
    return (3 * said + 2 * everything + 2 * third) / 7 + 0.15 * (mine.name == other.name) * (1 - said)


def overlap(ours: frozenset[str], theirs: frozenset[str], weights: Mapping[str, float]) -> float:
    """Give the cosine of two sets of words, by weight."""
    both = sum(weights.get(word, 0.0) ** 2 for word in ours & theirs)
    if not both:
        return 0.0
    sizes = (sum(weights.get(word, 0.0) ** 2 for word in side) for side in (ours, theirs))
    return both / math.sqrt(math.prod(sizes))


def _alike_ranges(
    ours: tuple[float | None, float | None] | None, theirs: tuple[float | None, float | None] | None
) -> float:
    """Numbers up to a like size are like: 1 for the same upper end, less by every power of ten; .5 if unknown."""
    if ours is None or theirs is None or not ours[1] or not theirs[1] or min(ours[1], theirs[1]) <= 0:
        return 0.5
    return max(0.0, 1 - abs(math.log10(ours[1] / theirs[1])) / 2)
