"""A fusion pair made by the command line, `dagster dev` on the same instance, and a browser that looks at it.

Everything lies in a temporary folder that holds copies of the project's own dagster.yaml and workspace.yaml. When
a test fails, the end of the server's log is shown and what the browser saw is written to artifacts/ui/.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.conftest import ROOT
from tests.serving import DagsterUI, make_home, serve

PICTURES = ROOT / "artifacts" / "ui"
LOG = pytest.StashKey[Path]()
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


@pytest.fixture(scope="session")
def dagster_home(ready_pair: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Instance and data folder of a pair that `fusion run` has made."""
    return make_home(tmp_path_factory.mktemp("ui"), ready_pair)


@pytest.fixture(scope="session")
def dagster_ui(dagster_home: Path, pytestconfig: pytest.Config) -> Iterator[DagsterUI]:
    """`dagster dev` on the instance of `dagster_home`, with the code location loaded."""
    log = pytestconfig.stash[LOG] = dagster_home / "dagster_dev.log"
    with serve(dagster_home, log) as ui:
        yield ui


@pytest.fixture
def one_pair(dagster_home: Path) -> Iterator[DagsterUI]:
    """The same instance as one would see it whose registry holds this pair alone."""
    location = {"python_file": {"relative_path": str(Path(__file__).with_name("one_pair.py"))}}
    (dagster_home / "one_pair.yaml").write_text(yaml.safe_dump({"load_from": [location]}))
    # No second daemon: the first one may still be there.
    with serve(dagster_home, dagster_home / "one_pair.log", ("dagster-webserver",), "one_pair.yaml") as ui:
        yield ui


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


@contextmanager
def watched(browser: Browser, ui: DagsterUI, height: int) -> Iterator[Page]:
    """A fresh browser profile; the test fails if a page logs an error or asks an outside host for anything."""
    context = browser.new_context(
        base_url=ui.url,
        viewport={"width": 1600, "height": height},
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
    try:
        yield page
    finally:
        context.close()
    assert not amiss, "the UI's pages logged errors or asked outside hosts:\n" + "\n".join(amiss)


@pytest.fixture
def page(browser: Browser, dagster_ui: DagsterUI) -> Iterator[Page]:
    """A page of the running UI, see `watched`."""
    with watched(browser, dagster_ui, height=900) as page:
        yield page


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


def _outside(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme in ("http", "https", "ws", "wss") and parts.hostname != "127.0.0.1"
