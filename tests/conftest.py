"""What several areas of the suite share: where real files lie, and one small fusion pair made end to end."""

import logging
import os
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest
from hypothesis import settings

from tests import ready

# How long an example takes is a property of the machine.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

ROOT = Path(__file__).parents[1]
PAIR = "RECS_2015__ACS_2015"
SMALL = {"simulated_households": 1_500, "simulated_donors": 700}
"""Sizes of `small_run`."""

SHARING = {
    "complete": (
        "test_failures.py",
        "test_internal_validation.py",
        "test_made_again.py",
    ),
    "served": ("test_backfills.py", "test_served_failures.py"),
}
"""Files whose tests use the same complete pair, or the same running instance: one process makes it for all."""


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Give a file of tests to one process at a time, and files that share what is dear to make to the same one."""
    from xdist.scheduler import LoadFileScheduling

    class ByFile(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            return next((what for what, files in SHARING.items() if file.endswith(files)), file)

    return ByFile(config, log)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave files unread that have no test of the kind asked for (`-m slow`): most have none."""
    asked = (config.getoption("markexpr") or "not").split()[0]
    if asked == "not" or collection_path.suffix != ".py":
        return None
    return f"mark.{asked}" not in collection_path.read_text() or None


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder with real public-use files."""
    folder = Path(os.environ.get("FUSION_SHARED", ROOT.parent / "shared"))
    if not folder.is_dir():
        pytest.fail(f"{folder} does not exist: set FUSION_SHARED, or do not ask for the realdata tests")
    return folder


@pytest.fixture(autouse=True)
def logger_as_found():
    """Put the package's logger back: the command line takes it over for its console, for the life of its process."""
    logger = logging.getLogger("fusion_pipeline")
    handlers, level, propagate = [*logger.handlers], logger.level, logger.propagate
    yield
    logger.handlers[:], logger.propagate = handlers, propagate
    logger.setLevel(level)


@dataclass(frozen=True)
class Run:
    """A fusion pair that was materialized in this process."""

    settings: object
    instance: dg.DagsterInstance
    outcomes: dict

    @property
    def layout(self):
        from fusion_pipeline.storage.layout import Layout

        return Layout(self.settings.root)


def materialize(folder: Path, **settings) -> Run:
    """Materialize the simulated pair on a small population into a folder."""
    from fusion_pipeline.running import run_pair
    from fusion_pipeline.settings import load_settings

    chosen = load_settings(data=folder, source="simulated", **SMALL, **settings)
    instance = dg.DagsterInstance.ephemeral()
    outcomes = {run: outcome for run, outcome in run_pair(PAIR, chosen, instance) if outcome is not None}
    return Run(chosen, instance, outcomes)


@pytest.fixture(scope="session")
def small_run(tmp_path_factory, pytestconfig) -> Run:
    """The simulated pair, 1,500 ACS households and 700 donors, 10 implicates, made by this process."""
    run = materialize(tmp_path_factory.mktemp("small"))
    ready.keep(pytestconfig.cache.mkdir("pair"), run.settings.data)
    return run


@pytest.fixture(scope="session")
def ready_pair(pytestconfig) -> Path:
    """Data folder of the same pair, made by whichever process came first: to copy, not to change."""
    return ready.find_or_make(pytestconfig.cache.mkdir("pair"), materialize)
