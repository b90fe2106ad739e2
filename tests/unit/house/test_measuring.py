"""What a step is measured by is its own, not what an earlier step of the process left behind."""

from __future__ import annotations

import platform

import numpy as np
import pytest

from fusion_pipeline.measuring import measured

MIB = 2**20
pytestmark = pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="another C library gives memory back in its own way"
)


def test_memory_freed_between_blocks_that_stay_does_not_count_to_the_next_step() -> None:
    with measured() as first:
        blocks = [np.ones(8_192) for _ in range(2_000)]
    # Every tenth stays, so that the heap cannot shrink from its end.
    stay = blocks[::10]
    del blocks
    with measured() as second:
        pass
    assert len(stay) == 200
    assert second.peak_bytes < first.peak_bytes - 80 * MIB
