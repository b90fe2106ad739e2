"""Our harmonies against the published ones: every level and interval of 35 files, and of the paper's 5.

A published group is compared with ours by what it holds: numbers of unordered groups mean nothing, and an order
may be told from either end. What differs on purpose is in `published_differences.yaml`, with its reason; a difference
that is not listed fails, and so does a listed one that is gone.
"""

import hashlib
import os
import re
from collections import Counter, defaultdict
from itertools import chain, pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import yaml

from fusion_pipeline.harmonize import Entry, Side, load_harmonies
from fusion_pipeline.harmonize.definitions import matches
from fusion_pipeline.harmonize.recoding import Place, recode
from fusion_pipeline.storage.tables import categorical

pytestmark = pytest.mark.realdata
FOLDER = Path(os.environ.get("FUSION_SHARED", Path(__file__).parents[3] / "shared")) / "harmonies"
NAME = re.compile(r"(RECS|NHTS|AHS|CEI)_([\d-]+)__ACS_(\d+)")
DIFFERENCES = yaml.safe_load(Path(__file__).with_name("published_differences.yaml").read_text())
INFINITE = 10.0**9


def published():
    current = sorted(chain(FOLDER.glob("*.yaml"), FOLDER.glob("other/*.yaml")))
    paper = sorted(FOLDER.glob("paper_2023-04/*.yaml"))
    for harmony_set, paths in (("current", current), ("paper", paper)):
        for path in paths:
            if match := NAME.fullmatch(path.stem):
                yield harmony_set, match.groups(), yaml.safe_load(path.read_text())["harmonies"]


def assignments(side):
    """Every level and interval of a published side, with its group."""
    for group, levels in side.get("map", {}).items():
        for level in levels:
            yield level, group
    for group, intervals in side.get("bins", {}).items():
        for low, high in intervals:
            yield (low, high), group


def ours(side: Side, published_side: dict, levels: dict, part) -> float | None:
    """Our group of a published level or interval; None if we have none, or one interval falls into several."""
    if isinstance(part, str):
        return levels.get(part)
    low, high = part
    probes = [INFINITE if high is None else np.nextafter(high, -np.inf), -INFINITE if low is None else low]
    if re.search(r"\d{4} - ", side.expr or ""):
        # Years before a year: whole numbers, as the answers are.
        probes = [3000 if high is None else high - 1, 1000 if low is None else low]
    found = set(_recoded(side, published_side, probes))
    return found.pop() if len(found) == 1 else None


def _recoded(side: Side, published_side: dict, probes: list[float]) -> list[float]:
    """Groups of numbers, with a sex that the condition counts, and without what an expression adds.

    Whether the expression itself differs is told apart from the groups.
    """
    levels = re.findall(r'== "([^"]+)"', side.count or "")
    same = same_expression(published_side.get("expr"), side.expr)
    ours_alone = published_side.get("expr") is None and re.search(r" else \w+$|lookup", side.expr or "")
    side = side.model_copy(update={"expr": None}) if side.expr and (same or ours_alone) else side
    columns = {
        name: pa.chunked_array(
            [
                categorical(np.zeros(len(probes), dtype=int), levels)
                if name == "sex"
                else pa.array(probes, pa.float64())
            ]
        )
        for name in side.columns
    }
    return list(recode(columns, side, Place("", "", "", "")))


def same_expression(theirs: str | None, mine: str | None) -> bool:
    """Whether an R expression and ours say the same."""
    if theirs is None or mine is None:
        return theirs is mine
    choice = re.fullmatch(r"ifelse\((\w+) == \(?['\"](.*)['\"]\)?, ?(\w+), ?(\w+)\)", theirs)
    if choice:
        theirs = f'{choice[3]} if {choice[1]} == "{choice[2]}" else {choice[4]}'
    return theirs == mine


def held(side: Side) -> set:
    """Levels of a side, without patterns, and its intervals."""
    levels = {level for group in (side.map or {}).values() for level in group if "*" not in level}
    return levels | {interval for group in (side.bins or {}).values() for interval in group}


def differences(theirs: dict, entry: Entry):
    """What differs in one harmony, as text."""
    groups: dict[int, Counter] = defaultdict(Counter)
    matched = []
    for role in ("donor", "recipient"):
        side: Side = getattr(entry, role)
        parts = list(assignments(theirs[role]))
        levels = side.groups_of([part for part, _ in parts if isinstance(part, str)])
        for part, group in parts:
            if (found := ours(side, theirs[role], levels, part)) is None:
                yield f"{role}: {part} has no group of ours"
            else:
                # The donor says what a group is called.
                groups[group][found] += 1000 if role == "donor" else 1
                matched.append((role, part, group, found))
            if side.count and found not in (None, group):
                yield f"{role}: {part} is counted otherwise"
        if not (side.count or re.search(r"\d{4} - ", side.expr or "")):
            for part in sorted(held(side) - {part for part, _ in parts}, key=str):
                yield f"{role}: {part} has no published group"
        if not (side.count or same_expression(theirs[role].get("expr"), side.expr)):
            yield f"{role}: {theirs[role].get('expr')} is {side.expr}"
        aggregator = theirs[role].get("agg_household", side.agg)
        if side.agg not in (aggregator, "count" if aggregator == "sum" else aggregator):
            yield f"{role}: agg {aggregator} is {side.agg}"
    same = {group: found.most_common(1)[0][0] for group, found in groups.items()}
    for role, part, group, found in matched:
        if found != same[group]:
            yield f"{role}: {part} is in {_name(entry, found)}, not with group {group} in {_name(entry, same[group])}"
    for (first, mine), (second, other) in pairwise(sorted(same.items())):
        if mine == other:
            yield f"groups {first} and {second} are one: {_name(entry, mine)}"
    if theirs.get("ordered") is not None and entry.ordered != theirs["ordered"]:
        yield f"ordered {theirs['ordered']} is {entry.ordered}"
    if entry.ordered and theirs["ordered"]:
        order = [same[group] for group in sorted(same)]
        if order not in (sorted(order), sorted(order, reverse=True)):
            yield f"the order {order} is another"


def _name(entry: Entry, group: float) -> str:
    return repr(entry.names[int(group) - 1]) if entry.names else str(int(group))


def all_differences():
    for harmony_set, (survey, vintage, year), theirs in published():
        ours_by_name = load_harmonies(survey, vintage, year, harmony_set).entries
        by_name = {entry["name"]: entry for entry in theirs}
        where = (f"{survey}_{vintage}__ACS_{year}", harmony_set)
        for name in set(by_name) ^ set(ours_by_name):
            yield *where, survey, name, "is in one of the two only"
        for name in set(by_name) & set(ours_by_name):
            for text in differences(by_name[name], ours_by_name[name]):
                yield *where, survey, name, text


def digest(texts: list[str]) -> str:
    """Name a set of differences, in whatever order they were met."""
    return hashlib.sha256("\n".join(sorted(texts)).encode()).hexdigest()[:16]


def listed(survey: str, name: str, text: str) -> int | None:
    for position, item in enumerate(DIFFERENCES):
        if item["donor"] == survey and matches(name, item["harmony"]) and matches(text, item["what"]):
            return position
    return None


def test_forty_files_with_all_their_levels_and_intervals_are_compared() -> None:
    counts, number = Counter(), Counter()
    for harmony_set, _, harmonies in published():
        number[harmony_set] += 1
        counts[harmony_set] += sum(
            1 for h in harmonies for role in ("donor", "recipient") for _ in assignments(h[role])
        )
    assert number == {"current": 35, "paper": 5}
    assert counts == {"current": 13_823, "paper": 4_399}


def test_what_differs_from_the_published_harmonies_is_listed_with_its_reason() -> None:
    found, exactly = Counter(), defaultdict(list)
    for pair, harmony_set, survey, name, text in all_differences():
        position = listed(survey, name, text)
        assert position is not None, f"{pair} ({harmony_set}), {name}: {text}"
        found[position] += 1
        exactly[position].append(f"{pair} ({harmony_set}), {name}: {text}")
    # Where many differ under one pattern, these and no others: another regrouping of as many would differ too.
    pinned = {i: item["sha256"] for i, item in enumerate(DIFFERENCES) if "sha256" in item}
    assert {i: digest(exactly[i]) for i in pinned} == pinned
    assert [found[i] for i in range(len(DIFFERENCES))] == [item["count"] for item in DIFFERENCES]
    assert all(item["why"] for item in DIFFERENCES)


def test_every_pattern_that_stands_for_many_differences_names_them_by_their_digest() -> None:
    wide = [item["harmony"] for item in DIFFERENCES if "*" in item["what"] and item["count"] > 5]
    assert wide
    assert [item["harmony"] for item in DIFFERENCES if item["count"] > 5 and "sha256" not in item] == []
    one, other = "A, occ: Cooks are in 'Food'", "A, occ: Cooks are in 'Care'"
    assert digest([one, other]) == digest([other, one]) != digest([one, one])
