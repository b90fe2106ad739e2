"""Machines that share an object store and nothing else make one pair together."""

from pathlib import Path

import pytest

from fusion_pipeline.running import chunk_runs, run_all, run_pair, runs_of, throwaway_instance
from fusion_pipeline.settings import load_settings
from tests.conftest import PAIR, Run
from tests.objects import object_store

pytestmark = pytest.mark.slow
QUALITY = ("area_error", "external", "report")


def machine(folder: Path, **settings) -> Run:
    """A machine with a folder and an instance of its own."""
    small = {"simulated_households": 600, "simulated_donors": 400, "threads": 1}
    chosen = load_settings(data=folder, source="simulated", **small, **settings)
    return Run(chosen, throwaway_instance(), {})


def made(run: Run, runs) -> set[str]:
    """Names of what was really made."""
    return {
        "/".join(filter(None, (*m.asset_key.path, m.partition)))
        for _, outcome in run_all(runs, run.settings, run.instance)
        if outcome is not None
        for m in outcome.materialized
        if not m.metadata["reused"].value
    }


def test_pair_made_by_three_machines_has_the_bytes_of_one(tmp_path) -> None:
    with object_store() as address:
        one, other, third = (machine(tmp_path / name, remote=address) for name in ("one", "other", "third"))
        upstream = [run for run in runs_of(PAIR) if run.job not in ("fuse_chunk", "publish_pair")]
        made(one, upstream)
        assert made(one, chunk_runs(PAIR, "01-05")) == {f"fusion/implicates/{PAIR}|01-05"}
        # An empty machine makes nothing but what it was asked for.
        assert made(other, chunk_runs(PAIR, "06-10")) == {f"fusion/implicates/{PAIR}|06-10"}
        assert not other.layout.implicate(PAIR, 1).exists()
        assert made(other, chunk_runs(PAIR, "01-05")) == set()
        # Raw files are found by each machine for itself; everything behind them is there.
        found = {name for name in made(third, runs_of(PAIR)) if "/raw" not in name}
        assert found == {f"fusion/microdata/{PAIR}", *(f"quality/{name}/{PAIR}" for name in QUALITY)}
    alone = machine(tmp_path / "alone")
    assert all(
        outcome is None or outcome.materialized
        for _, outcome in run_pair(PAIR, alone.settings, alone.instance)
    )
    for m in range(1, 11):
        assert third.layout.implicate(PAIR, m).read_bytes() == alone.layout.implicate(PAIR, m).read_bytes()
    assert third.layout.report(PAIR).read_bytes() == alone.layout.report(PAIR).read_bytes()
