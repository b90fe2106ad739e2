"""Formulas of the metrics, and the smoother over subset size."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusion_pipeline.validation.metrics import (
    percent_error,
    relative_uncertainty,
    smoothed,
    value_added,
    weighted_median,
)


def test_error_is_undefined_where_the_truth_is_zero() -> None:
    np.testing.assert_array_equal(percent_error([11, 1, 0], [10, 0, 0]), [10, np.nan, np.nan])


def test_value_added_is_one_without_error_and_zero_at_the_mean_of_everyone_and_beyond() -> None:
    np.testing.assert_allclose(value_added([4, 6, 8, 10, 0], 4, 8), [1, 0.5, 0, 0, 0])
    assert np.isnan(value_added([4.0], 8, 8)).all()


def test_relative_uncertainty_compares_margins_as_parts_of_their_estimates() -> None:
    np.testing.assert_allclose(relative_uncertainty([10], [2], [20], [2]), [2])
    assert np.isnan(relative_uncertainty([0, 10], [2, 2], [20, 20], [2, 0])).all()


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30), st.integers(0, 2**31))
def test_weighted_median_lies_among_the_values_and_equals_the_median_under_equal_weights(
    values, seed
) -> None:
    x = np.array(values)
    w = np.random.default_rng(seed).uniform(0.1, 1, len(x))
    assert x.min() - 1e-9 <= weighted_median(x, w) <= x.max() + 1e-9
    assert weighted_median(x, np.ones(len(x))) == pytest.approx(np.median(x), abs=1e-6)


def test_smoother_follows_the_trend_and_no_outlier() -> None:
    size = np.geomspace(30, 3000, 200)
    metric = 100 / np.sqrt(size)
    spoilt = metric.copy()
    spoilt[::10] = 1e9
    at = np.array([60.0, 300.0, 1500.0])
    np.testing.assert_allclose(smoothed(size, spoilt, at), 100 / np.sqrt(at), rtol=0.15)


def test_smoother_leaves_unknown_values_out_and_says_nothing_of_too_few() -> None:
    size, metric = np.full(40, 50.0), np.repeat([1.0, np.nan], 20)
    np.testing.assert_allclose(smoothed(size, metric, [50]), [1])
    assert np.isnan(smoothed(size[:20], metric[10:30], [50])).all()
