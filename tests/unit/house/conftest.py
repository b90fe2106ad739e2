"""What tests that read the source share."""

import gc

import pytest


@pytest.fixture(autouse=True, scope="module")
def nothing_left_to_finalize():
    """Drop what earlier tests left: CPython 3.11 fails to parse a file if a generator is finalized meanwhile."""
    gc.collect()
