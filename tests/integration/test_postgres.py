"""A shared instance as deploy/dagster.yaml describes it, on a PostgreSQL server that the test starts."""

import os
import pwd
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from fusion_pipeline.running import run_all, runs_of
from fusion_pipeline.settings import load_settings
from tests.conftest import PAIR, ROOT
from tests.serving import wait_until

pytestmark = pytest.mark.postgres


def _program(name: str) -> str:
    """Find a server program: Debian keeps them out of the path."""
    found = shutil.which(name) or next(
        (str(path) for path in sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True)), None
    )
    if found is None:
        pytest.fail(f"{name} is not installed: apt-get install postgresql, or do not ask for these tests")
    return found


@pytest.fixture(scope="module")
def database(tmp_path_factory) -> Iterator[dict[str, str]]:
    """A server on loopback, with a data folder of its own; what deploy/dagster.yaml wants to know of it."""
    folder = tmp_path_factory.mktemp("postgres")
    # The server refuses to run as root; on a machine of one's own the user is who runs the tests.
    user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    home = Path("/tmp") / f"fusion-postgres-{os.getpid()}"
    home.mkdir()
    shutil.chown(home, user)
    who = {"user": user} if os.geteuid() == 0 else {}
    try:
        subprocess.run(
            [_program("initdb"), "-D", home / "data", "-U", "dagster", "-A", "trust", "--no-sync"],
            check=True,
            capture_output=True,
            cwd=home,
            **who,
        )
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = str(probe.getsockname()[1])
        command = [_program("postgres"), "-D", home / "data", "-h", "127.0.0.1", "-p", port, "-k", home]
        with (folder / "log").open("w") as log:
            server = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=home, **who)
        try:
            ready = [_program("pg_isready"), "-q", "-h", "127.0.0.1", "-p", port]
            wait_until(lambda: subprocess.run(ready, check=False).returncode == 0, 60, "the server")
            # The server trusts whoever connects; the password shows that no character of one breaks the address.
            yield {
                "HOST": "127.0.0.1",
                "PORT": port,
                "USER": "dagster",
                "PASSWORD": "p@ss:w/rd#%25 ?",
                "DB": "postgres",
            }
        finally:
            server.terminate()
            server.wait()
    finally:
        shutil.rmtree(home)


@pytest.fixture
def instance(database, tmp_path, monkeypatch) -> Iterator[dg.DagsterInstance]:
    """The instance of deploy/dagster.yaml."""
    shutil.copy(ROOT / "deploy" / "dagster.yaml", tmp_path)
    for name, value in database.items():
        monkeypatch.setenv(f"DAGSTER_PG_{name}", value)
    monkeypatch.setenv("DAGSTER_STATE", str(tmp_path / "state"))
    with dg.DagsterInstance.from_config(str(tmp_path)) as opened:
        yield opened


def test_instance_keeps_everything_in_the_database_and_watches_its_runs(instance) -> None:
    storages = (instance.run_storage, instance.event_log_storage, instance.schedule_storage)
    assert all(type(storage).__module__.startswith("dagster_postgres") for storage in storages)
    assert instance.run_monitoring_enabled
    assert instance.run_retries_enabled
    assert instance.get_settings("retention")
    assert instance.get_concurrency_config().run_queue_config.max_concurrent_runs == 2
    assert not instance.telemetry_enabled


def test_jobs_run_on_it_with_pools_and_what_they_made_is_read_back(instance, tmp_path) -> None:
    settings = load_settings(
        data=tmp_path / "data", source="simulated", simulated_households=600, simulated_donors=400, threads=1
    )
    runs = [run for run in runs_of(PAIR) if run.job in ("ingest_survey", "build_concordance")]
    outcomes = [outcome for _, outcome in run_all(runs, settings, instance) if outcome is not None]
    assert sum(len(outcome.materialized) for outcome in outcomes) == 5 + 2
    assert instance.get_materialized_partitions(dg.AssetKey(["survey", "households"])) == {"RECS_2015"}
    event = instance.get_latest_materialization_event(dg.AssetKey(["geography", "concordance"]))
    assert event is not None
    assert event.asset_materialization.metadata["reused"].value is False
    again = [outcome for _, outcome in run_all(runs, settings, instance) if outcome is not None]
    assert all(len(outcome.reused) == len(outcome.materialized) for outcome in again)


def test_url_without_the_driver_does_not_open() -> None:
    """Why deploy/ names the driver; when this fails, the plain form works again."""
    from sqlalchemy import create_engine

    with pytest.raises(ModuleNotFoundError, match="psycopg"):
        create_engine("postgresql://dagster@127.0.0.1/dagster")
