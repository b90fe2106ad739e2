"""What deploy/ says fits the code, the local instance and the rules of the house."""

import re
from pathlib import Path

import dagster as dg
import pytest
import yaml
from sqlalchemy.engine import make_url

from fusion_pipeline.settings import Settings

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"
FILES = sorted(path for path in DEPLOY.rglob("*") if path.is_file())
LOCAL, SHARED = (
    yaml.safe_load(path.read_text()) for path in (ROOT / "dagster.yaml", DEPLOY / "dagster.yaml")
)
VALUES = yaml.safe_load((DEPLOY / "kubernetes" / "values.yaml").read_text())
LAUNCHER = VALUES["runLauncher"]["config"]["k8sRunLauncher"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_setting_that_is_named_exists(path: Path) -> None:
    named = set(re.findall(r"\bFUSION_([A-Z_]+)\b", path.read_text()))
    assert named <= {name.upper() for name in Settings.model_fields}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_secret_stands_in_a_file(path: Path) -> None:
    text = re.sub(r"\$\{[^}]*\}|\{env: \w+\}", "${}", path.read_text())
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
    database = dict(SHARED["storage"]["postgres"]["postgres_db"])
    assert database.pop("scheme") == "postgresql+psycopg2"
    named = {value["env"] for value in database.values()}
    given = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["x-fusion"]["environment"]
    assert named == {name for name in given if name.startswith("DAGSTER_PG_")}
    assert VALUES["postgresql"]["postgresqlScheme"] == "postgresql+psycopg2"


@pytest.mark.parametrize("password", ["plain", "p@ss:w/rd#?", "100% of a+b&c='d'", "ü"])
def test_any_password_reaches_the_database_as_it_is(password: str) -> None:
    # Here, because it is dear to load and this test alone needs it.
    from dagster_postgres.utils import pg_url_from_config

    database = SHARED["storage"]["postgres"]["postgres_db"]
    told = {name: value if name == "scheme" else name for name, value in database.items()}
    url = make_url(pg_url_from_config({"postgres_db": {**told, "password": password, "port": 5432}}))
    assert (url.password, url.host, url.database) == (password, "hostname", "db_name")


def _deployed() -> dict[str, dict[str, str | None]]:
    """Environment of whatever computes, by who sets it."""
    [code] = VALUES["dagster-user-deployments"]["deployments"]
    return {
        "compose": yaml.safe_load((DEPLOY / "compose.yaml").read_text())["x-fusion"]["environment"],
        "jobs": dict(pair.split("=", 1) for pair in LAUNCHER["envVars"]),
        "code": {entry["name"]: entry["value"] for entry in code["env"]},
    }


@pytest.mark.parametrize("who", ["compose", "jobs", "code"])
def test_deployment_fuses_the_raw_files_of_a_mirror_that_is_mounted(who: str) -> None:
    environment = _deployed()[who]
    assert (environment["FUSION_SOURCE"], environment["FUSION_RAW"]) == ("public", "/raw")
    if who == "compose":
        volumes = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["x-fusion"]["volumes"]
        [mirror] = [v for v in volumes if isinstance(v, dict)]
        assert (mirror["target"], mirror["read_only"]) == ("/raw", True)
        assert mirror["source"].startswith("${FUSION_RAW:?")
    else:
        assert {"name": "raw", "mountPath": "/raw", "readOnly": True} in LAUNCHER["volumeMounts"]
    assert Settings(source="public", raw=environment["FUSION_RAW"]).origin == "public"


@pytest.mark.parametrize("who", ["compose", "jobs", "code"])
def test_object_store_is_named_and_its_keys_come_from_outside(who: str) -> None:
    environment = _deployed()[who]
    assert "FUSION_REMOTE" in environment
    if who == "compose":
        keys = {name: value for name, value in environment.items() if name.startswith("AWS_")}
        assert {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} <= keys.keys()
        assert set(keys.values()) == {None}, "handed on from the shell"
    else:
        [code] = VALUES["dagster-user-deployments"]["deployments"]
        secrets = (LAUNCHER if who == "jobs" else code)["envSecrets"]
        assert secrets == [{"name": "fusion-object-store"}]
        assert "create secret generic fusion-object-store" in (DEPLOY / "kubernetes/values.yaml").read_text()


def test_folders_that_volumes_are_mounted_on_belong_to_the_image_s_user() -> None:
    volumes = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["x-fusion"]["volumes"]
    targets = {v["target"] if isinstance(v, dict) else v.split(":")[1] for v in volumes}
    [made] = re.findall(r"install -d -o fusion ([^&]*)", (DEPLOY / "Dockerfile").read_text())
    assert targets <= set(made.split())


def test_image_takes_neither_history_nor_environment_nor_data() -> None:
    ignored = set((ROOT / ".dockerignore").read_text().split())
    assert {".venv", ".git", ".dagster", "data", "artifacts"} <= ignored


def test_webserver_is_bound_to_loopback() -> None:
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    ports = {name: service["ports"] for name, service in services.items() if "ports" in service}
    assert ports == {"webserver": ["127.0.0.1:3000:3000"], "proxy": ["443:8443"]}
    assert services["proxy"]["profiles"] == ["proxy"], "only on request"
    assert re.search(r"dagster dev .*-h 127\.0\.0\.1", (ROOT / "Makefile").read_text())


def test_proxy_asks_everybody_and_passes_on_to_the_webserver_alone() -> None:
    text = re.sub(r"#.*", "", (DEPLOY / "nginx.conf").read_text())
    [location] = re.findall(r"location \S+ \{(.*)\}\s*\}\s*\}", text, re.DOTALL)
    assert text.count("location") == 1, "a second one could let somebody by"
    assert re.search(r'auth_basic "\w+";', location)
    assert "auth_basic off" not in text
    assert re.findall(r"proxy_pass (\S+);", text) == ["http://webserver:3000"]
    assert re.findall(r"listen ([^;]+);", text) == ["8443 ssl"]
    proxy = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["proxy"]
    mounted = {volume["target"]: volume for volume in proxy["volumes"]}
    assert all(volume["read_only"] for volume in mounted.values())
    assert (DEPLOY / mounted["/etc/nginx/nginx.conf"]["source"]).is_file()
    given = set(re.findall(r"/etc/nginx/given/\w+(?:\.pem)?", text))
    told = (ROOT / "docs" / "operations.md").read_text()
    assert {Path(file).parent.as_posix() for file in given} <= mounted.keys()
    assert [file for file in given if f"proxy/{Path(file).name}" not in told] == []


def test_containers_start_programs_that_the_project_has() -> None:
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    started = {service["command"][0] for service in services.values() if "command" in service}
    assert started == {"dagster", "dagster-webserver", "dagster-daemon"}
    [code] = VALUES["dagster-user-deployments"]["deployments"]
    assert code["dagsterApiGrpcArgs"] == ["-m", "fusion_pipeline.definitions"]
    assert "FUSION_CONCURRENT_STEPS=1" in LAUNCHER["envVars"]
    # A run writes where the code location and the other runs read.
    assert LAUNCHER["volumes"] == code["volumes"]
    assert LAUNCHER["volumeMounts"] == code["volumeMounts"]


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
