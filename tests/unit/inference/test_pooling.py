"""Rubin's rule: by hand, by its invariants, and by the coverage of its intervals."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusion_pipeline.inference.pooling import rubin


def test_three_implicates_by_hand():
    # q = 10, 12, 14: mean 12, b = 4; u = 1, 2, 3: ubar = 2; T = 2 + (4/3) 4 = 22/3;
    # df = 2 (1 + 2 / (16/3))^2 = 2 (11/8)^2 = 121/32.
    pooled = rubin([10, 12, 14], [1, 2, 3])
    assert pooled.estimate == pytest.approx(12)
    assert pooled.within == pytest.approx(2)
    assert pooled.between == pytest.approx(4)
    assert pooled.variance == pytest.approx(22 / 3)
    assert pooled.df == pytest.approx(121 / 32)


def test_the_margin_is_student_t_times_the_standard_error():
    # q = 0, 2 and u = 0, 0: b = 2, T = 3, df = 1, where t(.95) = tan(.45 pi).
    pooled = rubin([0, 2], [0, 0])
    assert pooled.df == pytest.approx(1)
    assert pooled.margin() == pytest.approx(np.tan(0.45 * np.pi) * np.sqrt(3))
    low, high = pooled.interval(0.5)
    assert (low, high) == (pytest.approx(1 - np.sqrt(3)), pytest.approx(1 + np.sqrt(3)))


def test_variances_are_averaged_not_standard_errors():
    assert rubin([5, 5], [1, 9]).standard_error == pytest.approx(np.sqrt(5))


def test_implicates_that_agree_have_infinitely_many_degrees_of_freedom_and_a_normal_margin():
    pooled = rubin([7, 7, 7], [4, 4, 4])
    assert pooled.df == np.inf
    assert pooled.margin(0.90) == pytest.approx(2 * 1.6448536269514722)
    constant = rubin([7, 7], [0, 0])
    assert constant.margin() == 0


def test_one_implicate_gives_an_estimate_and_no_margin_and_says_so():
    with pytest.warns(UserWarning, match="One implicate"):
        pooled = rubin([[3.0, 4.0]], [[1.0, 1.0]])
    assert pooled.estimate.tolist() == [3, 4]
    assert np.isnan(pooled.margin()).all()


def test_an_unknown_variance_stays_unknown():
    pooled = rubin([[1, 1], [1, 1]], [[np.nan, 1], [1, 1]])
    assert np.isnan(pooled.margin()).tolist() == [True, False]


@pytest.mark.parametrize(("q", "u"), [([1, 2], [1]), ([], []), ([1, 2], [1, -1])])
def test_input_that_makes_no_sense_is_refused(q, u):
    with pytest.raises(ValueError, match="variances"):
        rubin(q, u)


def test_a_level_outside_zero_and_one_is_refused():
    with pytest.raises(ValueError, match="level"):
        rubin([1, 2], [1, 1]).margin(90)


_numbers = st.floats(-1e6, 1e6)


@given(st.lists(st.tuples(_numbers, st.floats(0, 1e6)), min_size=2, max_size=12), st.randoms())
def test_pooling_knows_no_order_and_never_has_less_variance_than_within(pairs, random):
    q, u = map(list, zip(*pairs, strict=True))
    pooled = rubin(q, u)
    assert pooled.variance >= pooled.within
    assert pooled.df >= len(q) - 1
    random.shuffle(pairs)
    again = rubin(*zip(*pairs, strict=True))
    assert again.estimate == pytest.approx(float(pooled.estimate), rel=1e-9, abs=1e-9)
    assert again.variance == pytest.approx(float(pooled.variance), rel=1e-6, abs=1e-6)


@given(st.integers(2, 8), st.integers(1, 4), st.integers(1, 3))
def test_arrays_are_pooled_cell_by_cell(implicates, rows, columns):
    rng = np.random.default_rng([implicates, rows, columns])
    q, u = rng.normal(size=(implicates, rows, columns)), rng.uniform(size=(implicates, rows, columns))
    pooled = rubin(q, u)
    for i in range(rows):
        for j in range(columns):
            cell = rubin(q[:, i, j], u[:, i, j])
            assert pooled.variance[i, j] == pytest.approx(float(cell.variance))
            assert pooled.margin()[i, j] == pytest.approx(float(cell.margin()))


@pytest.mark.parametrize("missing_share", [0.3, 0.7])
def test_ninety_percent_intervals_cover_the_truth_nine_times_in_ten(missing_share):
    """Proper imputation of a normal mean with values missing at random (Rubin 1987, example 3.1)."""
    rng = np.random.default_rng(20)
    runs, n, implicates, truth = 4000, 100, 10, 5.0
    seen = int(n * (1 - missing_share))
    y = rng.normal(truth, 2, size=(runs, seen))
    mean, variance = y.mean(axis=1), y.var(axis=1, ddof=1)
    # Parameters from their posterior, then values: both sources of uncertainty are in the implicates.
    sigma2 = (seen - 1) * variance / rng.chisquare(seen - 1, size=(implicates, runs))
    mu = rng.normal(mean, np.sqrt(sigma2 / seen))
    drawn = rng.normal(mu[..., None], np.sqrt(sigma2)[..., None], size=(implicates, runs, n - seen))
    completed = np.concatenate([np.broadcast_to(y, (implicates, runs, seen)), drawn], axis=-1)
    low, high = rubin(completed.mean(axis=-1), completed.var(axis=-1, ddof=1) / n).interval(0.90)
    assert 0.87 < np.mean((low < truth) & (truth < high)) < 0.93


def test_several_implicates_raise_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rubin([1, 1], [0, 0]).margin()
