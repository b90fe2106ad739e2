"""A first draft of the harmonies of a new pair, from names, descriptions and levels of two codebooks.

Belongs here: the proposal and its text. A person decides: the draft is read, corrected and completed before it goes
into a harmony file. Does not belong here: what a harmony file may say (`documents.py`).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher

from fusion_pipeline.harmonize.alikeness import Candidate, alikeness, overlap, rarity, words
from fusion_pipeline.surveys.codebook import Codebook
from fusion_pipeline.surveys.predicting import Predicted
from fusion_pipeline.surveys.variables import Derived

# Below this, two variables have hardly anything in common.
THRESHOLD = 0.2
_RUNNERS_UP = 2
_RIVALS = 2
"""As many donor variables are proposed for one of the recipient. Of what a survey asks of every member, spouse or
appliance it would be dozens, and harmonies take one, seldom two."""


@dataclass(frozen=True)
class Proposal:
    """A pair of variables that may measure the same."""

    score: float
    donor: Candidate
    recipient: Candidate
    others: tuple[Candidate, ...]
    """Recipient variables that are next most alike."""


def draft(donor: Codebook, recipient: Codebook) -> str:
    """Propose a harmony file's entries.

    Every pair has variables that are most alike (`proposals`). Levels go with the most similar level of the other
    side, which makes groups; levels left over are marked `?` and have to be placed by hand.

    Returns
    -------
    YAML text, most similar pairs first, each with its score and the next best.
    """
    head = (
        f"# Proposed by `fusion harmony draft`. Check every group, replace every ?, choose aggregators.\n"
        f"donor: {donor.survey}\nrecipient: {recipient.survey}\n"
        f"sets:\n  current:\n    {donor.vintage}: {recipient.vintage}\n\nharmonies:\n"
    )
    return head + "\n".join(_entry(proposal) for proposal in proposals(donor, recipient))


def proposals(donor: Codebook, recipient: Codebook) -> list[Proposal]:
    """Set donor variables beside the recipient variable most alike, for each of these the two best; most alike first.

    Below 0.2 none is proposed, and no location: places are not harmonized, concordances relate them.
    """
    mine, theirs = list(_candidates(donor)), list(_candidates(recipient))
    weights = rarity([*mine, *theirs])
    found = []
    for own in mine:
        ranked = sorted(theirs, key=lambda other: (-alikeness(own, other, weights), other.name))
        if (score := alikeness(own, ranked[0], weights)) >= THRESHOLD:
            found.append(Proposal(score, own, ranked[0], tuple(ranked[1 : 1 + _RUNNERS_UP])))
    found.sort(key=lambda proposal: (-proposal.score, proposal.donor.name))
    taken: Counter[tuple[str, str]] = Counter()
    best = []
    for proposal in found:
        other = proposal.recipient
        taken[other.level, other.name] += 1
        if taken[other.level, other.name] <= _RIVALS:
            best.append(proposal)
    return best


def _candidates(codebook: Codebook) -> Iterator[Candidate]:
    for level, entry in (("household", codebook.households), ("person", codebook.persons)):
        if entry is None:
            continue
        for name, variable in entry.variables.items():
            if variable.type != "place" and name not in entry.locations:
                ends = None if variable.range is None else (variable.range.low, variable.range.high)
                ordered = variable.type == "ordered"
                yield Candidate(name, level, variable.description, variable.labels, ordered, ends)
        others: dict[str, Derived | Predicted] = {**entry.derived, **entry.predicted}
        for name, made in others.items():
            yield Candidate(name, level, made.description, tuple(made.labels), made.type == "ordered")


def _entry(proposal: Proposal) -> str:
    mine, other = proposal.donor, proposal.recipient
    lines = [
        f"  # {proposal.score:.2f}: {mine.description} | {other.description}",
        *(f"  #   or {one.name}: {one.description}" for one in proposal.others),
        f"  {mine.name}__{other.name}:",
    ]
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
    ours, theirs = frozenset(words(a)), frozenset(words(b))
    return max(letters, overlap(ours, theirs, dict.fromkeys(ours | theirs, 1.0)))
