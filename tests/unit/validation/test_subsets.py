"""Subsets by grouping variables and their pairs."""

import numpy as np
import pandas as pd
import pytest

from fusion_pipeline.errors import AnalysisError
from fusion_pipeline.validation.subsets import MISSING, crossings


def test_every_household_is_once_in_every_variable_and_every_pair() -> None:
    frame = pd.DataFrame({"a": ["x", "y", "x", "y"], "b": [1, 1, 2, 2], "c": [True, False, True, True]})
    found = list(crossings(frame, ["a", "b", "c"]))
    assert [c.names for c in found] == [("a",), ("b",), ("c",), ("a", "b"), ("a", "c"), ("b", "c")]
    [both] = [c for c in found if c.names == ("a", "b")]
    assert [both.labels[code] for code in both.codes] == ["x | 1", "y | 1", "x | 2", "y | 2"]


def test_numbers_are_cut_at_their_natural_breaks() -> None:
    centres = np.array([0, 100, 200, 300, 400])
    values = np.concatenate([c + np.arange(8) for c in centres]).astype(float)
    [found] = crossings(pd.DataFrame({"income": values[::-1]}), ["income"])
    assert found.labels[:5] == ("0 to 7", "100 to 107", "200 to 207", "300 to 307", "400 to 407")
    assert np.bincount(found.codes).tolist() == [8] * 5


def test_ordered_levels_stay_in_order_and_few_values_as_they_are() -> None:
    levels = [f"grade {k}" for k in range(9)]
    many = pd.Categorical(levels, levels, ordered=True)
    [found] = crossings(pd.DataFrame({"grade": many}), ["grade"])
    assert (np.diff(found.codes) >= 0).all() and len(set(found.codes)) == 5
    [few] = crossings(pd.DataFrame({"rooms": [3, 1, 2, 3]}), ["rooms"])
    assert [few.labels[code] for code in few.codes] == ["3", "1", "2", "3"]


@pytest.mark.parametrize("values", [[1.0, np.nan], ["a", None], pd.Categorical(["a", None])])
def test_missing_values_are_a_group(values) -> None:
    [found] = crossings(pd.DataFrame({"g": values}), ["g"])
    assert found.labels[found.codes[1]] == MISSING != found.labels[found.codes[0]]


@pytest.mark.parametrize("names", [[], ["a", "a"]])
def test_groups_are_a_list_of_different_columns(names) -> None:
    with pytest.raises(AnalysisError, match="groups"):
        list(crossings(pd.DataFrame({"a": [1]}), names))
