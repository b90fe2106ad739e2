"""A disk that is really full: a file system of some kilobytes, which only the processes under test see."""

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

_NAMESPACE = ("unshare", "--mount", "--map-root-user")


def on_small_disk(folder: Path, size: int, *command: str | Path) -> list[str]:
    """Wrap a command so that it finds what a folder holds on a disk of its own, which goes with the command.

    Parameters
    ----------
    folder : Path
        Its files are on the small disk too.
    size : int
        Bytes of the disk, of which files take whole pages.
    command : str or Path
        Program and its words.
    """
    if not _possible():
        # Shown by `-ra`; a file that may not grow stands for the full disk then (`test_failures.py`).
        pytest.skip("this system lets nobody mount a disk in a namespace of their own (unshare)")
    script = (
        'kept=$(mktemp -d) && cp -a "$0"/. "$kept" && mount -t tmpfs -o size="$1" tmpfs "$0" && cp -a "$kept"/. "$0"'
        ' && rm -r "$kept" && shift && exec "$@"'
    )
    return [*_NAMESPACE, "sh", "-c", script, str(folder), str(size), *map(str, command)]


def pages(count: int) -> int:
    """Return what so many bytes take on such a disk."""
    page = os.sysconf("SC_PAGE_SIZE")
    return -(-count // page) * page


@cache
def _possible() -> bool:
    if shutil.which("unshare") is None:
        return False
    tried = subprocess.run(
        [*_NAMESPACE, "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True, check=False
    )
    return tried.returncode == 0
