"""The plan that `benchmarks/chunk.py` prints is the arithmetic that docs/scaling.md tells."""

import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def planning():
    spec = importlib.util.spec_from_file_location("plan", ROOT / "benchmarks" / "plan.py")
    module = importlib.util.module_from_spec(spec)
    # Where dataclasses look for the module of a class.
    sys.modules["plan"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["plan"]


def test_costs_are_carried_along_a_straight_line_and_a_fixed_part_is_paid_once(planning) -> None:
    measured = [
        planning.Cost(n, 100 + n / 100, n / 1000, 10, 500 + n / 1000, n / 100) for n in (20_000, 80_000)
    ]
    national = planning.carried(measured, 1_300_000)
    assert national.upstream == pytest.approx(13_100)
    assert national.chunk == pytest.approx(1_300)
    assert (national.publish, national.peak, national.size) == pytest.approx((10, 1_800, 13_000))
    assert planning.carried(measured[:1], 40_000).chunk == pytest.approx(40)


def test_plan_counts_every_pair_and_chunk_and_no_machine_shortens_the_longest_chain(planning) -> None:
    # An hour to fit, a quarter of an hour for a chunk, six minutes to publish 10 of 40 implicates, 0.5 GB an implicate.
    cost = planning.Cost(1_300_000, 3600, 900, 360, 4000, 500)
    rows = dict(line.strip("| ").split(" | ") for line in planning.plan(cost).splitlines()[2:])
    assert rows["runs: fit, chunks, publish"] == "60 + 480 + 60"
    assert rows["CPU hours: fit, chunks, publish"] == "60 + 120 + 24 = 204"
    assert rows["storage of implicates, GB"] == "1,200"
    assert rows["hours on 1 machine of 8 cores"] == "25.5"
    assert rows["hours on 4 machines of 16 cores"] == "3.2"
    chain = planning.plan(cost, years=1, donors=1).splitlines()[-1]
    assert chain == "| hours on 60 machines of 16 cores | 0.1 |"
