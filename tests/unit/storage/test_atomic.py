"""A reader sees the old artefact or the new one, whatever happens to the writer."""

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fusion_pipeline.errors import StorageError
from fusion_pipeline.storage import atomic
from fusion_pipeline.storage.atomic import atomic_directory, atomic_file, exclusive, recover


def visible(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def test_failed_write_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), atomic_file(path) as temporary:
        temporary.write_text("new")
        raise ZeroDivisionError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_full_disk_names_the_file_and_the_remedy_and_keeps_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with (
        pytest.raises(StorageError, match=r"a\.txt: cannot be written .*No space.*Free space"),
        atomic_file(path),
    ):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert path.read_text() == "old"


def test_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file where the folder should be")
    for write in (atomic_file, atomic_directory):
        with (
            pytest.raises(StorageError, match=r"a\.txt: cannot be written"),
            write(tmp_path / "data" / "a.txt"),
        ):
            pass


@pytest.mark.parametrize("can_exchange", [True, False])
def test_directory_is_replaced_whole(tmp_path: Path, monkeypatch, can_exchange) -> None:
    if not can_exchange:
        monkeypatch.setattr(atomic, "_exchange", lambda one, other: False)
    path = tmp_path / "set"
    for generation in ("one", "two"):
        with atomic_directory(path) as folder:
            (folder / generation).write_text(generation)
    assert [p.name for p in path.iterdir()] == ["two"]
    assert [*tmp_path.iterdir()] == [path]


def test_lock_that_goes_with_its_holder_is_never_held_twice(tmp_path: Path) -> None:
    holders, most = [], []

    def hold(number: int) -> None:
        for _ in range(25):
            with exclusive(tmp_path / ".set.swap", leave=False):
                holders.append(number)
                time.sleep(0.0005)
                most.append(len(holders))
                holders.remove(number)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(hold, range(8)))
    assert len(most) == 200
    assert max(most) == 1
    assert not [*tmp_path.iterdir()]


def test_directory_whose_replacement_was_cut_off_between_two_renames_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "set"
    with atomic_directory(path) as folder:
        (folder / "one").write_text("one")
    path.rename(tmp_path / ".set.old")
    recover(path)
    assert (path / "one").read_text() == "one"


def test_reader_that_recovers_between_the_renames_of_a_system_that_cannot_exchange_waits_for_the_writer(
    tmp_path: Path, monkeypatch
) -> None:
    path = tmp_path / "set"
    monkeypatch.setattr(atomic, "_exchange", lambda one, other: False)
    with atomic_directory(path) as folder:
        (folder / "one").write_text("one")
    stepped_aside, read = threading.Event(), []

    def reader() -> None:
        stepped_aside.wait()
        recover(path)
        read.extend(p.name for p in path.iterdir())

    rename = Path.rename

    def slow(source: Path, target: Path) -> Path:
        if source == path:
            result = rename(source, target)
            stepped_aside.set()
            time.sleep(0.2)
            return result
        return rename(source, target)

    monkeypatch.setattr(Path, "rename", slow)
    thread = threading.Thread(target=reader)
    thread.start()
    with atomic_directory(path) as folder:
        (folder / "two").write_text("two")
    thread.join(10)
    assert read == ["two"]
    assert visible(path) == ["two"]


REPLACER = """
import sys
from pathlib import Path
from fusion_pipeline.storage.atomic import atomic_directory
for generation in range(200):
    with atomic_directory(Path(sys.argv[1])) as folder:
        (folder / "part").write_text(str(generation))
    print(generation, flush=True)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="directories are exchanged in one step on Linux only")
def test_reader_never_misses_a_directory_that_another_process_replaces_again_and_again(
    tmp_path: Path,
) -> None:
    path = tmp_path / "set"
    process = subprocess.Popen([sys.executable, "-c", REPLACER, str(path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    seen = missed = 0
    while process.poll() is None:
        # Opened at once, without recovering first: what a handle does that was made long ago.
        try:
            seen += (path / "part").read_text().isdecimal()
        except FileNotFoundError:
            missed += 1
    assert process.returncode == 0
    assert seen > 0
    assert missed == 0
    assert (path / "part").read_text() == "199"
    assert visible(tmp_path) == ["set"]


@pytest.mark.parametrize("write", [atomic_file, atomic_directory])
def test_two_threads_that_write_one_path_do_not_share_a_temporary(tmp_path: Path, write) -> None:
    path, both = tmp_path / "a", threading.Barrier(2, timeout=10)

    def writer(text: str) -> None:
        with write(path) as temporary:
            both.wait()
            (temporary / "x" if write is atomic_directory else temporary).write_text(text)
            both.wait()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(writer, ("first", "second")))
    assert (path / "x" if write is atomic_directory else path).read_text() in ("first", "second")
    assert visible(tmp_path) == ["a"]
    assert not list(tmp_path.glob(".*.tmp"))


def test_temporary_of_a_dead_process_with_our_number_is_swept_away(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with atomic_file(path) as temporary:
        temporary.write_text("1")
    namesake = temporary.with_name(temporary.name.replace(f"{os.getpid()}-", f"{os.getpid()}-9999"))
    namesake.write_text("half")
    with atomic_file(path) as temporary:
        temporary.write_text("2")
    assert list(tmp_path.iterdir()) == [path]


WRITER = """
import sys, time
from pathlib import Path
from fusion_pipeline.storage.atomic import atomic_file
with atomic_file(Path(sys.argv[1])) as temporary:
    temporary.write_text("half")
    print("writing", flush=True)
    time.sleep(60)
"""


def test_killed_writer_leaves_the_old_file_readable(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert path.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 2, "the killed writer left its temporary file"
    with atomic_file(path) as temporary:
        temporary.write_text("new")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path], "and the next writer swept it away"


def test_writer_at_work_is_not_swept_away(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    with atomic_file(path) as temporary:
        temporary.write_text("new")
    assert len(list(tmp_path.iterdir())) == 2
    process.kill()
    process.wait()
