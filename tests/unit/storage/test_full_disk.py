"""A disk that fills up in the middle of a write: the error names file and cause, and the old artefact stays."""

import json
import subprocess
import sys

import pytest

from tests.disks import on_small_disk

WRITER = """
import json, sys
from pathlib import Path
import numpy as np, pyarrow as pa
from fusion_pipeline.errors import StorageError
from fusion_pipeline.storage.atomic import atomic_directory, atomic_file
from fusion_pipeline.storage.tables import read_table, write_table

def text(path, size):
    with atomic_file(path) as temporary:
        temporary.write_bytes(b"x" * size)

def table(path, size):
    write_table(path, pa.table({"x": np.random.default_rng(1).random(size // 8)}))

def directory(path, size):
    with atomic_directory(path) as folder:
        for part in range(4):
            (folder / str(part)).write_bytes(b"x" * (size // 4))

def state(path):
    if path.is_dir():
        return [file.stat().st_size for file in sorted(path.iterdir())]
    return read_table(path).num_rows if path.name == "table" else path.stat().st_size

found = {}
for write in (text, table, directory):
    path, told = Path(sys.argv[1]) / write.__name__, None
    write(path, 8_000)
    before = state(path)
    try:
        write(path, 4_000_000)
    except StorageError as error:
        told = str(error)
    write(path.with_name("later"), 8_000)
    litter = [p.name for p in path.parent.iterdir() if p.name.startswith(".")]
    found[write.__name__] = {"told": told, "kept": state(path) == before, "litter": litter}
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> dict:
    """What came of an artefact of 4 MB on a disk of 1 MB, for each kind of write."""
    folder = tmp_path_factory.mktemp("disk")
    command = on_small_disk(folder, 1_000_000, sys.executable, "-c", WRITER, folder)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not [*folder.iterdir()], "the disk is seen by its own processes only"
    return json.loads(done.stdout)


@pytest.mark.parametrize("kind", ["text", "table", "directory"])
def test_full_disk_is_named_the_old_artefact_stays_and_its_room_is_given_back(found, kind) -> None:
    told = found[kind]["told"]
    assert told is not None, "4 MB went onto 1 MB"
    assert f"/{kind}: cannot be written (" in told
    assert "No space left on device" in told
    assert "Free space" in told
    assert found[kind]["kept"]
    assert not found[kind]["litter"]
