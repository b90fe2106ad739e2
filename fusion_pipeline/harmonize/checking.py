"""Harmonies held against codebooks: does every level have a group, and does every group's level exist?

Belongs here: what is wrong between a harmony and the codebooks of its two surveys, as findings a person can act on.
Does not belong here: rules that a harmony keeps by itself (`definitions.py`, `documents.py`), values met in tables
(`recoding.py`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal, NamedTuple

from fusion_pipeline.harmonize.definitions import (
    Entry,
    Harmony,
    KnownDefect,
    Side,
    Survey,
    bin_edges,
    matches,
)
from fusion_pipeline.surveys.codebook import FOLDER as CODEBOOKS
from fusion_pipeline.surveys.codebook import Codebook, load_codebook
from fusion_pipeline.surveys.derive import check_expression
from fusion_pipeline.surveys.variables import Derived, Span, Summary, Variable

Role = Literal["donor", "recipient"]


@dataclass(frozen=True)
class Finding:
    """Something wrong between a harmony and a codebook.

    Attributes
    ----------
    where : pair, harmony and side
    what : what was found
    remedy : what to do about it
    fatal : whether harmonization would stop; otherwise the harmony is left out, or there is nothing to compare with
    known : whether the harmony file lists it as a defect of published definitions, with its reason as remedy
    """

    where: str
    what: str
    remedy: str
    fatal: bool = True
    known: bool = False

    def __str__(self) -> str:
        return f"{self.where}: {self.what} {self.remedy}"


def codebook_of(survey: Survey) -> Codebook | None:
    """Codebook of a survey vintage, if there is one."""
    return load_codebook(survey.codebook) if (CODEBOOKS / f"{survey.codebook}.yaml").is_file() else None


def check(harmony: Harmony) -> list[Finding]:
    """Hold all harmonies of a pair against the codebooks there are.

    Returns
    -------
    list of Finding
        Levels without a group, levels of a group that the codebook lacks, groups out of order, expressions that
        cannot be evaluated, variables that the codebook lacks; or that there is no codebook. What the harmony file
        lists as a known defect is not fatal; a defect that it lists and nobody finds is.
    """
    found = []
    excused: set[KnownDefect] = set()
    roles: tuple[Role, ...] = ("donor", "recipient")
    for role in roles:
        survey: Survey = getattr(harmony, role)
        codebook = codebook_of(survey)
        if codebook is None:
            name = f"{survey.survey} {survey.vintage}"
            found.append(
                Finding(f"{harmony.name}, {role}", f"{name} has no codebook.", "Nothing was compared.", False)
            )
            continue
        variables = {level: _described(codebook, level) for level in ("household", "person")}
        for name, entry in harmony.entries.items():
            side: Side = getattr(entry, role)
            place = f"{harmony.name} / {name}, {role}"
            for finding in _check_side(entry, side, variables[side.level], place, harmony.file):
                defect = next(
                    (d for d in harmony.defects if d.harmony == name and matches(finding.what, d.what)), None
                )
                if defect is not None:
                    excused.add(defect)
                    finding = replace(finding, remedy=defect.why, fatal=False, known=True)
                found.append(finding)
    for defect in harmony.defects:
        if defect not in excused:
            found.append(
                Finding(
                    f"{harmony.name} / {defect.harmony}",
                    f"the known defect {defect.what!r} is not found.",
                    f"Take it from `defects` in {harmony.file}.",
                )
            )
    return found


class Described(NamedTuple):
    """What a codebook says of a variable."""

    levels: tuple[str, ...] = ()
    """None for a number."""
    ordered: bool = False
    range: Span | None = None
    """Of a number as it is stored, what stands for a skip included; None if the codebook tells none."""


def _described(codebook: Codebook, level: str) -> dict[str, Described]:
    entry = codebook.households if level == "household" else codebook.persons
    if entry is None:
        return {}
    found = {name: Described() for name in ("hid", "pid", "year")}
    for name, variable in entry.everything.items():
        found[name] = Described(tuple(variable.labels), variable.type == "ordered", _range(variable))
    return found


def _range(variable: Variable | Derived | Summary) -> Span | None:
    if not isinstance(variable, Variable) or variable.range is None or variable.adjust is not None:
        return None
    skip = () if variable.not_applicable is None else (float(variable.not_applicable),)
    low, high = variable.range.low, variable.range.high
    return Span(
        low=low if low is None else min((low, *skip, *variable.values.values())),
        high=high if high is None else max((high, *skip, *variable.values.values())),
    )


def _check_side(
    entry: Entry, side: Side, variables: Mapping[str, Described], place: str, file: str
) -> Iterator[Finding]:
    edit = f"Correct {file}."
    if absent := [name for name in side.columns if name not in variables]:
        yield Finding(
            place,
            f"the codebook has no {side.level} variable {absent[0]}.",
            "The harmony is left out until the codebook has it.",
            fatal=False,
        )
        return
    if expression := side.count or side.expr:
        try:
            check_expression(expression, {name: variable.levels for name, variable in variables.items()})
        except ValueError as error:
            yield Finding(place, f"{expression!r} cannot be evaluated: {error}.", edit)
        if side.count:
            return
    levels, ordered, span = variables[side.var]
    if side.map is None:
        if levels and not side.expr:
            yield Finding(place, f"{side.var} has levels, but the harmony takes numbers.", "Map its levels.")
        yield from _check_intervals(entry, side, None if side.expr else span, place, edit)
        return
    if not levels:
        yield Finding(
            place, f"{side.var} is a number, but the harmony maps levels.", "Give its groups intervals."
        )
        return
    groups = side.groups_of(levels)
    for level in levels:
        if level not in groups:
            yield Finding(place, f"level {level!r} of {side.var} has no group.", f"Add it to one in {file}.")
    for label in (label for members in side.map.values() for label in members):
        if not any(matches(level, label) for level in levels):
            yield Finding(
                place,
                f"level {label!r} of {side.var} is not in the codebook.",
                "Correct its wording, or the range of vintages that have it.",
            )
    if entry.ordered and ordered:
        positions = [[levels.index(level) for level in groups if groups[level] == g] for g in side.groups]
        yield from _check_order(entry, [(min(p), max(p)) for p in positions if p], place, edit)


def _check_intervals(entry: Entry, side: Side, span: Span | None, place: str, edit: str) -> Iterator[Finding]:
    edges = bin_edges(side.bins or {})
    if edges and span is not None:
        low, high = edges[0][0], edges[-1][1]
        # A range without an end is open there.
        if low > (-math.inf if span.low is None else span.low):
            yield Finding(place, f"numbers below {low:g} are in no group; the codebook has {span}.", edit)
        if high <= (math.inf if span.high is None else span.high) and high < math.inf:
            yield Finding(place, f"numbers from {high:g} are in no group; the codebook has {span}.", edit)
    for (_, high, first), (low, _, second) in pairwise(edges):
        if high < low:
            names = (entry.names[first - 1], entry.names[second - 1])
            yield Finding(place, f"numbers from {high:g} to {low:g} are in no group ({names}).", edit)
    if entry.ordered and edges:
        spans = [[(low, high) for low, high, group in edges if group == g] for g in side.groups]
        yield from _check_order(entry, [(s[0][0], s[-1][1]) for s in spans], place, edit, touching=True)


def _check_order(
    entry: Entry, spans: list[tuple[float, float]], place: str, edit: str, *, touching: bool = False
) -> Iterator[Finding]:
    """Groups have to follow each other, upwards or downwards."""

    def follows(a: tuple[float, float], b: tuple[float, float]) -> bool:
        return a[1] <= b[0] if touching else a[1] < b[0]

    upwards = all(follows(a, b) for a, b in pairwise(spans))
    downwards = all(follows(b, a) for a, b in pairwise(spans))
    if not upwards and not downwards:
        yield Finding(
            place,
            f"the groups are ordered, but their levels are not ({' < '.join(entry.names)}).",
            f"Put them in order, or declare ordered: false. {edit}",
        )
