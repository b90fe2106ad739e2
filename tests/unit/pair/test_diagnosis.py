"""`fusion doctor` names what is wrong and what to do, and nothing else."""

import logging
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
from click.testing import CliRunner
from dagster._core.test_utils import create_run_for_test
from dagster._core.utils import make_new_run_id
from dagster._daemon.types import DaemonHeartbeat

from fusion_pipeline import diagnosis, running, workers
from fusion_pipeline.cli import main
from fusion_pipeline.diagnosis import examine
from fusion_pipeline.registry import load_registry
from fusion_pipeline.settings import load_settings
from fusion_pipeline.storage.layout import Layout
from fusion_pipeline.storage.receipts import write_receipt
from tests.conftest import ROOT


def findings(folder: Path, **settings) -> dict[str, diagnosis.Finding]:
    chosen = load_settings(data=folder, **{"source": "simulated", "memory_limit": "64MiB", **settings})
    return {finding.what: finding for finding in examine(chosen, load_registry())}


def test_this_machine_with_plain_settings_is_well(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(diagnosis, "USUAL_DISK", 1)
    assert {f.state for f in findings(tmp_path, threads=1).values()} == {"good"}


def test_more_threads_than_cores_are_wrong(tmp_path) -> None:
    found = findings(tmp_path, threads=len(os.sched_getaffinity(0)) + 1)["threads"]
    assert found.state == "wrong"
    assert "FUSION_THREADS" in found.remedy


def test_memory_limit_above_what_is_available_is_wrong(tmp_path) -> None:
    assert findings(tmp_path, memory_limit="900TiB")["memory"].state == "wrong"


@pytest.mark.parametrize(("bound", "state"), [("LEAST_DISK", "wrong"), ("USUAL_DISK", "doubtful")])
def test_too_little_disk_is_named_with_its_folder(tmp_path, monkeypatch, bound, state) -> None:
    monkeypatch.setattr(diagnosis, bound, 1 << 60)
    found = findings(tmp_path / "not" / "there")["disk"]
    assert found.state == state
    assert str(tmp_path) in found.found


def test_package_of_another_version_is_named(tmp_path, monkeypatch) -> None:
    lock = tmp_path / "requirements.lock"
    lock.write_text("numpy==1.0 \\\n    --hash=sha256:0\nnonesuch==1\n")
    monkeypatch.setattr(diagnosis, "LOCK", lock)
    found = findings(tmp_path)["packages"]
    assert found.state == "wrong"
    assert found.found.startswith("numpy is 2")
    assert "nonesuch" not in found.found


def test_offline_mirror_without_a_survey_year_names_it(tmp_path) -> None:
    found = findings(tmp_path / "data", raw=tmp_path, source="public", offline=True)["raw files"]
    assert found.state == "doubtful"
    assert "RECS_2015" in found.remedy


def test_damaged_artefact_is_named(tmp_path) -> None:
    layout = Layout(tmp_path / "simulated")
    path = layout.report("A__B")
    path.parent.mkdir(parents=True)
    path.write_text("whole")
    origin = {"asset": "quality/report", "partition": "A__B"}
    write_receipt(layout, "quality/report", "A__B", "1", [path], provenance=origin)
    assert findings(tmp_path)["artefacts"].state == "good"
    path.write_text("half")
    found = findings(tmp_path)["artefacts"]
    assert found.state == "wrong"
    assert found.found == "quality/report[A__B]: reports/A__B.html is not as it was written"


def test_command_shows_findings_and_says_by_its_code_whether_something_is_wrong(
    tmp_path, monkeypatch
) -> None:
    monkeypatch.setenv("FUSION_DATA", str(tmp_path))
    monkeypatch.setenv("FUSION_SOURCE", "simulated")
    monkeypatch.setenv("FUSION_MEMORY_LIMIT", "64MiB")
    monkeypatch.setattr(running, "local_instance", dg.DagsterInstance.ephemeral)
    well = CliRunner().invoke(main, ["--quiet", "doctor"])
    assert well.exit_code == 0, well.output
    assert "0 runs recorded in memory" in well.output
    monkeypatch.setenv("FUSION_THREADS", "999")
    ill = CliRunner().invoke(main, ["--quiet", "doctor"])
    assert ill.exit_code == 1
    assert "✗ threads" in ill.output


def test_killed_run_is_named_by_doctor_and_by_the_next_run_which_releases_it(
    tmp_path, monkeypatch, caplog
) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    monkeypatch.setenv("FUSION_DATA", str(tmp_path))
    monkeypatch.setattr(dg.DagsterInstance, "__exit__", lambda *_: None)
    run_id = make_new_run_id()
    with dg.DagsterInstance.ephemeral() as instance:
        killed = create_run_for_test(
            instance,
            run_id=run_id,
            job_name="fit_pair",
            status=dg.DagsterRunStatus.STARTED,
            tags={
                **workers.note(run_id, gone.pid),
                "dagster/partition": "RECS_2015__ACS_2015",
            },
        )
        monkeypatch.setattr(running, "local_instance", lambda: instance)
        told = " ".join(CliRunner().invoke(main, ["--quiet", "doctor"]).output.split())
        assert "killed, and holding what they held: fit_pair RECS_2015__ACS_2015" in told
        assert "lower FUSION_MEMORY_LIMIT" in told
        monkeypatch.setattr(
            logging.getLogger("fusion_pipeline"), "propagate", True
        )  # the command took it away
        workers.release_dead_runs(instance)
        assert "fit_pair RECS_2015__ACS_2015 was killed while it ran" in caplog.text
        assert instance.get_run_by_id(killed.run_id).status == dg.DagsterRunStatus.FAILURE
        assert workers.dead_runs(instance) == []


@pytest.mark.parametrize(
    "whose", ["of this process", "inherited from an earlier attempt", "of an earlier process"]
)
def test_run_whose_process_is_there_or_is_not_known_is_left_alone_and_a_namesake_does_not_count(
    whose,
) -> None:
    run_id = make_new_run_id()
    tags = {
        "of this process": workers.note(run_id),
        "inherited from an earlier attempt": {workers.PROCESS: f"{make_new_run_id()} {platform.node()} 1 -1"},
        "of an earlier process": {workers.PROCESS: f"{run_id} {platform.node()} {os.getpid()} -1"},
    }
    with dg.DagsterInstance.ephemeral() as instance:
        create_run_for_test(instance, run_id=run_id, status=dg.DagsterRunStatus.STARTED, tags=tags[whose])
        assert bool(workers.dead_runs(instance)) == (whose == "of an earlier process")


def test_doctor_says_in_which_folder_of_dagster_yaml_runs_are_recorded(tmp_path, monkeypatch) -> None:
    folder = tmp_path / "runs"
    (tmp_path / "dagster.yaml").write_text(f"storage: {{sqlite: {{base_dir: {folder}}}}}")
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    with running.local_instance() as instance:
        assert running.record_of_runs(instance) == str(folder)


@pytest.mark.parametrize(
    ("queue", "told"),
    [
        ("runs: {max_concurrent_runs: 2}", "✓ runs at once 2 of the UI, each with 3 of 6 threads, 32 MiB"),
        (
            "runs: {max_concurrent_runs: 4}",
            "! runs at once max_concurrent_runs is 4, FUSION_CONCURRENT_STEPS 2",
        ),
        ("runs: {max_concurrent_runs: 1}", "together runs of the UI take a part only"),
        ("runs: {max_concurrent_runs: -1}", "max_concurrent_runs is without limit"),
    ],
)
def test_doctor_holds_the_runs_of_the_queue_against_the_share_that_each_takes(
    tmp_path, monkeypatch, queue, told
) -> None:
    (tmp_path / "dagster.yaml").write_text(f"concurrency: {{{queue}}}\ntelemetry: {{enabled: false}}")
    for name, value in {"DATA": tmp_path / "data", "THREADS": 6, "MEMORY_LIMIT": "64MiB"}.items():
        monkeypatch.setenv(f"FUSION_{name}", str(value))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    assert told in " ".join(CliRunner().invoke(main, ["--quiet", "doctor"]).output.split())


def test_variable_that_the_instance_needs_is_named_without_a_stack_trace(tmp_path, monkeypatch) -> None:
    shutil.copy(ROOT / "deploy" / "dagster.yaml", tmp_path)
    for name in ("HOST", "PORT", "USER", "PASSWORD"):
        monkeypatch.setenv(f"DAGSTER_PG_{name}", "5432")
    monkeypatch.delenv("DAGSTER_PG_DB", raising=False)
    monkeypatch.setenv("DAGSTER_STATE", str(tmp_path))
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    monkeypatch.setenv("FUSION_DATA", str(tmp_path / "data"))
    told = CliRunner().invoke(main, ["--quiet", "doctor"])
    assert told.exit_code == 1
    output = " ".join(told.output.split())
    assert "dagster.yaml needs DAGSTER_PG_DB." in output
    assert "Stack Trace" not in output


@pytest.mark.parametrize(("age", "told"), [(5, "alive 5 s ago"), (9999, "none runs"), (None, "none runs")])
def test_doctor_tells_whether_a_daemon_runs_as_information(tmp_path, monkeypatch, age, told) -> None:
    monkeypatch.setenv("FUSION_DATA", str(tmp_path))
    monkeypatch.setenv("FUSION_MEMORY_LIMIT", "64MiB")
    monkeypatch.setattr(running.time, "time", lambda: 1_000_000.0)
    monkeypatch.setattr(running, "local_instance", dg.DagsterInstance.ephemeral)
    beats = {} if age is None else {"SENSOR": DaemonHeartbeat(1_000_000.0 - age, "SENSOR", "1", [])}
    monkeypatch.setattr(dg.DagsterInstance, "get_daemon_heartbeats", lambda _: beats)
    result = CliRunner().invoke(main, ["--quiet", "doctor"])
    [line] = [line for line in result.output.splitlines() if " daemon " in line]
    assert told in line
    assert line.startswith("✓")
