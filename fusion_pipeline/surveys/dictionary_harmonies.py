"""The harmonies on a dictionary page: both sides of each pair of variables, once for all vintages that have it.

Belongs here: laying harmonies out as a table that the page's search finds. Does not belong here: the page
(`dictionary_page.py`), the harmonies themselves (`harmonize/`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

from fusion_pipeline.harmonize.definitions import Entry, Harmony, Interval, Side, Survey
from fusion_pipeline.text import as_text

Words = Mapping[str, Mapping[str, str]]
"""Survey and vintage, such as `RECS 2015`: variable: description."""


@dataclass
class _Pair:
    """One harmony, and the pairs of vintages that have it just so."""

    name: str
    entry: Entry
    of: list[tuple[Survey, Survey]] = field(default_factory=list)


def harmony_sections(harmonies: Sequence[Harmony], words: Words) -> list[str]:
    """Lay harmonies out, a section for each two surveys; what is the same in several vintages is shown once.

    Parameters
    ----------
    harmonies : of one donor with several recipients, or of one recipient with several donors
    words : what the variables of both sides are
    """
    together: dict[tuple[str, str], list[Harmony]] = {}
    for harmony in harmonies:
        together.setdefault((harmony.donor.survey, harmony.recipient.survey), []).append(harmony)
    return [_section(several, words) for several in together.values()]


def _section(harmonies: Sequence[Harmony], words: Words) -> str:
    donor, recipient = (_together([side(harmony) for harmony in harmonies]) for side in (_donor, _recipient))
    lines = "\n".join(_rows(pair, harmonies, words) for pair in _pairs(harmonies))
    return (
        f"<section>\n<h2>{escape(donor)} and {escape(recipient)} in common</h2>\n"
        f'<table class="harmonies">\n<thead><tr><th></th><th>{escape(donor)}</th><th>{escape(recipient)}</th></tr>'
        f"</thead>\n<tbody>\n{lines}\n</tbody>\n</table>\n</section>"
    )


def _donor(harmony: Harmony) -> Survey:
    return harmony.donor


def _recipient(harmony: Harmony) -> Survey:
    return harmony.recipient


def _together(sides: Sequence[Survey]) -> str:
    return f"{sides[0].survey} {', '.join(dict.fromkeys(side.vintage for side in sides))}"


def _pairs(harmonies: Sequence[Harmony]) -> list[_Pair]:
    found: dict[tuple[str, str], _Pair] = {}
    for harmony in harmonies:
        for name, entry in harmony.entries.items():
            pair = found.setdefault((name, entry.model_dump_json()), _Pair(name, entry))
            if (sides := (harmony.donor, harmony.recipient)) not in pair.of:
                pair.of.append(sides)
    return sorted(found.values(), key=lambda pair: pair.name)


def _rows(pair: _Pair, harmonies: Sequence[Harmony], words: Words) -> str:
    sides, described = (pair.entry.donor, pair.entry.recipient), []
    for position, side in enumerate(sides):
        says = (words.get(vintages[position].label, {}).get(side.var) for vintages in pair.of)
        described.append(next((text for text in says if text), ""))
    years = _only(pair.of, harmonies)
    head = [
        f'<span class="raw">{escape(years)}</span>' if years else "",
        *(_head(side, text) for side, text in zip(sides, described, strict=True)),
    ]
    groups = list(dict.fromkeys(number for side in sides for number in side.groups))
    rows = [[escape(pair.entry.names[g - 1]), *(escape(_group(side, g)) for side in sides)] for g in groups]
    levels = [_group(side, group) for side in sides for group in groups]
    names = [side.var for side in sides]
    # All rows of a harmony are found by the same words, so that a hit shows its whole.
    text = " ".join([pair.name, *names, *described, *pair.entry.names, *levels]).lower()
    opening = f'data-kind="pair" data-text="{escape(text, quote=True)}"'
    lines = [f'<tr class="head" {opening}>', *[f"<tr {opening}>"] * len(rows)]
    return "\n".join(
        f"{line}{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
        for line, cells in zip(lines, [head, *rows], strict=True)
    )


def _only(of: Sequence[tuple[Survey, Survey]], harmonies: Sequence[Harmony]) -> str:
    """Name the vintages that have a harmony, of the side in which those shown differ; nothing if all have it."""
    everywhere = {(harmony.donor.vintage, harmony.recipient.vintage) for harmony in harmonies}
    if len(of) == len(everywhere):
        return ""
    donors, recipients = ([sides[i] for sides in of] for i in (0, 1))
    return _together(donors if len({vintage for _, vintage in everywhere}) == 1 else recipients)


def _head(side: Side, described: str) -> str:
    said = f'<span class="universe">{escape(described)}</span>' if described else ""
    return f"<code>{escape(side.var)}</code>{said}{_made(side)}"


def _made(side: Side) -> str:
    parts = [side.expr or "", f"{side.agg} of persons" if side.agg else ""]
    said = ", ".join(part for part in parts if part)
    return f'<span class="raw">{escape(said)}</span>' if said else ""


def _group(side: Side, group: int) -> str:
    if side.map is not None:
        return "; ".join(side.map.get(group, ()))
    return ", ".join(_interval(interval) for interval in (side.bins or {}).get(group, ()))


def _interval(interval: Interval) -> str:
    low, high = interval
    if low is None:
        return f"below {as_text(high)}"
    return f"{as_text(low)} or more" if high is None else f"{as_text(low)} to under {as_text(high)}"
