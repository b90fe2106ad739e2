"""Named streams: reproducible, and independent of each other."""

import numpy as np

from fusion_pipeline.randomness import stream


def test_same_name_same_numbers_and_other_names_others() -> None:
    first = stream(1, "pair", "fuse", "btuel", 3, 0).random(5)
    assert np.array_equal(first, stream(1, "pair", "fuse", "btuel", 3, 0).random(5))
    for other in (
        stream(2, "pair", "fuse", "btuel", 3, 0),
        stream(1, "pair", "fuse", "btuel", 4, 0),
        stream(1, "pair", "fuse", "btue", "l3", 0),
        stream(1, "pair", "fuse", "btuel", "3", 0),
    ):
        assert not np.array_equal(first, other.random(5))


def test_neighbouring_streams_are_uncorrelated() -> None:
    draws = np.array([stream(1, "x", block).random(2000) for block in range(20)])
    correlations = np.corrcoef(draws)[np.triu_indices(20, 1)]
    assert np.abs(correlations).max() < 4.5 / np.sqrt(2000)
