import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusion_pipeline.fusion import matching

NORMAL = NormalDist()
LEVELS = (1 / 6, 1 / 2, 5 / 6)


def divergence(x, w, mean, quantiles, levels):
    """The paper's Δ for one pool, written as it is printed there."""
    average = math.fsum(w * x) / math.fsum(w)
    sigma = (quantiles[-1] - quantiles[0]) / (NORMAL.inv_cdf(levels[-1]) - NORMAL.inv_cdf(levels[0]))
    total = 1 - NORMAL.pdf((average - mean) / sigma) / NORMAL.pdf(0)
    for q, p in zip(quantiles, levels, strict=True):
        share = math.fsum(w[x <= q]) / math.fsum(w)
        total += abs(share - p) / (p if p > 0.5 else 1 - p)
    return total


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.booleans())
def test_k_star_is_the_minimum_of_the_papers_divergence(seed, weighted):
    random = np.random.default_rng(seed)
    n, centres = 60, 7
    values = random.gamma(2, 50, n).round()
    weight = random.uniform(0.2, 3, n) if weighted else np.ones(n)
    nearest = np.stack([random.permutation(n)[:40] for _ in range(centres)])
    mean = random.uniform(60, 140, centres)
    quantiles = np.sort(random.uniform(10, 250, (centres, 3)), axis=1)
    chosen = matching.pool_sizes(values, weight, nearest, mean, quantiles, LEVELS)
    for i, k in enumerate(chosen):
        sizes = range(10, 41)
        all_k = [
            divergence(values[nearest[i, :s]], weight[nearest[i, :s]], mean[i], quantiles[i], LEVELS)
            for s in sizes
        ]
        assert 10 <= k <= 40
        assert all_k[k - 10] == pytest.approx(min(all_k), abs=1e-12)


def test_pool_sizes_do_not_depend_on_how_memory_cuts_the_centres(monkeypatch):
    random = np.random.default_rng(0)
    values, weight = random.normal(size=200), random.uniform(1, 2, 200)
    nearest = np.stack([random.permutation(200) for _ in range(50)])
    quantiles = np.sort(random.normal(size=(50, 3)), axis=1)
    arguments = (values, weight, nearest, random.normal(size=50), quantiles, LEVELS)
    whole = matching.pool_sizes(*arguments)
    monkeypatch.setattr(matching, "_CHUNK_VALUES", 300)
    np.testing.assert_array_equal(matching.pool_sizes(*arguments), whole)


def test_equal_quantiles_leave_the_shares_to_decide():
    values = np.r_[np.full(10, 5.0), np.full(10, 9.0)]
    nearest = np.arange(20)[None]
    k = matching.pool_sizes(values, np.ones(20), nearest, np.array([5.0]), np.full((1, 3), 5.0), LEVELS)
    assert k[0] == 20  # half of the pool at or below each quantile is as near to 1/6, 1/2, 5/6 as can be


def test_too_few_neighbours_are_refused():
    with pytest.raises(ValueError, match="10 donors cannot be chosen among 5"):
        matching.pool_sizes(
            np.zeros(5), np.ones(5), np.zeros((1, 5), int), np.zeros(1), np.zeros((1, 3)), LEVELS
        )


def test_scaling_maps_the_normal_range_to_zero_and_one_and_leaves_probabilities():
    z = np.array([NORMAL.inv_cdf(p) for p in np.linspace(0.0005, 0.9995, 20_001)])
    expectations = np.column_stack([1000 + 250 * z, np.linspace(0, 1, len(z))])
    scaling = matching.fit_scaling(expectations, [False, True])
    reach = NORMAL.inv_cdf(0.999)
    ends = scaling.apply(np.array([[1000 - 250 * reach, 0.3], [1000 + 250 * reach, 0.3]]))
    np.testing.assert_allclose(ends, [[0, 0.3], [1, 0.3]], atol=2e-3)
    np.testing.assert_allclose(scaling.undo(scaling.apply(expectations)), expectations, rtol=1e-4, atol=1e-4)


def test_a_constant_coordinate_scales_to_one_half():
    scaled = matching.fit_scaling(np.full((9, 1), 7.0), [False]).apply(np.full((9, 1), 7.0))
    np.testing.assert_allclose(scaled, 0.5)


def test_neighbours_are_the_nearest_by_brute_force():
    random = np.random.default_rng(3)
    points, queries = random.random((400, 4), np.float32), random.random((30, 4), np.float32)
    found = matching.nearest_rows(points, queries, 12)
    distance = ((queries[:, None] - points[None]) ** 2).sum(axis=2)
    np.testing.assert_array_equal(found, np.argsort(distance, axis=1)[:, :12])


def test_centres_are_few_reproducible_and_cover_the_donors():
    points = np.random.default_rng(4).random((3000, 3), np.float32)
    centres = matching.reduce_to_centres(points, 200, seed=1)
    assert centres.shape == (200, 3)
    np.testing.assert_array_equal(centres, matching.reduce_to_centres(points, 200, seed=1))
    nearest = matching.nearest_rows(centres, points, 1)[:, 0]
    assert len(np.unique(nearest)) == 200
    assert np.linalg.norm(points - centres[nearest], axis=1).mean() < 0.1


def test_few_donors_are_their_own_centres():
    points = np.float32([[1, 2], [1, 2], [0, 1]])
    assert matching.reduce_to_centres(points, 10, seed=1).tolist() == [[0, 1], [1, 2]]


def test_a_block_pool_is_as_many_of_the_nearest_as_asked_for():
    random = np.random.default_rng(6)
    pools = matching.build_pools(
        random.normal(size=(50, 2)), [False, False], np.arange(100, 150), np.ones(50),
        values=None, levels=LEVELS, neighbours=7, centres=20, seed=1,
    )  # fmt: skip
    assert set(pools.sizes) == {7}
    assert pools.donors.min() >= 100
