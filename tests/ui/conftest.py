"""A fusion pair made by the command line, `dagster dev` on the same instance, and a browser that looks at it.

Everything lies in a temporary folder that holds copies of the project's own dagster.yaml and workspace.yaml. When
a test fails, the end of the server's log is shown and what the browser saw is written to artifacts/ui/.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
from playwright.sync_api import Browser, Page, expect, sync_playwright

from fusion_pipeline.storage.layout import Layout

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "artifacts" / "ui"
PAIR = "RECS_2015__ACS_2015"
LOG = pytest.StashKey[Path]()
SIZES = {"FUSION_SIMULATED_HOUSEHOLDS": "1500", "FUSION_SIMULATED_DONORS": "700", "FUSION_THREADS": "1"}
LOADED = "{ workspaceOrError { ... on Workspace { locationEntries { loadStatus locationOrLoadError {"
LOADED += " __typename ... on PythonError { message } } } } } }"
# Only the server may be reached: any other name does not even resolve.
CHROMIUM = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]

expect.set_options(timeout=20_000)


@dataclass(frozen=True)
class DagsterUI:
    """A running UI, and the data folder that its runs write to."""

    url: str
    layout: Layout
    pair: str = PAIR

    def ask(self, query: str) -> dict:
        """Answer of the GraphQL API."""
        reply = requests.post(f"{self.url}/graphql", json={"query": query}, timeout=20)
        reply.raise_for_status()
        return reply.json()["data"]

    def run_status(self, run: str) -> str:
        """Status of a run, such as STARTED or SUCCESS."""
        return self.ask(f'{{ runOrError(runId: "{run}") {{ ... on Run {{ status }} }} }}')["runOrError"][
            "status"
        ]


@pytest.fixture(scope="session")
def dagster_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Instance and data folder of a pair that `fusion run` has made."""
    folder = tmp_path_factory.mktemp("ui")
    for name in ("dagster.yaml", "workspace.yaml"):
        shutil.copy(ROOT / name, folder)
    made = subprocess.run(
        [_program("fusion"), "run", PAIR, "--simulate"],
        cwd=folder,
        env=_environment(folder),
        capture_output=True,
        text=True,
        timeout=180,
    )
    if made.returncode:
        pytest.fail(f"fusion run {PAIR} --simulate:\n{made.stdout[-2000:]}\n{made.stderr[-4000:]}")
    return folder


@pytest.fixture(scope="session")
def dagster_ui(dagster_home: Path, pytestconfig: pytest.Config) -> Iterator[DagsterUI]:
    """`dagster dev` on the instance of `dagster_home`, with the code location loaded."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    log = pytestconfig.stash[LOG] = dagster_home / "dagster_dev.log"
    command = [_program("dagster"), "dev", "-w", "workspace.yaml", "-h", "127.0.0.1", "-p", port]
    ui = DagsterUI(f"http://127.0.0.1:{port}", Layout(dagster_home / "data" / "simulated"))
    with log.open("w") as output:
        server = subprocess.Popen(
            command,
            cwd=dagster_home,
            env=_environment(dagster_home),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        wait_until(lambda: _loaded(ui, server), 120, "the code location to be loaded")
        yield ui
    finally:
        # The group holds the web server, the daemon, the code servers and the runs.
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The system's Chromium; closed with its event loop before other areas' tests begin."""
    program = shutil.which("chromium")
    if program is None:
        pytest.fail("chromium is not installed: apt-get install chromium, or do not ask for the ui tests")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=CHROMIUM)
        yield started
        started.close()


@pytest.fixture
def page(browser: Browser, dagster_ui: DagsterUI) -> Iterator[Page]:
    """A fresh browser profile; the test fails if a page logs an error or asks an outside host for anything."""
    context = browser.new_context(
        base_url=dagster_ui.url,
        viewport={"width": 1600, "height": 900},
        device_scale_factor=2,
        locale="en-US",
        timezone_id="UTC",
    )
    context.set_default_timeout(20_000)
    page, amiss = context.new_page(), []
    page.on("console", lambda message: amiss.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: amiss.append(f"uncaught: {error}"))
    page.on(
        "request", lambda request: amiss.append(f"outside: {request.url}") if _outside(request.url) else None
    )
    page.on(
        "websocket", lambda socket: amiss.append(f"outside: {socket.url}") if _outside(socket.url) else None
    )
    yield page
    context.close()
    assert not amiss, "the UI's pages logged errors or asked outside hosts:\n" + "\n".join(amiss)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item):
    """Show the end of the server's log with a failure, and keep a picture of the page."""
    report = (yield).get_result()
    if not report.failed:
        return
    log = item.config.stash.get(LOG, None)
    if log is not None:
        report.sections.append(("dagster dev", log.read_text()[-6000:]))
    if report.when == "call" and "page" in item.funcargs:
        picture = PICTURES / f"failed_{item.name}.png"
        item.funcargs["page"].screenshot(path=picture)
        report.sections.append(("what the browser saw", str(picture)))


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


def _program(name: str) -> Path:
    return Path(sys.executable).parent / name


def _environment(folder: Path) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("FUSION_", "DAGSTER_"))}
    return {**kept, **SIZES, "DAGSTER_HOME": str(folder), "FUSION_DATA": str(folder / "data")}


def _outside(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme in ("http", "https", "ws", "wss") and parts.hostname != "127.0.0.1"
