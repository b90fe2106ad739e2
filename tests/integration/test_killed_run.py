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
def test_run_that_ends_while_training_is_continued_by_the_next_one(tmp_path: Path) -> None:
    shutil.copy(ROOT / "dagster.yaml", tmp_path)
    words, environment = command(tmp_path)
    models = tmp_path / "data" / "simulated" / "models" / PAIR
    for stop in (kill, starve):
        process = subprocess.Popen(words, env=environment, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        for line in process.stderr:
            if "fitted" in line:
                stop(process)
                break
        process.communicate(timeout=600)
        assert process.returncode != 0, "the run ended before it was stopped"
        assert not models.exists()
    last = subprocess.run(
        words, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False
    )
    assert last.returncode == 0, last.stderr[-2000:]
    assert (models / "manifest.json").exists()
    left = list((tmp_path / "data").rglob(".*.tmp"))
    assert not left
