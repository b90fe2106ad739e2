"""Compute: threads, memory and the seed, the same for every asset of a run."""

from __future__ import annotations

import dagster as dg


class Compute(dg.ConfigurableResource):
    """What a step may use. None of it but the seed changes a result."""

    threads: int
    memory_limit: int
    """Bytes."""
    seed: int
