"""The small fusion pair, made once for a state of the sources: making it takes a minute, and many tests begin with it.

What lies there is never changed; who needs a pair of its own copies it.
"""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

ROOT = Path(__file__).parents[1]
MADE_FROM = ("fusion_pipeline", "assets", "resources", "tests/conftest.py", "requirements.lock")


def find_or_make(cache: Path, make: Callable[[Path], object]) -> Path:
    """Return the folder of a pair made by this state of the sources; whoever comes first makes it.

    Parameters
    ----------
    cache : Path
        Where such folders are kept, for all processes of the suite.
    make : callable
        Makes the pair in the folder that it is given.
    """
    with _alone(cache) as folder:
        if not folder.exists():
            begun = folder.with_name(f".{folder.name}.{os.getpid()}")
            make(begun)
            _replace(begun, folder)
    return folder


def keep(cache: Path, data: Path) -> None:
    """Keep a copy of a pair that this state of the sources has made."""
    with _alone(cache) as folder:
        if not folder.exists():
            begun = folder.with_name(f".{folder.name}.{os.getpid()}")
            shutil.copytree(data, begun)
            _replace(begun, folder)


@contextmanager
def _alone(cache: Path) -> Iterator[Path]:
    with FileLock(cache / "lock"):
        yield cache / _digest()


def _replace(begun: Path, folder: Path) -> None:
    for old in folder.parent.iterdir():
        if old.is_dir() and old != begun:
            shutil.rmtree(old)
    begun.rename(folder)


def _digest() -> str:
    """SHA-256 of all that the pair is made from."""
    found = hashlib.sha256()
    for name in MADE_FROM:
        top = ROOT / name
        for path in sorted(top.rglob("*")) if top.is_dir() else [top]:
            if path.is_file() and "__pycache__" not in path.parts:
                found.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes())
    return found.hexdigest()[:16]
