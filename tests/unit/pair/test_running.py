"""What a pair's runs are and ask for; runs leave room for each other: threads and memory are shared, pools are kept."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.execution.api import execute_run_iterator
from dagster._core.test_utils import create_run_for_test
from dagster._core.utils import make_new_run_id

from fusion_pipeline import running, workers
from fusion_pipeline.errors import RawFileError
from fusion_pipeline.registry import load_registry
from fusion_pipeline.running import JobRun, find_raw_files, run_all, runs_of
from fusion_pipeline.settings import load_settings
from resources.compute import Compute
from tests.conftest import ROOT

REGISTRY = load_registry()


@pytest.fixture
def given(monkeypatch) -> list[tuple[int, int]]:
    """What each job may take, as it is executed: threads and bytes. The job itself is not."""
    found: list[tuple[int, int]] = []

    def execute(definitions: dg.Definitions, *_, **__) -> None:
        compute = definitions.resources["compute"]
        assert isinstance(compute, Compute)
        found.append((compute.threads, compute.memory_limit))

    monkeypatch.setattr(running, "execute", execute)
    return found


def at_work(instance: dg.DagsterInstance, process: int) -> None:
    """Record a run that works in a process."""
    run_id = make_new_run_id()
    tags = workers.note(run_id, process)
    create_run_for_test(instance, run_id=run_id, status=dg.DagsterRunStatus.STARTED, tags=tags)


def test_runs_at_once_share_the_threads_and_the_last_takes_all(tmp_path, given) -> None:
    settings = load_settings(data=tmp_path, source="simulated", threads=6, memory_limit="6GiB")
    neighbour = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with dg.DagsterInstance.ephemeral() as instance:
        at_work(instance, os.getpid())
        at_work(instance, neighbour.pid)
        jobs = run_all([JobRun("fit_pair", "first"), JobRun("fit_pair", "second")], settings, instance)
        next(jobs), next(jobs)
        neighbour.communicate(b"\n")
        assert len(list(jobs)) == 2
    assert given == [(2, 2 << 30), (3, 3 << 30)]


def test_run_by_itself_takes_all_threads(tmp_path, given) -> None:
    settings = load_settings(data=tmp_path, source="simulated", threads=6, memory_limit="6GiB")
    with dg.DagsterInstance.ephemeral() as instance:
        assert len(list(run_all([JobRun("fit_pair", "only")], settings, instance))) == 2
    assert given == [(6, 6 << 30)]


@pytest.fixture
def on_disk(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """The local instance in a folder of the test's, with one place in the pool `training`."""
    text = (ROOT / "dagster.yaml").read_text()
    (tmp_path / "dagster.yaml").write_text(text.replace(".dagster/", f"{tmp_path}/"))
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        instance.event_log_storage.set_concurrency_slots("training", 1)
        yield instance


def training(does: Callable[[], object]) -> dg.Definitions:
    """A job whose one step needs a place in the pool."""

    @dg.asset(pool="training")
    def trained() -> None:
        does()

    job = dg.define_asset_job("train", [trained], executor_def=workers.IN_PROCESS)
    return dg.Definitions(assets=[trained], jobs=[job])


def test_step_of_the_command_line_waits_for_a_place_in_its_pool(on_disk) -> None:
    begun, places = threading.Event(), on_disk.event_log_storage
    assert places.claim_concurrency_slot("training", "another run", "models").is_claimed
    run = (training(begun.set), JobRun("train", None), on_disk)
    ours = threading.Thread(target=running.execute, args=run)
    ours.start()
    assert not begun.wait(2)
    places.free_concurrency_slots_for_run("another run")
    ours.join(300)
    assert begun.is_set()


def test_run_that_lost_its_process_is_taken_up_by_another_and_keeps_its_place_in_the_pool(on_disk) -> None:
    """As the cluster does with a job that lost its node (`maxResumeRunAttempts`, deploy/kubernetes/values.yaml)."""
    done: list[int] = []
    job = training(lambda: done.append(1)).resolve_job_def("train")
    run = on_disk.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED, tags=workers.note("lost", 1))
    held = on_disk.event_log_storage.claim_concurrency_slot("training", run.run_id, "trained")
    assert held.is_claimed
    events = list(execute_run_iterator(InMemoryJob(job), run, on_disk, resume_from_failure=True))
    assert events[-1].event_type is dg.DagsterEventType.RUN_SUCCESS
    assert done == [1]
    ended = on_disk.get_run_by_id(run.run_id)
    assert ended.tags[workers.PROCESS] == workers.note(run.run_id)[workers.PROCESS]


def other_definition(pair: str) -> str:
    own = REGISTRY.pumas_of(REGISTRY.pair(pair).recipient)
    [other] = set(REGISTRY.geography) - {own}
    return other


@pytest.mark.parametrize("pair", REGISTRY.pairs)
def test_a_pair_makes_nothing_by_pumas_of_the_other_definition(pair) -> None:
    places = {run.partition for run in runs_of(pair) if run.job in ("build_concordance", "summarize_places")}
    assert len(places) == 1 + len(REGISTRY.spatial)
    assert not [key for key in places if key.endswith(other_definition(pair))]


@pytest.mark.parametrize("pair", ["RECS_2015__ACS_2015", "NHTS_2022__ACS_2024"])
def test_a_pair_asks_for_no_file_of_the_other_definition(tmp_path, pair) -> None:
    """With nothing at hand every file that is needed is named: its own tracts are, the others' are not."""
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    settings = load_settings(data=tmp_path, source="public", raw=mirror, offline=True)
    with pytest.raises(RawFileError) as told:
        find_raw_files(pair, settings)
    own = REGISTRY.pumas_of(REGISTRY.pair(pair).recipient)
    assert REGISTRY.geography[own].files["tracts"].name in str(told.value)
    assert REGISTRY.geography[other_definition(pair)].files["tracts"].name not in str(told.value)
