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
    return [sys.executable, "-m", "fusion_pipeline", "run", PAIR, "--verbose"], environment


def kill(process: subprocess.Popen) -> None:
    process.kill()


def starve(process: subprocess.Popen) -> None:
    """Grant a process no more memory than it has by now."""
    held = int(Path(f"/proc/{process.pid}/statm").read_text().split()[0]) * resource.getpagesize()
    resource.prlimit(process.pid, resource.RLIMIT_AS, (held, held))


@pytest.mark.slow
@pytest.mark.parametrize("stop", [kill, starve])
def test_run_that_ends_while_training_is_continued_by_the_next_one(tmp_path: Path, stop) -> None:
    shutil.copy(ROOT / "dagster.yaml", tmp_path)
    words, environment = command(tmp_path)
    first = subprocess.Popen(words, env=environment, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    assert first.stderr is not None
    for line in first.stderr:
        if "fitted" in line:
            stop(first)
            break
    first.communicate(timeout=600)
    assert first.returncode != 0, "the run ended before it was stopped"
    assert not (tmp_path / "data" / "simulated" / "models" / PAIR).exists()
    second = subprocess.run(
        words, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False
    )
    assert second.returncode == 0, second.stderr[-2000:]
    assert (tmp_path / "data" / "simulated" / "models" / PAIR / "manifest.json").exists()
    left = list((tmp_path / "data").rglob(".*.tmp"))
    assert not left
