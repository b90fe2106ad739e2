"""A pair made by the command line in a folder of its own, and `dagster dev` on its instance."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from fusion_pipeline.registry import Implicates, load_registry
from fusion_pipeline.storage.layout import Layout
from tests.conftest import PAIR, ROOT

SIZES = {"FUSION_SIMULATED_HOUSEHOLDS": "1500", "FUSION_SIMULATED_DONORS": "700", "FUSION_THREADS": "1"}
MANY = Implicates(count=20, chunk=load_registry().implicates.chunk)
"""More chunks than the registry's number of implicates has, for instances whose backfills are of chunks."""
LOADED = "{ workspaceOrError { ... on Workspace { locationEntries { loadStatus locationOrLoadError {"
LOADED += " __typename ... on PythonError { message } } } } } }"


@dataclass(frozen=True)
class DagsterUI:
    """A running UI, and the data folder that its runs write to."""

    url: str
    layout: Layout
    pair: str = PAIR

    def ask(self, query: str, **variables: object) -> dict:
        """Answer of the GraphQL API."""
        asked = {"query": query, "variables": variables}
        reply = requests.post(f"{self.url}/graphql", json=asked, timeout=20)
        reply.raise_for_status()
        return reply.json()["data"]

    def run_status(self, run: str) -> str:
        """Status of a run, such as STARTED or SUCCESS."""
        return self.ask(f'{{ runOrError(runId: "{run}") {{ ... on Run {{ status }} }} }}')["runOrError"][
            "status"
        ]


def make_home(folder: Path, pair: Path, **settings: str) -> Path:
    """Record a copied pair with `fusion run`, in a folder that gets copies of the project's instance files."""
    shutil.copytree(pair, folder / "data")
    for name in ("dagster.yaml", "workspace.yaml"):
        shutil.copy(ROOT / name, folder)
    fusion(folder, "run", PAIR, "--simulate", **settings)
    return folder


def fusion(folder: Path, *words: str, **settings: str) -> str:
    """Call the command line in a folder, with settings of one's own, and return what it printed."""
    done = subprocess.run(
        [program("fusion"), *words],
        cwd=folder,
        env=environment(folder) | settings,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    if done.returncode:
        pytest.fail(f"fusion {' '.join(words)}:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    return done.stdout


@contextmanager
def serve(
    home: Path,
    log: Path,
    server: tuple[str, ...] = ("dagster", "dev"),
    workspace: str = "workspace.yaml",
    **settings: str,
) -> Iterator[DagsterUI]:
    """Run `dagster dev`, or the web server alone, on the instance of a folder, with the code location loaded."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    command = [program(server[0]), *server[1:], "-w", workspace, "-h", "127.0.0.1", "-p", port]
    ui = DagsterUI(f"http://127.0.0.1:{port}", Layout(home / "data" / "simulated"))
    with log.open("w") as output:
        started = subprocess.Popen(
            command,
            cwd=home,
            env=environment(home) | settings,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        wait_until(lambda: _loaded(ui, started), 600, "the code location to be loaded")
        yield ui
    finally:
        # The group holds the web server, the daemon, the code servers and the runs.
        os.killpg(started.pid, signal.SIGKILL)
        started.wait()


def wait_until(holds: Callable[[], bool], seconds: float, what: str) -> None:
    """Poll until something holds.

    Raises
    ------
    TimeoutError
        Naming what was waited for.
    """
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {seconds} s for {what}")
        time.sleep(0.25)


def _loaded(ui: DagsterUI, server: subprocess.Popen) -> bool:
    if server.poll() is not None:
        pytest.fail(f"dagster dev ended by itself with code {server.returncode}")
    try:
        entries = ui.ask(LOADED)["workspaceOrError"]["locationEntries"]
    except requests.ConnectionError:
        return False
    if not entries or any(entry["loadStatus"] != "LOADED" for entry in entries):
        return False
    errors = [e["locationOrLoadError"].get("message") for e in entries]
    if any(errors):
        pytest.fail(f"the code location does not load: {errors}")
    return True


def program(name: str) -> Path:
    """Return a program of this environment."""
    return Path(sys.executable).parent / name


def environment(folder: Path) -> dict[str, str]:
    """Return the environment of an instance in a folder; no setting of the caller reaches it."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("FUSION_", "DAGSTER_"))}
    return {**kept, **SIZES, "DAGSTER_HOME": str(folder), "FUSION_DATA": str(folder / "data")}
