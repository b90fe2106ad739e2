"""What deploy/ says fits the code, the local instance and the rules of the house."""

import re
from pathlib import Path

import dagster as dg
import pytest
import yaml

from fusion_pipeline.settings import Settings

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"
FILES = sorted(path for path in DEPLOY.rglob("*") if path.is_file())
LOCAL, SHARED = (
    yaml.safe_load(path.read_text()) for path in (ROOT / "dagster.yaml", DEPLOY / "dagster.yaml")
)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_setting_that_is_named_exists(path: Path) -> None:
    named = set(re.findall(r"\bFUSION_([A-Z_]+)\b", path.read_text()))
    assert named <= {name.upper() for name in Settings.model_fields}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_secret_stands_in_a_file(path: Path) -> None:
    text = re.sub(r"\$\{[^}]*\}", "${}", path.read_text())
    for found in re.findall(r"(?i)password\s*[:=]\s*(\S+)", text):
        assert found in ("${}", "..."), found


def test_threads_and_memory_are_shared_among_as_many_steps_as_may_run() -> None:
    for instance in (LOCAL, SHARED):
        steps = Settings.model_fields["concurrent_steps"].default
        assert instance["concurrency"]["runs"]["max_concurrent_runs"] == steps
        assert instance["concurrency"]["pools"] == {"granularity": "op", "default_limit": steps}


def test_concurrent_steps_take_no_more_than_there_is() -> None:
    for threads, steps in ((1, 2), (2, 2), (8, 3), (8, 1)):
        settings = Settings(threads=threads, concurrent_steps=steps, memory_limit="3GiB")
        assert settings.step_threads * steps <= max(threads, steps)
        assert settings.step_memory * steps <= settings.memory_limit


def test_shared_instance_names_the_driver_and_takes_its_address_from_the_environment() -> None:
    assert SHARED["storage"]["postgres"]["postgres_url"] == {"env": "DAGSTER_PG_URL"}
    compose = (DEPLOY / "compose.yaml").read_text()
    assert "postgresql+psycopg2://" in compose
    values = yaml.safe_load((DEPLOY / "kubernetes" / "values.yaml").read_text())
    assert values["postgresql"]["postgresqlScheme"] == "postgresql+psycopg2"


def test_webserver_is_bound_to_loopback() -> None:
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert ports == ["127.0.0.1:3000:3000"]
    assert re.search(r"dagster dev .*-h 127\.0\.0\.1", (ROOT / "Makefile").read_text())


def test_containers_start_programs_that_the_project_has() -> None:
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    started = {service["command"][0] for service in services.values() if "command" in service}
    assert started == {"dagster", "dagster-webserver", "dagster-daemon"}
    values = yaml.safe_load((DEPLOY / "kubernetes" / "values.yaml").read_text())
    [code] = values["dagster-user-deployments"]["deployments"]
    assert code["dagsterApiGrpcArgs"] == ["-m", "fusion_pipeline.definitions"]
    launcher = values["runLauncher"]["config"]["k8sRunLauncher"]
    assert "FUSION_CONCURRENT_STEPS=1" in launcher["envVars"]
    # A run writes where the code location and the other runs read.
    assert launcher["volumes"] == code["volumes"]
    assert launcher["volumeMounts"] == code["volumeMounts"]


def test_local_instance_file_is_valid(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dagster.yaml").write_text((ROOT / "dagster.yaml").read_text())
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        assert instance.run_monitoring_enabled
        assert not instance.telemetry_enabled


def test_run_launcher_of_the_scaling_page_is_one_that_dagster_opens(tmp_path) -> None:
    [block] = re.findall(
        r"```yaml\n(run_launcher:.*?)```", (ROOT / "docs" / "scaling.md").read_text(), re.DOTALL
    )
    (tmp_path / "dagster.yaml").write_text(block)
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        assert type(instance.run_launcher).__name__ == "RayRunLauncher"
        assert instance.run_launcher.num_cpus == 8
