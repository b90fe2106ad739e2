import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fusion_pipeline as fp
from fusion_pipeline.errors import AnalysisError
from fusion_pipeline.fusion.monotone import super_smoother


@given(st.integers(0, 500), st.integers(1, 120), st.booleans(), st.booleans())
def test_the_result_never_turns_back_and_spends_nothing_only_on_nothing(seed, n, preserve, whole):
    random = np.random.default_rng(seed)
    x = np.where(random.random(n) < 0.3, 0, random.gamma(2, 3, n).round(1))
    y = np.where(random.random(n) < 0.2, 0, x * random.uniform(0.5, 2, n)) * 100
    y = y.round().astype(int) if whole else y
    adjusted = fp.monotonic(x, y, random.uniform(1, 3, n), preserve=preserve)
    order = np.argsort(x)
    steps = np.diff(adjusted[order])
    assert (steps >= -1e-9).all() or (
        (x > 0).any() and (np.diff(adjusted[order][x[order] > 0]) <= 1e-9).all()
    )
    assert (adjusted[x == 0] == 0).all()
    if (y > 0).any():
        assert (adjusted[x > 0] >= y[y > 0].min() - 1e-9).all()
    assert adjusted.dtype == y.dtype


def test_equal_x_have_equal_results_and_the_weighted_mean_is_kept():
    random = np.random.default_rng(1)
    x = random.integers(1, 30, 400).astype(float)
    y, weight = 50 * np.sqrt(x) * random.lognormal(0, 0.2, 400), random.uniform(1, 5, 400)
    adjusted = fp.monotonic(x, y, weight)
    assert np.average(adjusted, weights=weight) == pytest.approx(np.average(y, weights=weight))
    assert all(np.ptp(adjusted[x == value]) == 0 for value in np.unique(x))


def test_a_falling_relation_falls():
    x = np.linspace(0, 5, 200)
    y = 10 - x + np.random.default_rng(2).normal(scale=0.3, size=200)
    adjusted = fp.monotonic(x, y, expenditure=False)
    assert (np.diff(adjusted) <= 1e-9).all()
    assert np.abs(adjusted - (10 - x)).mean() < 0.15


def test_a_curve_that_rises_already_is_found_through_noise():
    random = np.random.default_rng(3)
    x = np.sort(random.uniform(0.1, 10, 3000))
    truth = 5 * np.log1p(x)
    adjusted = fp.monotonic(x, truth + random.normal(scale=0.5, size=3000).clip(-0.3, 0.3), most=800)
    assert np.abs(adjusted - truth).mean() < 0.1


def test_the_smoother_follows_a_line_exactly_and_a_bend_closely():
    x = np.linspace(0, 1, 200)
    np.testing.assert_allclose(super_smoother(x, 3 * x - 1, np.ones(200)), 3 * x - 1, atol=1e-9)
    wave = np.sin(8 * x)
    noisy = wave + np.random.default_rng(4).normal(scale=0.2, size=200)
    assert np.abs(super_smoother(x, noisy, np.ones(200)) - wave).mean() < 0.1


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        ([1, np.nan], [1, 2], "monotonic, x: is missing or infinite 1 times"),
        ([1, 2], [1, -2], "monotonic, y: is negative 1 times"),
        ([1, 2], [1], "got 2, 1 and 2 values"),
    ],
)
def test_what_cannot_be_adjusted_is_refused(x, y, message):
    with pytest.raises(AnalysisError, match=message):
        fp.monotonic(np.array(x), np.array(y))
