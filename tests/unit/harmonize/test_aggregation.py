import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusion_pipeline.errors import HarmonyError
from fusion_pipeline.harmonize.aggregation import aggregate, match_members

PLAIN = {"sum": sum, "min": min, "max": max, "mean": statistics.fmean, "median": statistics.median}
numbers = st.integers(-50, 50).map(float)
homes = st.dictionaries(
    st.integers(0, 10**9), st.lists(numbers, min_size=1, max_size=6), min_size=1, max_size=8
)


def persons_of(homes, seed):
    rows = [(hid, pid, value) for hid, values in homes.items() for pid, value in enumerate(values, start=1)]
    return [rows[i] for i in np.random.default_rng(seed).permutation(len(rows))]


@given(homes=homes, seed=st.integers(0, 5), how=st.sampled_from(sorted(PLAIN)))
@settings(max_examples=60)
def test_aggregates_equal_those_of_each_household_by_itself_in_any_order(homes, seed, how):
    rows = persons_of(homes, seed)
    hid, pid, values = (np.array(column) for column in zip(*rows, strict=True))
    members = match_members(np.array(list(homes)), hid, pid, "test")
    expected = [PLAIN[how](v) for v in homes.values()]
    np.testing.assert_allclose(aggregate(values, members, how), expected, atol=1e-9)


@given(homes=homes, seed=st.integers(0, 5))
@settings(max_examples=30)
def test_the_reference_person_speaks_for_the_household(homes, seed):
    hid, pid, values = (np.array(column) for column in zip(*persons_of(homes, seed), strict=True))
    members = match_members(np.array(list(homes)), hid, pid, "test")
    assert aggregate(values, members, "reference").tolist() == [v[0] for v in homes.values()]


@pytest.mark.parametrize("how", sorted(PLAIN))
def test_a_missing_member_makes_the_household_missing_but_not_its_neighbours(how):
    members = match_members(np.array([7, 8]), np.array([7, 7, 8]), np.array([1, 2, 1]), "test")
    result = aggregate(np.array([1.0, np.nan, 5.0]), members, how)
    assert np.isnan(result[0]) and result[1] == 5


def test_persons_of_other_households_do_not_count():
    members = match_members(np.array([8]), np.array([7, 8, 9]), np.array([1, 1, 1]), "test")
    assert aggregate(np.array([1.0, 2.0, 4.0]), members, "sum").tolist() == [2]


@pytest.mark.parametrize(
    ("households", "hid", "pid", "message"),
    [
        ([1, 5, 6], [1], [1], r"test, hid 5: has no persons \(2 such households\)"),
        ([1, 5], [1, 5], [1, 2], r"hid 5: has no reference person \(pid 1\) \(1 such household\)"),
        ([1], [1, 1], [1, 1], "hid 1: has more than one reference person"),
        ([1, 1], [1], [1], "hid 1: comes more than once"),
    ],
)
def test_households_without_exactly_one_reference_person_are_named(households, hid, pid, message):
    with pytest.raises(HarmonyError, match=message):
        match_members(np.array(households), np.array(hid), np.array(pid), "test")
