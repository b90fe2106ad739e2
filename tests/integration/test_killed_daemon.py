"""The daemon is killed: what runs goes on, what waits runs once there is one again. All is killed: it goes on."""

import os
import shutil
import signal
import socket
import subprocess

import pytest

from fusion_pipeline.storage.layout import Layout
from fusion_pipeline.workers import PROCESS
from tests.conftest import ROOT
from tests.launching import MESSAGES, RUNS, launch_run
from tests.serving import DagsterUI, environment, program, serve, wait_until

pytestmark = pytest.mark.slow

LOCATION = """{ workspaceOrError { ... on Workspace {
  locationEntries { locationOrLoadError { __typename } } } } }"""
RELOAD = """mutation { reloadRepositoryLocation(repositoryLocationName: "fusion_pipeline") { __typename } }"""


@pytest.fixture
def start(tmp_path):
    """Start a part of a shared instance in a process group of its own, as a supervisor does."""
    for name in ("dagster.yaml", "workspace.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    started = []

    def begin(*words: str) -> subprocess.Popen:
        with (tmp_path / f"{len(started)}.log").open("w") as log:
            process = subprocess.Popen(
                [program(words[0]), *words[1:], "-w", "workspace.yaml"],
                cwd=tmp_path,
                env=environment(tmp_path),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        started.append(process)
        return process

    yield begin
    for process in started:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
        process.wait()


def test_killed_daemon_loses_no_run(start, tmp_path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    ui = DagsterUI(f"http://127.0.0.1:{port}", Layout(tmp_path / "data" / "simulated"))
    start("dagster-webserver", "-h", "127.0.0.1", "-p", port)
    daemon = start("dagster-daemon", "run")
    wait_until(lambda: _answers(ui), 600, "the web server")
    running = launch_run(ui, "ingest_survey", "RECS_2015")
    wait_until(lambda: ui.run_status(running) == "STARTED", 600, "the run to start")
    daemon.send_signal(signal.SIGKILL)
    daemon.wait()
    waiting = launch_run(ui, "ingest_recipient", "2015")
    wait_until(lambda: _ended(ui, running), 600, "the run that was going on")
    assert ui.run_status(waiting) == "QUEUED", "nobody is there to start it"
    start("dagster-daemon", "run")
    wait_until(lambda: _ended(ui, waiting), 600, "the run that waited")
    told = ui.ask(MESSAGES, id=waiting)["runOrError"]["eventConnection"]["events"]
    assert {r["status"] for r in ui.ask(RUNS)["runsOrError"]["results"]} == {"SUCCESS"}, told[-3:]


def test_queue_goes_on_when_all_of_it_was_killed_in_the_middle_of_a_run(tmp_path) -> None:
    for name in ("dagster.yaml", "workspace.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    file = tmp_path / "dagster.yaml"
    file.write_text(file.read_text().replace("max_concurrent_runs: 2", "max_concurrent_runs: 1"))
    with serve(tmp_path, tmp_path / "before.log") as ui:
        killed = launch_run(ui, "ingest_survey", "RECS_2015")
        wait_until(lambda: PROCESS in _tags(ui, killed), 600, "the run to begin")
        waiting = launch_run(ui, "ingest_survey", "RECS_2015")
        assert ui.run_status(killed) == "STARTED"
    # The group is gone by kill -9: web server, daemon, code server and run.
    with serve(tmp_path, tmp_path / "after.log") as ui:
        wait_until(lambda: ui.run_status(killed) == "FAILURE", 600, "the killed run to be noticed")
        wait_until(lambda: _ended(ui, waiting), 600, "the run that waited")
        assert ui.run_status(waiting) == "SUCCESS"


def _tags(ui: DagsterUI, run: str) -> set[str]:
    [found] = [r for r in ui.ask(RUNS)["runsOrError"]["results"] if r["runId"] == run]
    return {tag["key"] for tag in found["tags"]}


def _ended(ui: DagsterUI, run: str) -> bool:
    return ui.run_status(run) in ("SUCCESS", "FAILURE", "CANCELED")


def _answers(ui: DagsterUI) -> bool:
    import requests

    try:
        answer = ui.ask(LOCATION)["workspaceOrError"]["locationEntries"]
    except requests.ConnectionError:
        return False
    [loaded] = [(entry["locationOrLoadError"] or {}).get("__typename") for entry in answer]
    if loaded == "PythonError":  # a machine in a hurry: the code took longer to load than the server waits
        ui.ask(RELOAD)
    return loaded == "RepositoryLocation"
