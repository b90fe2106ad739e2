"""The poverty threshold of an ACS household of one or two depends on the age of its householder, nobody else's."""

import pyarrow as pa
import pytest

from fusion_pipeline.surveys.codebook import load_codebook
from fusion_pipeline.surveys.deriving import derived_column
from fusion_pipeline.surveys.summaries import summarize

HOUSEHOLDS = load_codebook("acs_2019").households
THRESHOLDS = {
    # Ages of the members, householder first: the Census Bureau's threshold of 2019.
    (70, 60): 15_453,
    (60, 70): 17_120,
    (66, 67): 15_453,
    (65,): 12_261,
    (64,): 13_300,
    (70, 71, 40): 19_998,
}


def test_thresholds_are_those_of_the_householders_age() -> None:
    members = [(hid, pid, age) for hid, ages in enumerate(THRESHOLDS) for pid, age in enumerate(ages, 1)]
    # The order of the file does not matter.
    hid, pid, age = zip(*reversed(members), strict=True)
    persons = pa.table({"hid": hid, "pid": pid, "agep": age})
    sizes = [len(ages) for ages in THRESHOLDS]
    households = pa.table(
        {"hid": range(len(sizes)), "np": sizes, "nrc": [0] * len(sizes), "year": [2019] * len(sizes)}
    )
    wanted = {"householder_age": HOUSEHOLDS.summaries["householder_age"]}
    found = summarize(persons, households["hid"].to_numpy(), wanted)["householder_age"]
    assert found.to_pylist() == [ages[0] for ages in THRESHOLDS]
    table = households.append_column("householder_age", found)
    thresholds = derived_column(HOUSEHOLDS.derived["pov_thresh"], table)
    assert thresholds.to_pylist() == pytest.approx(list(THRESHOLDS.values()))
