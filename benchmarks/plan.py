"""From what a pair costs to machines, hours and storage for many pairs. `chunk.py` measures and prints it.

Belongs here: arithmetic on measured costs. Does not belong here: measuring (`chunk.py`, `measure.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

MACHINES = ((1, 8), (4, 16), (16, 16), (60, 16))
"""Machines and cores of each, for which hours are given."""


@dataclass(frozen=True)
class Cost:
    """What one fusion pair of some households costs."""

    households: int
    upstream: float
    """CPU seconds from raw files to models."""
    chunk: float
    """CPU seconds of one chunk of implicates."""
    publish: float
    """CPU seconds of checking the set, comparing it with published figures, and the report."""
    peak: float
    """MiB, the most that any of these held."""
    size: float
    """MB of one implicate."""


def carried(costs: Sequence[Cost], households: int) -> Cost:
    """Carry costs to another size: on the straight line through the least and the largest that were measured.

    A single one is taken to be proportional to its households. Storage and time never fall below the largest measured.
    """
    least, largest = (pick(costs, key=lambda cost: cost.households) for pick in (min, max))
    span = largest.households - least.households

    def line(name: str) -> float:
        first, last = getattr(least, name), getattr(largest, name)
        if not span:
            return last * households / largest.households
        return max(last, last + (last - first) / span * (households - largest.households))

    return Cost(households, *(line(name) for name in ("upstream", "chunk", "publish", "peak", "size")))


def plan(
    cost: Cost, *, years: int = 10, donors: int = 6, implicates: int = 40, chunk: int = 5, published: int = 10
) -> str:
    """Tell in Markdown what all ACS years by all donors take.

    Parameters
    ----------
    cost : of one national pair
    years, donors, implicates : every donor is fused onto every year, so often
    chunk : implicates of a chunk
    published : implicates of the set that `cost.publish` was measured on; it grows with their number
    """
    pairs, chunks = years * donors, years * donors * -(-implicates // chunk)
    fit, draw = pairs * cost.upstream / 3600, chunks * cost.chunk / 3600
    publish = pairs * cost.publish * implicates / published / 3600
    total = fit + draw + publish
    # A pair's chunks wait for its models and its report for its chunks: no number of machines shortens that chain.
    chain = (cost.upstream + cost.chunk + cost.publish * implicates / published) / 3600
    rows = [
        f"| runs: fit, chunks, publish | {pairs:,} + {chunks:,} + {pairs:,} |",
        f"| CPU hours: fit, chunks, publish | {fit:,.0f} + {draw:,.0f} + {publish:,.0f} = {total:,.0f} |",
        f"| storage of implicates, GB | {pairs * implicates * cost.size / 1000:,.0f} |",
        f"| peak memory of a run, GB | {cost.peak * 2**20 / 1e9:.1f} |",
        *(
            f"| hours on {n} machine{'s' * (n > 1)} of {cores} cores | {max(total / n, chain) / cores:,.1f} |"
            for n, cores in MACHINES
        ),
    ]
    what = f"{years} ACS years x {donors} donors x {implicates} implicates, {cost.households:,} households"
    return "\n".join([f"| {what} | |", "|---|---:|", *rows])
