"""What goes wrong on real machines: nothing half-written is read, nothing is blocked, the next run goes on.

Kills in the middle of training are in `test_killed_run.py`; each way a write can fail in `tests/unit/storage/`.
"""

import hashlib
import os
import re
import resource
import signal
import subprocess
from pathlib import Path

import pytest

from fusion_pipeline.running import run_pair
from tests.conftest import PAIR, Run
from tests.disks import on_small_disk, pages
from tests.serving import DagsterUI, program, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("complete")]


def fuse(run: Run, disk: int | None = None, **limits) -> subprocess.Popen:
    """Draw implicates 6-10 in a process of its own that shares nothing but the data folder.

    With a `disk` of so many bytes the implicates lie on one that only this process sees, and what stands there when it
    has ended is written to `seen.txt`: checksum and name.
    """
    command = [str(program("fusion")), "fuse", "--unrecorded", "--pair", PAIR, "--implicates", "6-10"]
    if disk is not None:
        folder = run.layout.implicates(PAIR)
        after = f'"$@"; code=$?; cd "{folder}"; find . -type f | sort | xargs sha256sum > "{seen(run)}"; exit $code'
        command = on_small_disk(folder, disk, "sh", "-c", after, "sh", *command)
    settings = {
        "FUSION_DATA": str(run.settings.data),
        "FUSION_SOURCE": "simulated",
        "FUSION_SIMULATED_HOUSEHOLDS": str(run.settings.simulated_households),
        "FUSION_SIMULATED_DONORS": str(run.settings.simulated_donors),
        "FUSION_THREADS": "1",
    }
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("FUSION_", "DAGSTER_"))}
    return subprocess.Popen(
        command,
        env={**kept, **settings},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **limits,
    )


def seen(run: Run) -> Path:
    return run.settings.data / "seen.txt"


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


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def litter(run: Run) -> list[str]:
    return [str(path) for path in run.layout.root.rglob(".*") if path.suffix in (".tmp", ".old")]


def test_full_disk_stops_a_chunk_with_its_cause_and_keeps_what_was_finished(complete_pair) -> None:
    before = lose(complete_pair)
    stays = [path for path in sorted(complete_pair.layout.implicates(PAIR).rglob("*")) if path.is_file()]
    taken = sum(pages(path.stat().st_size) for path in stays)
    # Room for one implicate and a half, whose row blocks lie there until it is whole.
    room = taken + pages(40_000) + len(before[6]) + len(before[7]) // 2
    full = fuse(complete_pair, disk=room)
    output, progress = full.communicate(timeout=600)
    assert full.returncode == 1, progress
    assert "StorageError" in output
    assert "No space left on device" in " ".join(output.split())
    assert "what stood there before is untouched" in " ".join(output.split())
    there = dict(reversed(line.split(maxsplit=1)) for line in seen(complete_pair).read_text().splitlines())
    folder = complete_pair.layout.implicates(PAIR)
    kept = {str(f"./{path.relative_to(folder)}"): digest(path.read_bytes()) for path in stays}
    new = {
        f"./{complete_pair.layout.implicate(PAIR, m).relative_to(folder)}": digest(b)
        for m, b in before.items()
    }
    assert kept.items() <= there.items()
    finished = {name for name in there.keys() - kept.keys() if "/." not in name}
    assert finished < new.keys()
    assert all(there[name] == new[name] for name in finished)
    following = fuse(complete_pair)
    _, progress = following.communicate(timeout=600)
    assert following.returncode == 0, progress
    assert drawn(complete_pair) == before


def test_file_that_may_not_grow_is_named_and_the_next_run_goes_on(complete_pair) -> None:
    before = lose(complete_pair)
    # No file of this process may grow beyond 8 KB: as on a full disk, as soon as it writes an implicate.
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
