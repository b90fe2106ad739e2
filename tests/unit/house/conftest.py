"""What tests that read the source share."""

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def nothing_finalized_meanwhile() -> Iterator[None]:
    """Let no garbage be collected: CPython 3.11 fails to parse a file if a generator is finalized meanwhile."""
    gc.disable()
    yield
    gc.enable()
