"""Draws have the probabilities that they are given, and never give what has none."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from fusion_pipeline.fusion.drawing import PoolDraw, draw_classes, pack_masks
from fusion_pipeline.fusion.matching import DonorPools, Scaling


def two_pools() -> DonorPools:
    return DonorPools(
        Scaling(np.zeros(1), np.ones(1)),
        np.float32([[0.0], [1.0]]),
        np.int32([3, 1, 2, 0, 4]),
        np.array([0, 3, 5]),
    )


def test_classes_come_with_their_probabilities():
    drawn = draw_classes(
        np.tile([[[0.2], [0.0], [0.5], [0.3]]], (100_000, 1, 1)),
        (np.arange(100_000)[:, None] + 0.5) / 100_000,
    )[:, 0]
    np.testing.assert_allclose(np.bincount(drawn, minlength=4) / 100_000, [0.2, 0, 0.5, 0.3], atol=1e-4)


@given(st.integers(0, 1000), st.floats(0, 1, exclude_max=True))
def test_a_class_of_probability_zero_is_never_drawn(seed, uniform):
    probability = np.random.default_rng(seed).random(5) * (np.arange(5) % 2)
    assert draw_classes(probability[None, :, None], np.array([[uniform]]))[0, 0] in (1, 3)


def test_donors_come_from_the_nearest_pool_with_probability_proportional_to_weight():
    n = 60_000
    uniform = (np.arange(n)[:, None] + 0.5) / n
    weight = np.array([1.0, 2.0, 3.0, 5.0, 3.0])
    near = PoolDraw(two_pools(), weight).donors(np.full((n, 1, 1), 0.1), uniform)[:, 0]
    far = PoolDraw(two_pools(), weight).donors(np.full((n, 1, 1), 0.9), uniform)[:, 0]
    np.testing.assert_allclose(np.bincount(near, minlength=5) / n, [0, 0.2, 0.3, 0.5, 0], atol=1e-4)
    np.testing.assert_allclose(np.bincount(far, minlength=5) / n, [0.25, 0, 0, 0, 0.75], atol=1e-4)


@given(st.lists(st.floats(0, 1, exclude_max=True), max_size=20))
def test_every_draw_is_a_member_of_its_pool(uniform):
    drawn = PoolDraw(two_pools(), np.array([1e-9, 1.0, 1e9, 1.0, 1.0])).donors(
        np.zeros((len(uniform), 1, 1)), np.array(uniform)[:, None]
    )
    assert set(drawn[:, 0]) <= {3, 1, 2}


@settings(max_examples=30)
@given(
    seed=st.integers(0, 10_000),
    coordinates=st.integers(1, 9),
    count=st.sampled_from([1, 2, 15, 150, 700]),
    implicates=st.sampled_from([1, 5, 64]),
)
def test_the_pool_is_that_of_the_nearest_centre_and_the_first_of_equals(seed, coordinates, count, implicates):
    random = np.random.default_rng(seed)
    centres = random.normal(size=(count, coordinates)).astype(np.float32)
    centres[random.random(count) < 0.1] = centres[0]
    scaling = Scaling(random.normal(size=coordinates), random.uniform(0.5, 2, coordinates))
    # Pool i has the one donor i: who is drawn tells the centre.
    pools = DonorPools(scaling, centres, np.arange(count, dtype=np.int32), np.arange(count + 1))
    points = random.normal(size=(40, implicates, coordinates)) * random.choice([0.1, 1, 10], (40, 1, 1))
    points[0] = centres[-1]
    wanted = random.random((40, implicates)) < 0.8
    drawn = PoolDraw(pools, np.ones(count)).donors(
        scaling.undo(points).transpose(0, 2, 1), random.random((40, implicates)), pack_masks(wanted)
    )
    distance = np.sqrt(((points[..., None, :] - centres) ** 2).sum(axis=-1))
    found = np.take_along_axis(distance, np.maximum(drawn, 0)[..., None], axis=-1)[..., 0]
    assert ((drawn == -1) == ~wanted).all()
    assert (found - distance.min(axis=-1))[wanted].max(initial=0) < 1e-5
    same = (centres[drawn] == centres[0]).all(axis=-1) & wanted
    assert (drawn[same] == 0).all()


@given(st.integers(0, 10_000), st.integers(1, 300))
def test_a_draw_inverts_the_cumulative_weights_of_its_pool(seed, size):
    random = np.random.default_rng(seed)
    weight = random.gamma(random.choice([0.05, 1, 50]), size=size) + 1e-12
    pools = DonorPools(
        Scaling(np.zeros(1), np.ones(1)), np.zeros((1, 1), np.float32), np.arange(size), np.array([0, size])
    )
    uniform = random.random((200, 1))
    drawn = PoolDraw(pools, weight).donors(np.zeros((200, 1, 1)), uniform)
    total = np.cumsum(weight)
    expected = np.minimum(np.searchsorted(total, uniform * total[-1], side="right"), size - 1)
    assert (drawn == expected).all()


def test_quantiles_are_put_in_order_before_they_are_used():
    pools = DonorPools(
        Scaling(np.zeros(3), np.ones(3)),
        np.float32([[9, 1, 2], [9, 2, 1]]),
        np.int32([0, 1]),
        np.array([0, 1, 2]),
    )
    crossed = np.array([9.0, 2.0, 1.0]).reshape(1, 3, 1)
    assert PoolDraw(pools, np.ones(2)).donors(crossed, np.full((1, 1), 0.5))[0, 0] == 1
    assert PoolDraw(pools, np.ones(2), [(1, 3)]).donors(crossed, np.full((1, 1), 0.5))[0, 0] == 0
