"""A run that is killed loses nothing and blocks nobody: the next one continues."""

import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import PAIR, ROOT

SMALL = {
    "FUSION_SIMULATED_HOUSEHOLDS": "600",
    "FUSION_SIMULATED_DONORS": "400",
    "FUSION_THREADS": "1",
    "FUSION_SOURCE": "simulated",
}


def command(home: Path) -> tuple[list[str], dict[str, str]]:
    environment = {**os.environ, **SMALL, "DAGSTER_HOME": str(home), "FUSION_DATA": str(home / "data")}
    return [sys.executable, "-m", "fusion_pipeline", "run", PAIR], environment


def kill(process: subprocess.Popen) -> None:
    process.kill()


def starve(process: subprocess.Popen) -> None:
    """Grant a process no more memory than it has by now."""
    held = int(Path(f"/proc/{process.pid}/statm").read_text().split()[0]) * resource.getpagesize()
    resource.prlimit(process.pid, resource.RLIMIT_AS, (held, held))


@pytest.mark.slow
def test_runs_that_end_while_training_are_continued_by_the_next_one(tmp_path: Path) -> None:
    shutil.copy(ROOT / "dagster.yaml", tmp_path)
    words, environment = command(tmp_path)
    for stop in (kill, starve):
        ended = subprocess.Popen(words, env=environment, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
        assert ended.stderr is not None
        for line in ended.stderr:
            if "fitted" in line:
                stop(ended)
                break
        ended.communicate(timeout=600)
        assert ended.returncode != 0, f"the run ended before it was stopped by {stop.__name__}"
        assert not (tmp_path / "data" / "simulated" / "models" / PAIR).exists()
    last = subprocess.run(
        words, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False
    )
    assert last.returncode == 0, last.stderr[-2000:]
    assert (tmp_path / "data" / "simulated" / "models" / PAIR / "manifest.json").exists()
    left = list((tmp_path / "data").rglob(".*.tmp"))
    assert not left
