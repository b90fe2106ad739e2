"""Atomic publication: a reader sees the old artefact or the new one, never a half.

Belongs here: temporary names, fsync, rename, and recovery after a kill. Does not belong here: formats.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import itertools
import os
import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fusion_pipeline.errors import StorageError

_HERE, _RENAME_EXCHANGE = -100, 2
"""AT_FDCWD of fcntl.h and RENAME_EXCHANGE of linux/fs.h."""
_numbers = itertools.count(1)
"""Tells apart the temporaries of one process, whatever its threads."""
_in_work: set[Path] = set()
"""Temporaries that this process is writing: another with its number in its name is of a dead namesake."""


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; publish it when the block ends, drop it when the block fails.

    Raises
    ------
    StorageError
        If the disk is full or the folder cannot be written; what stood at `path` is untouched.
    """
    with _temporary(path) as temporary:
        try:
            yield temporary
            _fsync(temporary)
            temporary.replace(path)
            _fsync(path.parent)
        except OSError as error:
            raise _unwritable(path, error) from error


@contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """Give an empty temporary directory beside `path`; publish it whole when the block ends.

    A directory cannot be renamed over another that is not empty, so the two are exchanged in one step. Where the
    system or the file system cannot do that, the old one steps aside under a fixed name first: `recover` puts it back
    if a kill fell between the two renames, and waits for a writer between them. What `recover` cannot help there is a
    reader that called it just before the first rename and looks before the second: it finds nothing, for an instant.
    """
    recover(path)
    with _temporary(path) as temporary:
        try:
            temporary.mkdir()
            yield temporary
            for file in sorted(temporary.rglob("*")):
                _fsync(file)
            _fsync(temporary)
            with exclusive(_lock(path), leave=False):
                if not path.exists():
                    temporary.rename(path)
                elif not _exchange(temporary, path):
                    path.rename(_aside(path))
                    temporary.rename(path)
                _fsync(path.parent)
                shutil.rmtree(_aside(path), ignore_errors=True)
        except OSError as error:
            raise _unwritable(path, error) from error


def recover(path: Path) -> None:
    """Put the previous directory back if its replacement was cut off half way; otherwise do nothing."""
    aside = _aside(path)
    if not aside.exists():
        return
    try:
        # A writer between its two renames holds the lock; when it is free, what stands aside was left behind.
        with exclusive(_lock(path), leave=False):
            if aside.exists() and not path.exists():
                aside.rename(path)
            shutil.rmtree(aside, ignore_errors=True)
    except OSError as error:
        raise _unwritable(path, error) from error


def is_alive(process: int) -> bool:
    """Tell whether a process of this machine, by its number, is there."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


@contextmanager
def exclusive(lock: Path, *, leave: bool = True) -> Iterator[None]:
    """Hold a lock file alone, against other processes and threads; a kill frees it.

    Parameters
    ----------
    lock : file to hold
    leave : whether it stays; otherwise it goes with its last holder that is not killed

    Raises
    ------
    StorageError
        If its folder cannot be made or written.
    """
    with _held(lock):
        try:
            yield
        finally:
            if not leave:
                lock.unlink(missing_ok=True)


@contextmanager
def _held(lock: Path) -> Iterator[None]:
    while True:
        try:
            lock.parent.mkdir(parents=True, exist_ok=True)
            file = lock.open("w")
        except OSError as error:
            raise _unwritable(lock, error) from error
        with file:
            fcntl.flock(file, fcntl.LOCK_EX)
            # Who waited for a file that its holder removed holds nothing that others see.
            if _stands_at(lock, file.fileno()):
                yield
                return


def _stands_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


@contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    """Name a temporary beside `path`, and sweep away those that killed processes of this machine left."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(path, error) from error
    start = f".{path.name}.{platform.node()}."
    temporary = path.with_name(f"{start}{os.getpid()}-{next(_numbers)}.tmp")
    _in_work.add(temporary)
    try:
        for litter in path.parent.glob(f"{start}*-*.tmp"):
            process = int(litter.name.removeprefix(start).split("-")[0])
            if litter not in _in_work and (process == os.getpid() or not is_alive(process)):
                _remove(litter)
        yield temporary
    finally:
        _remove(temporary)
        _in_work.discard(temporary)


def _exchange(one: Path, other: Path) -> bool:
    """Let two directories change names in one step (Linux, renameat2(2)); tell whether that could be done."""
    try:
        swap = ctypes.CDLL(None, use_errno=True).renameat2
    except AttributeError:
        return False
    if swap(_HERE, os.fsencode(one.absolute()), _HERE, os.fsencode(other.absolute()), _RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP):
        return False
    raise OSError(code, os.strerror(code), str(other))


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _lock(path: Path) -> Path:
    return path.with_name(f".{path.name}.swap")


def _aside(path: Path) -> Path:
    return path.with_name(f".{path.name}.old")


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unwritable(path: Path, error: OSError) -> StorageError:
    return StorageError(
        str(path),
        f"cannot be written ({error.strerror or error}); what stood there before is untouched.",
        "Free space or permissions, then run the same command again.",
    )
