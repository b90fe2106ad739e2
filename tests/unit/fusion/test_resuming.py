"""A call that is cut off loses the row blocks in work, and no more; what resuming makes is what one call would make."""

import hashlib
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pyarrow as pa
import pytest

from fusion_pipeline.errors import StorageError
from fusion_pipeline.examples import make_population
from fusion_pipeline.fusion import fusing
from fusion_pipeline.fusion import recipient as recipients
from fusion_pipeline.fusion.fusing import fuse
from fusion_pipeline.fusion.parts import Parts
from fusion_pipeline.fusion.training import train
from fusion_pipeline.storage.tables import TableRef, write_table

ROWS = 100
QUICK = {"leaves": (4,), "patience": 3, "folds": 3, "centres": 50, "bootstraps": 2}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    x = ["group", "income"]
    return train(
        make_population(300, 1), y=["size", "cool"], x=x, out=tmp_path_factory.mktemp("m") / "m", **QUICK
    )


@pytest.fixture
def six_blocks(monkeypatch):
    """A recipient of six row blocks."""
    monkeypatch.setattr(recipients, "BLOCK_ROWS", ROWS)
    monkeypatch.setattr(fusing, "BLOCK_ROWS", ROWS)
    return make_population(550, 2)


@pytest.fixture
def added(monkeypatch):
    """(implicate, block) of every block that is written, in order; `added.stop` is how many may be."""

    class Log(list):
        stop = 10**6

    log, add = Log(), Parts.add

    def watched(self, block, table):
        if len(log) == log.stop:
            raise KeyboardInterrupt
        add(self, block, table)
        log.append((int(self._file.parent.name.removeprefix("implicate=")), block))

    monkeypatch.setattr(Parts, "add", watched)
    return log


def digests(folder: Path) -> dict[str, str]:
    return {
        p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("part-0.parquet"))
    }


def parts(folder: Path) -> list[Path]:
    return sorted(folder.glob(".implicate=*.parts/*/*"))


def test_finished_row_blocks_are_not_drawn_again_and_no_byte_changes(
    trained, six_blocks, added, tmp_path, least_memory
):
    fuse(six_blocks, trained, implicates=3, out=tmp_path / "whole")
    assert len(added) == 18
    added.clear()
    added.stop = 7
    with pytest.raises(KeyboardInterrupt):
        fuse(six_blocks, trained, implicates=3, out=tmp_path / "cut")
    assert not digests(tmp_path / "cut")
    first = set(added)
    added.stop = 10**6
    least = least_memory(six_blocks, trained, 3, threads=2)
    fuse(six_blocks, trained, implicates=3, out=tmp_path / "cut", threads=2, memory_limit=least)
    assert len(first) == 7
    assert len(added) == len(set(added)) == 18, "every block once over both calls"
    assert digests(tmp_path / "cut") == digests(tmp_path / "whole")
    assert not parts(tmp_path / "cut")


def test_a_cut_while_files_are_made_draws_nothing_again(trained, six_blocks, added, tmp_path, monkeypatch):
    join = Parts.join
    monkeypatch.setattr(Parts, "join", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        fuse(six_blocks, trained, implicates=2, out=tmp_path)
    monkeypatch.setattr(Parts, "join", join)
    added.stop = len(added)
    fuse(six_blocks, trained, implicates=2, out=tmp_path)
    assert len(digests(tmp_path)) == 2


@pytest.mark.parametrize("change", [{"seed": 2}, {"stream_name": "other"}, {"resume": False}])
def test_blocks_of_other_draws_are_not_used_and_do_not_stay(trained, six_blocks, added, tmp_path, change):
    fuse(six_blocks, trained, implicates=1, out=tmp_path / "whole", **change)
    added.clear()
    added.stop = 4
    with pytest.raises(KeyboardInterrupt):
        fuse(six_blocks, trained, implicates=1, out=tmp_path / "cut")
    added.clear()
    added.stop = 10**6
    fuse(six_blocks, trained, implicates=1, out=tmp_path / "cut", **change)
    assert len(added) == 6
    assert digests(tmp_path / "cut") == digests(tmp_path / "whole")
    assert not parts(tmp_path / "cut")


def test_a_damaged_block_is_named_and_drawn_again_next_time(trained, six_blocks, added, tmp_path):
    added.stop = 4
    with pytest.raises(KeyboardInterrupt):
        fuse(six_blocks, trained, implicates=1, out=tmp_path)
    parts(tmp_path)[1].write_bytes(b"half a block")
    added.stop = 10**6
    with pytest.raises(StorageError, match=r"000001.arrow: was damaged .* Repeat the call"):
        fuse(six_blocks, trained, implicates=1, out=tmp_path)
    fuse(six_blocks, trained, implicates=1, out=tmp_path)
    assert added.count((1, 1)) == 2


def test_two_calls_for_the_same_implicates_do_the_work_once(trained, six_blocks, added, tmp_path):
    calls = [
        threading.Thread(target=fuse, args=(six_blocks, trained), kwargs={"implicates": m, "out": tmp_path})
        for m in ([1, 2], [2, 1])
    ]
    for call in calls:
        call.start()
    for call in calls:
        call.join()
    assert len(added) == 12
    assert len(digests(tmp_path)) == 2


KILLED = """
import os, signal, sys
from fusion_pipeline.fusion import fusing, recipient
from fusion_pipeline.fusion.parts import Parts
from fusion_pipeline.storage.tables import TableRef
from pathlib import Path
recipient.BLOCK_ROWS = fusing.BLOCK_ROWS = {rows}
add, count = Parts.add, 0
def counted(self, block, table):
    global count
    add(self, block, table)
    count += 1
    if count == 8:
        os.kill(os.getpid(), signal.SIGKILL)
Parts.add = counted
fusing.fuse(TableRef(Path({frame!r})), {models!r}, implicates=2, out={out!r})
"""


@pytest.mark.slow
def test_a_kill_loses_no_finished_block(trained, six_blocks, added, tmp_path):
    recipient = TableRef(tmp_path / "recipient.parquet")
    write_table(recipient.path, pa.Table.from_pandas(six_blocks, preserve_index=False))
    out = tmp_path / "cut"
    code = KILLED.format(rows=ROWS, frame=str(recipient.path), models=str(trained.path), out=str(out))
    done = subprocess.run([sys.executable, "-c", code], env=os.environ, check=False)
    assert done.returncode == -signal.SIGKILL
    assert len(parts(out)) == 8
    fuse(recipient, trained, implicates=2, out=out)
    assert len(added) == 4
    fuse(recipient, trained, implicates=2, out=tmp_path / "whole")
    assert digests(out) == digests(tmp_path / "whole")
