"""Machines that share an object store and nothing else make one pair together, with the bytes of one machine alone."""

import hashlib
from pathlib import Path

import pytest

from fusion_pipeline.running import chunk_runs, run_all, runs_of, runs_up_to_models, throwaway_instance
from fusion_pipeline.settings import load_settings
from fusion_pipeline.storage.layout import Layout
from tests.conftest import PAIR, SMALL, Run
from tests.objects import object_store

pytestmark = pytest.mark.slow
QUALITY = ("area_error", "external", "report")


def machine(folder: Path, **settings) -> Run:
    """A machine with a folder and an instance of its own."""
    chosen = load_settings(data=folder, source="simulated", **SMALL, **settings)
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


def digests(layout) -> dict[str, str]:
    files = [p for p in layout.root.rglob("*") if p.is_file() and not p.name.startswith(".")]
    # Receipts tell of the run: how long it took, where files lie.
    files = [p for p in files if ".receipts" not in p.parts]
    # The record of raw files says where they lie, which differs between folders.
    files = [p for p in files if p.parent.name != "raw" and p.name != "raw.parquet"]
    return {str(p.relative_to(layout.root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def test_same_seed_gives_the_same_bytes_on_three_machines_on_other_threads_in_another_order(
    ready_pair, tmp_path
) -> None:
    with object_store() as address:
        one = machine(tmp_path / "one", remote=address, threads=1, memory_limit="320MiB")
        other = machine(tmp_path / "other", remote=address, threads=2)
        third = machine(tmp_path / "third", remote=address)
        made(one, runs_up_to_models(PAIR))
        # An empty machine makes nothing but what it was asked for.
        assert made(other, chunk_runs(PAIR, "06-10")) == {f"fusion/implicates/{PAIR}|06-10"}
        assert not other.layout.implicate(PAIR, 1).exists()
        assert made(one, chunk_runs(PAIR, "01-05")) == {f"fusion/implicates/{PAIR}|01-05"}
        assert made(other, chunk_runs(PAIR, "01-05")) == set()
        # Raw files are found by each machine for itself; everything behind them is there.
        found = {name for name in made(third, runs_of(PAIR)) if "/raw" not in name}
        assert found == {f"fusion/microdata/{PAIR}", *(f"quality/{name}/{PAIR}" for name in QUALITY)}
    assert digests(third.layout) == digests(Layout(ready_pair / "simulated"))
