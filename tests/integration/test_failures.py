"""What goes wrong on real machines: nothing half-written is read, nothing is blocked, the next run goes on.

Kills in the middle of training are in `test_killed_run.py`; each way a write can fail in `tests/unit/storage/`.
"""

import os
import re
import resource
import signal
import subprocess

import pytest

from fusion_pipeline.running import run_pair
from tests.conftest import PAIR, Run
from tests.serving import DagsterUI, program, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("complete")]


def fuse(run: Run, **limits) -> subprocess.Popen:
    """Draw implicates 6-10 in a process of its own that shares nothing but the data folder."""
    settings = {
        "FUSION_DATA": str(run.settings.data),
        "FUSION_SOURCE": "simulated",
        "FUSION_SIMULATED_HOUSEHOLDS": str(run.settings.simulated_households),
        "FUSION_SIMULATED_DONORS": str(run.settings.simulated_donors),
        "FUSION_THREADS": "1",
    }
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("FUSION_", "DAGSTER_"))}
    return subprocess.Popen(
        [program("fusion"), "fuse", "--unrecorded", "--pair", PAIR, "--implicates", "6-10"],
        env={**kept, **settings},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **limits,
    )


def lose(run: Run) -> dict[int, bytes]:
    """Take implicates 6-10 away and return their bytes."""
    before = {}
    for m in range(6, 11):
        file = run.layout.implicate(PAIR, m)
        before[m] = file.read_bytes()
        file.unlink()
    return before


def drawn(run: Run) -> dict[int, bytes]:
    return {m: run.layout.implicate(PAIR, m).read_bytes() for m in range(6, 11)}


def litter(run: Run) -> list[str]:
    return [str(path) for path in run.layout.root.rglob(".*") if path.suffix in (".tmp", ".old")]


def test_disk_that_fills_up_is_named_and_the_next_run_goes_on(complete_pair) -> None:
    before = lose(complete_pair)
    # No file of this process may grow beyond 8 KB: the disk is full as soon as it writes an implicate.
    full = fuse(complete_pair, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192)))
    output, progress = full.communicate(timeout=600)
    assert full.returncode == 1, progress
    assert "StorageError" in output
    assert "what stood there before is untouched" in output
    assert not any(complete_pair.layout.implicate(PAIR, m).exists() for m in range(6, 11))
    following = fuse(complete_pair)
    _, progress = following.communicate(timeout=600)
    assert following.returncode == 0, progress
    assert drawn(complete_pair) == before
    assert not litter(complete_pair)


def test_two_writers_of_the_same_partition_leave_one_whole_artefact(complete_pair) -> None:
    before = lose(complete_pair)
    writers = [fuse(complete_pair), fuse(complete_pair)]
    for writer in writers:
        _, progress = writer.communicate(timeout=300)
        assert writer.returncode == 0, progress
    assert drawn(complete_pair) == before
    assert not litter(complete_pair)


def test_damaged_table_is_made_again_before_anything_reads_it(complete_pair) -> None:
    table = complete_pair.layout.tables(("fusion", "located"), PAIR) / "donor.parquet"
    before = table.read_bytes()
    table.write_bytes(before[: len(before) // 2])
    outcomes = dict(run_pair(PAIR, complete_pair.settings, complete_pair.instance))
    made = [m for o in outcomes.values() if o for m in o.materialized if not m.metadata["reused"].value]
    assert [m.asset_key.path[-1] for m in made] == ["located"]
    assert "is not as it was written" in made[0].metadata["made because"].value
    assert table.read_bytes() == before


def test_clock_that_jumps_makes_nothing_again(complete_pair) -> None:
    for path in complete_pair.layout.root.rglob("*.parquet"):
        os.utime(path, (0, 4_000_000_000))
    outcomes = dict(run_pair(PAIR, complete_pair.settings, complete_pair.instance))
    assert all(len(o.reused) == len(o.materialized) for o in outcomes.values() if o)


LAUNCH = """mutation Launch($parameters: ExecutionParams!) {
  launchPipelineExecution(executionParams: $parameters) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
RUNS = "{ runsOrError { ... on Runs { results { runId status parentRunId tags { key value } } } } }"
MESSAGES = """query($id: ID!) { runOrError(runId: $id) { ... on Run {
  eventConnection { events { ... on MessageEvent { message } } } } } }"""


def launch(ui: DagsterUI, job: str, partition: str, **tags: str) -> str:
    """Launch a job on a partition as the UI does."""
    selector = {
        "repositoryLocationName": "fusion_pipeline",
        "repositoryName": "__repository__",
        "jobName": job,
    }
    shown = [{"key": key, "value": value} for key, value in {"dagster/partition": partition, **tags}.items()]
    parameters = {"selector": selector, "mode": "default", "executionMetadata": {"tags": shown}}
    launched = ui.ask(LAUNCH, parameters=parameters)["launchPipelineExecution"]
    assert launched["__typename"] == "LaunchRunSuccess", launched
    return launched["run"]["runId"]


def test_killed_run_worker_is_noticed_and_its_run_tried_again_to_the_end(ui) -> None:
    run = launch(ui, "fit_pair", PAIR, **{"fusion/force": "true"})

    def messages() -> str:
        events = ui.ask(MESSAGES, id=run)["runOrError"]["eventConnection"]["events"]
        return "\n".join(event.get("message") or "" for event in events)

    wait_until(lambda: "fitted" in messages(), 180, "the training to begin")
    worker = re.search(r"in process \(pid: (\d+)\)", messages())
    assert worker is not None, messages()
    os.kill(int(worker[1]), signal.SIGKILL)
    wait_until(lambda: ui.run_status(run) == "FAILURE", 120, "the monitor to notice")

    def retried() -> str | None:
        runs = ui.ask(RUNS)["runsOrError"]["results"]
        return next((r["status"] for r in runs if r["parentRunId"] == run), None)

    wait_until(lambda: retried() == "SUCCESS", 300, "the second attempt")
