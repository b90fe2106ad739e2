"""A complete pair, and a running instance on another, for the slow tests that leave them complete."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Run, materialize
from tests.serving import MANY, DagsterUI, make_home, serve


@pytest.fixture(scope="session")
def complete_pair(ready_pair: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A pair that is complete, in a folder copied from another; every test leaves it complete."""
    folder = tmp_path_factory.mktemp("complete")
    shutil.copytree(ready_pair, folder, dirs_exist_ok=True)
    run = materialize(folder, threads=1)
    made = [m for o in run.outcomes.values() for m in o.materialized if not m.metadata["reused"].value]
    assert {m.asset_key.path[-1] for m in made} <= {"raw"}, "what was moved is made again"
    return run


@pytest.fixture(scope="session")
def ui(ready_pair: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DagsterUI]:
    """A running instance on a pair of many chunks that the command line made; every test leaves it complete."""
    more = {"FUSION_IMPLICATES": str(MANY.count)}
    home = make_home(tmp_path_factory.mktemp("running"), ready_pair, **more)
    file = home / "dagster.yaml"
    file.write_text(file.read_text().replace("poll_interval_seconds: 20", "poll_interval_seconds: 3"))
    with serve(home, home / "dagster_dev.log", **more) as running:
        yield running
