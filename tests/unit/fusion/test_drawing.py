import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fusion_pipeline.fusion.drawing import PoolDraw, draw_classes
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
