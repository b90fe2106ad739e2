"""What becomes of a run whose process dies under a running instance.

Kills of the instance itself are in `test_killed_daemon.py`, of the command line in `test_killed_run.py`.
"""

import os
import re
import signal

import pytest

from tests.conftest import PAIR
from tests.launching import MESSAGES, RUNS, launch_run
from tests.serving import wait_until

pytestmark = pytest.mark.slow


def test_killed_run_worker_is_noticed_and_its_run_tried_again_to_the_end(ui) -> None:
    run = launch_run(ui, "fit_pair", PAIR, **{"fusion/force": "true"})

    def messages() -> str:
        events = ui.ask(MESSAGES, id=run)["runOrError"]["eventConnection"]["events"]
        return "\n".join(event.get("message") or "" for event in events)

    wait_until(lambda: "fitted" in messages(), 600, "the training to begin")
    worker = re.search(r"in process \(pid: (\d+)\)", messages())
    assert worker is not None, messages()
    os.kill(int(worker[1]), signal.SIGKILL)
    wait_until(lambda: ui.run_status(run) == "FAILURE", 600, "the monitor to notice")

    def retried() -> str | None:
        runs = ui.ask(RUNS)["runsOrError"]["results"]
        return next((r["status"] for r in runs if r["parentRunId"] == run), None)

    wait_until(lambda: retried() == "SUCCESS", 600, "the second attempt")
