"""Compose file, image and chart values, held against schemas and against what they start.

A misspelt key, which would be overlooked or refused on the day of the deployment, fails here (`tests/deployed.py`).
Neither `docker` nor `helm` is called.
"""

import re
import shlex
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from click.testing import CliRunner
from dagster._cli.api import grpc_command
from dagster._daemon.cli import run_command
from dagster_webserver.cli import dagster_webserver
from pydantic import BaseModel

from fusion_pipeline.cli import main
from tests.deployed import QUANTITY, Composed, Values

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SHARED = yaml.safe_load((DEPLOY / "dagster.yaml").read_text())
WORKSPACE = yaml.safe_load((DEPLOY / "workspace.yaml").read_text())
VALUES = yaml.safe_load((DEPLOY / "kubernetes" / "values.yaml").read_text())
PROGRAMS: dict[tuple[str, ...], click.Command] = {
    ("dagster", "api", "grpc"): grpc_command,
    ("dagster-webserver",): dagster_webserver,
    ("dagster-daemon", "run"): run_command,
}


def composed() -> Composed:
    return Composed.model_validate({k: v for k, v in COMPOSE.items() if not k.startswith("x-")})


def test_services_of_the_compose_file_depend_on_services_and_mount_volumes_that_it_has() -> None:
    file = composed()
    for service in file.services.values():
        assert set(service.depends_on) <= file.services.keys()
        named = {v.split(":")[0] for v in service.volumes if isinstance(v, str)}
        assert named <= file.volumes.keys()
    assert file.services["database"].healthcheck is not None, "others wait until it is healthy"


def test_every_service_starts_a_program_with_options_that_it_takes() -> None:
    started = {name: service.command for name, service in composed().services.items() if service.command}
    assert len(started) == 3
    for command in started.values():
        [words] = [words for words in PROGRAMS if tuple(command[: len(words)]) == words]
        # Raises on an option that the program has not, or a value that it does not take.
        PROGRAMS[words].make_context(words[-1], command[len(words) :])


def test_workspace_looks_for_the_code_where_it_is_served() -> None:
    file = composed()
    [server] = [entry["grpc_server"] for entry in WORKSPACE["load_from"]]
    told = grpc_command.make_context("grpc", file.services[server["host"]].command[3:]).params
    assert (str(told["port"]), told["module_name"]) == (str(server["port"]), "fusion_pipeline.definitions")
    readers = [s for s in file.services.values() if s.command and "-w" in s.command]
    assert len(readers) == 2
    assert all((ROOT / s.command[s.command.index("-w") + 1]).is_file() for s in readers)


def test_container_that_starts_runs_keeps_its_name_so_that_those_killed_with_it_are_known() -> None:
    [server] = [entry["grpc_server"]["host"] for entry in WORKSPACE["load_from"]]
    assert composed().services[server].hostname == server


def test_page_is_published_from_the_port_that_the_webserver_listens_on() -> None:
    service = composed().services["webserver"]
    told = dagster_webserver.make_context("webserver", service.command[1:]).params
    assert [port.split(":")[-1] for port in service.ports] == [str(told["port"])]


def test_image_installs_as_make_does() -> None:
    def installed(text: str) -> list[frozenset[str]]:
        lines = re.findall(r"(?:pip install|\$\(PIP\)) ([^\n\\&]*)", text)
        silent = {"--quiet", "--disable-pip-version-check", "--no-cache-dir"}
        return [frozenset(shlex.split(line)) - silent for line in lines]

    of_make = installed((ROOT / "Makefile").read_text())
    assert set(installed(DOCKERFILE)) < set(of_make)
    assert len(installed(DOCKERFILE)) == 2


def test_image_is_made_of_files_that_are_there_and_not_kept_out() -> None:
    kept_out = (ROOT / ".dockerignore").read_text().split()
    copied = [words.split() for words in re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE, re.MULTILINE)]
    assert copied == [["requirements-dev.lock", "./"], [".", "."]]
    needed = (
        "requirements-dev.lock",
        "pyproject.toml",
        "README.md",
        "fusion_pipeline",
        "assets",
        "resources",
    )
    for name in (*needed, "deploy/dagster.yaml", "deploy/workspace.yaml"):
        assert (ROOT / name).exists()
        assert name.split("/")[0] not in kept_out
    assert "cp /opt/fusion/deploy/dagster.yaml /opt/dagster/" in DOCKERFILE


def test_image_s_own_command_is_one_of_the_project() -> None:
    [command] = re.findall(r"^CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)
    program, *words = yaml.safe_load(command)
    assert program == "fusion"
    assert CliRunner().invoke(main, words).exit_code == 0


def test_python_of_the_image_is_the_one_that_the_project_is_locked_for() -> None:
    images = set(re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE))
    wanted = re.search(r"--python-version (\S+)", (ROOT / "Makefile").read_text())
    assert wanted is not None
    assert images == {f"python:{wanted[1]}-slim"}


def test_commands_that_the_documents_of_deployment_name_exist() -> None:
    pages = [(ROOT / "docs" / name).read_text() for name in ("operations.md", "scaling.md")]
    named = {
        name for page in pages for name in re.findall(r"^(?:[`|]?)fusion ([a-z][a-z-]+)", page, re.MULTILINE)
    }
    assert {"fuse", "pull"} <= named
    assert named <= main.commands.keys()


@pytest.fixture(scope="module")
def values() -> Values:
    return Values.model_validate(VALUES)


def snake(section: BaseModel) -> dict[str, Any]:
    """Write a section of the values as the chart writes it into the instance file."""
    return {re.sub("([A-Z])", r"_\1", name).lower(): value for name, value in section.model_dump().items()}


def test_instance_of_the_chart_is_that_of_one_machine_but_for_how_many_run_at_once(values) -> None:
    daemon, told = values.dagsterDaemon, SHARED
    rendered = {
        "python_logs": snake(values.pythonLogs),
        "run_monitoring": snake(daemon.runMonitoring),
        "run_retries": snake(daemon.runRetries),
        "schedules": snake(daemon.schedules),
        "sensors": snake(daemon.sensors),
        "backfills": snake(daemon.backfills),
        "telemetry": snake(values.telemetry),
        "retention": {
            kind: {"purge_after_days": getattr(values.retention, kind).purgeAfterDays.model_dump()}
            for kind in ("schedule", "sensor")
        },
    }
    # A job of the cluster can be taken up again; a process of one machine cannot.
    assert rendered["run_monitoring"].pop("max_resume_run_attempts") == 2
    assert rendered == {name: told[name] for name in rendered}
    assert values.concurrency.pools.granularity == told["concurrency"]["pools"]["granularity"]
    assert values.concurrency.enabled
    assert values.retention.enabled


def test_database_and_those_who_ask_it_take_the_password_from_one_secret_that_is_made_before(values) -> None:
    text = (ROOT / "deploy" / "kubernetes" / "values.yaml").read_text()
    commands = re.findall(r"^#   (kubectl create secret generic \S+|helm install)", text, re.MULTILINE)
    assert commands.pop() == "helm install", "pods that do not find their secrets do not start"
    made = {command.split()[-1] for command in commands}
    launcher = values.runLauncher.config.k8sRunLauncher
    assert made == {values.postgresql.existingSecret, *(s.name for s in launcher.envSecrets)}
    assert values.postgresql.existingSecret == values.global_.postgresqlSecretName


def test_containers_of_the_cluster_mount_volumes_that_they_have(values) -> None:
    [code] = values.user_deployments.deployments
    launcher = values.runLauncher.config.k8sRunLauncher
    for container in (code, launcher):
        assert {m.name for m in container.volumeMounts} == {v.name for v in container.volumes}
        claims = {v.name: v.persistentVolumeClaim.readOnly for v in container.volumes}
        assert all(mount.readOnly == claims[mount.name] for mount in container.volumeMounts)
    grpc_command.make_context("grpc", [*code.dagsterApiGrpcArgs, "-p", str(code.port)])


def test_a_job_of_the_cluster_takes_the_threads_and_half_the_memory_that_its_node_gives(values) -> None:
    launcher = values.runLauncher.config.k8sRunLauncher
    environment = dict(pair.split("=", 1) for pair in launcher.envVars)
    assert launcher.resources.requests == launcher.resources.limits, "guaranteed: not the first to be evicted"
    assert environment["FUSION_THREADS"] == launcher.resources.limits.cpu
    # Row blocks take what is told; the model set and the tables come on top.
    given = QUANTITY.match(launcher.resources.limits.memory)
    told = re.match(r"^(\d+)GiB$", environment["FUSION_MEMORY_LIMIT"])
    assert given is not None and given[2] == "Gi" and told is not None
    assert 2 * int(told[1]) <= int(given[1])
