"""The codebook of RECS 2015 against the documented table of the survey's variables: names, types, levels, ranges."""

from __future__ import annotations

import csv
import gzip
import re
from fnmatch import fnmatch
from pathlib import Path

import pytest
import yaml

from fusion_pipeline.registry import load_registry
from fusion_pipeline.surveys.codebook import load_codebook

pytestmark = pytest.mark.realdata

RECS = load_codebook("recs_2015").households
APART = yaml.safe_load(Path(__file__).with_name("documented_recs_2015.yaml").read_text(encoding="utf-8"))
TYPES = {"fct": {"factor"}, "ord": {"ordered"}, "int": {"integer", "number"}, "dbl": {"number"}}


@pytest.fixture(scope="module")
def documented(shared) -> dict[str, dict[str, str]]:
    with (shared / "tables" / "dict_RECS_2015_H.csv").open(encoding="utf-8", newline="") as file:
        return {row["variable"]: row for row in csv.DictReader(file)}


def _common(documented) -> list[str]:
    return [name for name in documented if name in RECS.variables]


def test_every_documented_variable_is_read_but_for_those_with_a_reason(documented) -> None:
    lacking = {name for name in documented if name not in RECS.variables}
    reasons = list(APART["apart"])
    assert {name for name in lacking if not any(fnmatch(name, pattern) for pattern in reasons)} == set()
    assert [pattern for pattern in reasons if not any(fnmatch(name, pattern) for name in lacking)] == []
    assert set(RECS.variables) - set(documented) == set(APART["ours"])


def test_types_are_the_documented_ones(documented) -> None:
    other = {
        name: (RECS.variables[name].type, documented[name]["type"])
        for name in _common(documented)
        if RECS.variables[name].type not in TYPES[documented[name]["type"]]
    }
    assert other == {}


def test_levels_are_the_documented_ones_in_their_order(documented) -> None:
    other = {}
    for name in _common(documented):
        if documented[name]["type"] not in ("fct", "ord"):
            continue
        theirs = documented[name]["levels_or_range"].split(" | ")
        unused = APART["unused"].get(name, [])
        if name.startswith("temp"):
            unused = [label for label in RECS.variables[name].labels if label not in theirs]
            assert all(label.isdigit() for label in unused)
        ours = [label for label in RECS.variables[name].labels if label not in unused]
        same = set(ours) == set(theirs) if name in APART["reordered"] else ours == theirs
        if not same or set(unused) & set(theirs):
            other[name] = (ours, theirs)
    assert other == {}


def test_documented_numbers_lie_within_the_codebooks_ranges(documented) -> None:
    outside = {}
    for name in _common(documented):
        variable = RECS.variables[name]
        if variable.categorical:
            continue
        low, high = (
            float(re.search(rf"{end}: (-?[\d.]+)", documented[name]["levels_or_range"])[1])
            for end in ("Min", "Max")
        )
        # What does not apply counts as the number that stands for it, mostly zero.
        skip = None if variable.not_applicable is None else float(variable.not_applicable)
        span = variable.range
        assert span is not None, name
        if (low != skip and span.low is not None and low < span.low) or (
            span.high is not None and high > span.high
        ):
            outside[name] = (low, high, str(span))
    assert outside == {}


def test_the_registry_says_which_columns_the_reconstructed_file_has(shared) -> None:
    alternative = load_registry().surveys["RECS_2015"].files["households"].alternatives[0]
    with gzip.open(shared / "data" / alternative.path, "rt", encoding="utf-8") as file:
        header = {name.strip('"') for name in file.readline().strip().split(",")}
    wanted = RECS.raw_columns
    assert set(alternative.lacks(wanted)) == {name for name in wanted if name not in header}
