"""Pooling rules by hand, by published tables, and by what their sources say of them."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from fusion_pipeline.errors import AnalysisError
from fusion_pipeline.inference.pooling import (
    RULES,
    confidential,
    finite_population,
    nested,
    partially_synthetic,
    rubin,
    rule_named,
    synthetic,
)

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"


@pytest.fixture(scope="module")
def reiter():
    """Import the benchmark by its file."""
    sys.path.insert(0, str(BENCHMARKS))
    try:
        spec = importlib.util.spec_from_file_location("reiter", BENCHMARKS / "reiter.py")
        module = importlib.util.module_from_spec(spec)
        sys.modules["reiter"] = module
        spec.loader.exec_module(module)
        yield module
    finally:
        sys.path.remove(str(BENCHMARKS))
        sys.modules.pop("reiter", None)


def test_barnard_rubin_by_hand():
    # b = 4, ubar = 2, T = 22/3, old df 121/32; complete df 27: obs = 28/30 * 27 * 2 / (22/3).
    observed = 28 / 30 * 27 * 2 / (22 / 3)
    pooled = rubin([10, 12, 14], [1, 2, 3], 27)
    assert pooled.df == pytest.approx(1 / (32 / 121 + 1 / observed))
    ratio = (16 / 3) / 2
    assert pooled.missing_information == pytest.approx((ratio + 2 / (pooled.df + 3)) / (ratio + 1))


def test_barnard_rubin_never_has_more_degrees_of_freedom_than_complete_data():
    rng = np.random.default_rng(1)
    q, u = rng.normal(size=(5, 50)), rng.uniform(0.1, 3, size=(5, 50))
    assert (rubin(q, u, 30).df < 30).all()
    assert (rubin(q, u, 30).df < rubin(q, u).df).all()
    assert rubin(q, u, np.inf).df == pytest.approx(rubin(q, u).df)


def test_nested_by_hand():
    # Means 1 and 3: B = 2; variances inside 2 and 2: W = 2; ubar = 4; T = 1.5 * 2 - 2/2 + 4 = 6.
    pooled = nested([[0, 2], [2, 4]], [[4, 4], [4, 4]])
    assert pooled.estimate == 2
    assert pooled.variance == pytest.approx(6)
    assert pooled.df == pytest.approx(1 / (3**2 / (1 * 36) + 1**2 / (2 * 1 * 36)))


def test_nested_drops_the_subtraction_where_the_variance_would_be_negative():
    pooled = nested([[0, 10], [0, 10]], [[1, 1], [1, 1]])
    assert pooled.variance == pytest.approx(1)


def test_populations_are_pooled_by_their_variance_alone():
    pooled = finite_population([1, 2, 3, 4])
    assert pooled.variance == pytest.approx(1.25 * 5 / 3)
    assert pooled.df == 3


def test_confidential_by_hand():
    # w = 2, b = 2: T = 2 + 2/2 = 3, df = 1 (1 + 2)^2 = 9.
    pooled = confidential([[0, 2], [2, 4]])
    assert (pooled.variance, pooled.df) == (pytest.approx(3), pytest.approx(9))


def test_synthetic_rules_by_hand():
    q, u = [10, 12, 14], [1, 2, 3]
    full = synthetic(q, u)
    assert full.variance == pytest.approx(16 / 3 - 2)
    assert full.df == pytest.approx(2 * (1 - 2 / (16 / 3)) ** 2)
    assert synthetic([1, 1, 1], u).variance == pytest.approx(2)
    part = partially_synthetic(q, u)
    assert part.variance == pytest.approx(2 + 4 / 3)
    assert part.df == pytest.approx(2 * (1 + 3 * 2 / 4) ** 2)


@pytest.mark.parametrize("name", RULES)
def test_every_rule_gives_no_margin_for_one_implicate_and_says_so(name):
    shape = (1, 1, 2) if RULES[name].is_nested else (1, 2)
    with pytest.warns(UserWarning, match="One implicate"):
        pooled = RULES[name].combine(np.ones(shape), np.ones(shape), np.full(2, 9.0))
    assert pooled.estimate.tolist() == [1, 1]
    assert np.isnan(pooled.margin()).all()


def test_an_unknown_rule_is_refused_with_those_there_are():
    with pytest.raises(AnalysisError, match=r"rule reiter.*barnard-rubin.*confidential"):
        rule_named("reiter")


def _check(found, low, high, least, most):
    ratio = found.estimated / found.variance
    np.testing.assert_array_less(low, ratio)
    np.testing.assert_array_less(ratio, high)
    np.testing.assert_array_less(np.array(least) - 1e-9, found.coverage)
    np.testing.assert_array_less(found.coverage, np.array(most) + 1e-9)


def test_rubins_rule_in_fusion_matches_reiter_table_1(reiter):
    """1,000 runs: bands are Reiter's ratios give or take four Monte Carlo errors (4.5 % of a ratio, .7 points)."""
    found = reiter.reproduce(1)
    _check(
        found,
        [6.5, 2.0, 2.0, 0.95, 0.85, 0.85],
        [9.5, 2.8, 2.9, 1.25, 1.15, 1.15],
        [0.995, 0.988, 0.988, 0.94, 0.93, 0.93],
        [1.0, 1.0, 1.0, 0.98, 0.97, 0.97],
    )
    assert pytest.approx((0.4 - 0.3 * 0.8) / np.sqrt((1 - 0.3**2) * (1 - 0.8**2)), abs=5e-5) == reiter.RHO
    # Estimates are right: within three Monte Carlo errors of the truth.
    assert (np.abs(found.mean - found.truth) < 3 * np.sqrt(found.variance / 1000)).all()


def test_populations_match_reiter_table_2(reiter):
    """Bands for W over the variance: about 1/1.1 (the estimate has (1 + 1/m) W), coverage 93 to 97 %."""
    _check(reiter.reproduce(2), [0.78] * 6, [1.12] * 6, [0.93] * 6, [0.975] * 6)


@pytest.mark.slow
def test_confidential_fusion_matches_reiter_table_3(reiter):
    _check(reiter.reproduce(3), [0.8] * 6, [1.25] * 6, [0.92] * 6, [0.975] * 6)
