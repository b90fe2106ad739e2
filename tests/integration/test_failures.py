"""What goes wrong on real machines: nothing half-written is read, nothing is blocked, the next run goes on.

Kills in the middle of training are in `test_killed_run.py`; each way a write can fail in `tests/unit/storage/`.
"""

import hashlib
import os
import resource
import subprocess
from pathlib import Path

import pytest

from fusion_pipeline.running import run_pair
from tests.conftest import PAIR, Run
from tests.disks import on_small_disk, pages
from tests.serving import program

pytestmark = pytest.mark.slow


def fuse(run: Run, disk: int | None = None, **limits) -> subprocess.Popen:
    """Draw implicates 6-10 in a process of its own that shares nothing but the data folder.

    With a `disk` of so many bytes the implicates lie on one that only this process sees. When it has ended, there is
    room again and it is done a second time; what stands there after either is listed, see `listed`.
    """
    command = [str(program("fusion")), "fuse", "--unrecorded", "--pair", PAIR, "--implicates", "6-10"]
    if disk is not None:
        folder = run.layout.implicates(PAIR)
        script = (
            'list() { find . -type f | sort | xargs sha256sum > "$1"; }; here=$0; lists=$1; shift; cd "$here";'
            ' "$@"; code=$?; list "$lists/first"; mount -o remount,size=64m "$here";'
            ' "$@" > "$lists/output" 2>&1; list "$lists/second"; exit $code'
        )
        command = on_small_disk(folder, disk, "sh", "-c", script, folder, run.settings.data, *command)
    settings = {
        "FUSION_DATA": str(run.settings.data),
        "FUSION_SOURCE": "simulated",
        "FUSION_SIMULATED_HOUSEHOLDS": str(run.settings.simulated_households),
        "FUSION_SIMULATED_DONORS": str(run.settings.simulated_donors),
        "FUSION_THREADS": "1",
    }
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("FUSION_", "DAGSTER_"))}
    return subprocess.Popen(
        command,
        env={**kept, **settings},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **limits,
    )


def listed(run: Run, when: str) -> dict[str, str]:
    """File -> SHA-256 of what lay on the small disk after the `first` and the `second` time."""
    lines = (run.settings.data / when).read_text().splitlines()
    return {name.removeprefix("./"): digest for digest, name in (line.split(maxsplit=1) for line in lines)}


def lose(run: Run) -> dict[int, bytes]:
    """Take implicates 6-10 away and return their bytes."""
    before = {}
    for m in range(6, 11):
        file = run.layout.implicate(PAIR, m)
        before[m] = file.read_bytes()
        file.unlink()
    return before


def drawn(run: Run) -> dict[int, bytes]:
    return {m: run.layout.implicate(PAIR, m).read_bytes() for m in range(6, 11)}


def digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def litter(run: Run) -> list[str]:
    return [str(path) for path in run.layout.root.rglob(".*") if path.suffix in (".tmp", ".old")]


def test_full_disk_stops_a_chunk_with_its_cause_and_it_goes_on_when_there_is_room(complete_pair) -> None:
    folder = complete_pair.layout.implicates(PAIR)
    whole = {str(file.relative_to(folder)): digest(file) for file in folder.rglob("part-*")}
    before = lose(complete_pair)
    try:
        stays = {name: digest(file) for name in whole if (file := folder / name).exists()}
        taken = sum(pages((folder / name).stat().st_size) for name in stays)
        # Room for some of the row blocks of five implicates.
        full = fuse(complete_pair, disk=taken + pages(2 * len(before[6])))
        output, progress = full.communicate(timeout=600)
    finally:
        for m, content in before.items():
            complete_pair.layout.implicate(PAIR, m).write_bytes(content)
    told = " ".join(output.split())
    assert full.returncode == 1, progress
    assert told.startswith(f"StorageError {folder}"), told
    assert "No space left on device" in told
    assert "what stood there before is untouched" in told
    first, second = listed(complete_pair, "first"), listed(complete_pair, "second")
    assert len(stays) == 5
    assert {name: sha for name, sha in first.items() if name.startswith("implicate=")} == stays
    assert {name: sha for name, sha in second.items() if name.startswith("implicate=")} == whole
    assert not [name for name in (*first, *second) if name.endswith((".tmp", ".old"))]
    assert "row blocks are there already" in (complete_pair.settings.data / "output").read_text()


def test_file_that_may_not_grow_is_named_and_the_next_run_goes_on(complete_pair) -> None:
    before = lose(complete_pair)
    # No file of this process may grow beyond 8 KB: as on a full disk, as soon as it writes an implicate.
    full = fuse(complete_pair, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192)))
    output, progress = full.communicate(timeout=600)
    assert full.returncode == 1, progress
    assert "StorageError" in output
    assert "what stood there before is untouched" in output
    assert not any(complete_pair.layout.implicate(PAIR, m).exists() for m in range(6, 11))
    following = fuse(complete_pair)
    _, progress = following.communicate(timeout=600)
    assert following.returncode == 0, progress
    assert drawn(complete_pair) == before
    assert not litter(complete_pair)


def test_two_writers_of_the_same_partition_leave_one_whole_artefact(complete_pair) -> None:
    before = lose(complete_pair)
    writers = [fuse(complete_pair), fuse(complete_pair)]
    for writer in writers:
        _, progress = writer.communicate(timeout=300)
        assert writer.returncode == 0, progress
    assert drawn(complete_pair) == before
    assert not litter(complete_pair)


def test_damaged_table_is_made_again_before_anything_reads_it(complete_pair) -> None:
    table = complete_pair.layout.tables(("fusion", "located"), PAIR) / "donor.parquet"
    before = table.read_bytes()
    table.write_bytes(before[: len(before) // 2])
    outcomes = dict(run_pair(PAIR, complete_pair.settings, complete_pair.instance))
    made = [m for o in outcomes.values() if o for m in o.materialized if not m.metadata["reused"].value]
    assert [m.asset_key.path[-1] for m in made] == ["located"]
    assert "is not as it was written" in made[0].metadata["made because"].value
    assert table.read_bytes() == before


def test_clock_that_jumps_makes_nothing_again(complete_pair) -> None:
    for path in complete_pair.layout.root.rglob("*.parquet"):
        os.utime(path, (0, 4_000_000_000))
    outcomes = dict(run_pair(PAIR, complete_pair.settings, complete_pair.instance))
    assert all(len(o.reused) == len(o.materialized) for o in outcomes.values() if o)
