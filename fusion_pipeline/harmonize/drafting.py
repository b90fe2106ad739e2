"""A first draft of the harmonies of a new pair, from names, descriptions and levels of two codebooks.

Belongs here: the proposal and its text. A person decides: the draft is read, corrected and completed before it goes
into a harmony file. Does not belong here: what a harmony file may say (`documents.py`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher

from fusion_pipeline.surveys.codebook import Codebook

# Below this, two variables have hardly anything in common.
THRESHOLD = 0.4
_WORD = re.compile(r"[a-z]{3,}|\d+")


@dataclass(frozen=True)
class Candidate:
    """A variable of a codebook, as far as it matters here."""

    name: str
    level: str
    description: str
    labels: tuple[str, ...]
    ordered: bool


def draft(donor: Codebook, recipient: Codebook) -> str:
    """Propose a harmony file's entries.

    Every donor variable is set beside the recipient variable that is most alike by name, words of the description and
    levels (each in 0..1, weights 1:2:2); a pair below 0.4 is not proposed. Levels go with the most similar level of
    the other side, which makes groups; levels left over are marked `?` and have to be placed by hand.

    Returns
    -------
    YAML text, most similar pairs first, each with its score.
    """
    theirs = list(_candidates(recipient))
    pairs = []
    for mine in _candidates(donor):
        other = max(theirs, key=lambda candidate: alikeness(mine, candidate))
        if (score := alikeness(mine, other)) >= THRESHOLD:
            pairs.append((score, mine, other))
    pairs.sort(key=lambda item: (-item[0], item[1].name))
    head = (
        f"# Proposed by `fusion harmony draft`. Check every group, replace every ?, choose aggregators.\n"
        f"donor: {donor.survey}\nrecipient: {recipient.survey}\n"
        f"sets:\n  current:\n    {donor.vintage}: {recipient.vintage}\n\nharmonies:\n"
    )
    return head + "\n".join(_entry(*item) for item in pairs)


def alikeness(mine: Candidate, other: Candidate) -> float:
    """How alike two variables are, 0 to 1."""
    names = SequenceMatcher(None, mine.name, other.name).ratio()
    words = _overlap(mine.description, other.description)
    if bool(mine.labels) != bool(other.labels):
        return (names + 2 * words) / 5
    levels = 1.0
    if mine.labels:
        levels = sum(max(_similar(a, b) for b in other.labels) for a in mine.labels) / len(mine.labels)
    # Two numbers have no levels to compare: their words count in place of them.
    return (names + 2 * words + 2 * (levels if mine.labels else words)) / 5


def _candidates(codebook: Codebook) -> Iterator[Candidate]:
    for level, entry in (("household", codebook.households), ("person", codebook.persons)):
        for name, variable in (entry.variables if entry else {}).items():
            if variable.type != "place":
                ordered = variable.type == "ordered"
                yield Candidate(name, level, variable.description, tuple(variable.labels), ordered)


def _entry(score: float, mine: Candidate, other: Candidate) -> str:
    lines = [f"  # {score:.2f}: {mine.description} | {other.description}", f"  {mine.name}__{other.name}:"]
    if mine.labels:
        lines.append(f"    ordered: {json.dumps(mine.ordered and other.ordered)}")
    lines += [f"    donor: {_side(mine)}", f"    recipient: {_side(other)}"]
    if mine.labels:
        lines.append("    groups:")
        best = {b: max(mine.labels, key=lambda a: _similar(a, b)) for b in other.labels}
        for label in mine.labels:
            theirs = [b for b in other.labels if best[b] == label]
            text = json.dumps(theirs, ensure_ascii=False) if theirs else '"?"'
            lines.append(f"      {_quote(label)}: {{donor: {_quote(label)}, recipient: {text}}}")
    return "\n".join(lines) + "\n"


def _side(variable: Candidate) -> str:
    # The reference person is the one aggregator that is right for every kind of variable.
    return variable.name if variable.level == "household" else f"{{person: {variable.name}, agg: reference}}"


def _quote(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _similar(a: str, b: str) -> float:
    letters = SequenceMatcher(None, a.casefold(), b.casefold()).ratio()
    return max(letters, _overlap(a, b))


def _overlap(a: str, b: str) -> float:
    ours, theirs = (set(_WORD.findall(text.casefold())) for text in (a, b))
    return len(ours & theirs) / len(ours | theirs) if ours | theirs else 0.0
