"""Compressed files opened with a bound on what they unpack to: an archive made to harm must not fill memory or disk.

Belongs here: the bounds, and streams that keep them. Whoever opens a .gz or a member of a .zip does it here. Does not
belong here: what the bytes mean. Members of archives are streamed, never written: their paths lead nowhere.
"""

from __future__ import annotations

import gzip
import io
import zipfile
from pathlib import Path
from typing import Any, cast

from fusion_pipeline.errors import RawFileError

MOST_BYTES = 1 << 36
"""What a file may unpack to: the largest national file has 5 GB."""
MOST_RATIO = 200
"""And how many times its packed size: survey text packs to a tenth, an archive made to harm to a thousandth."""
SMALL_BYTES = 1 << 24
"""Whatever unpacks to less harms nobody, at any ratio."""


def open_gzip(path: Path, *, most: int = MOST_BYTES) -> io.BufferedIOBase:
    """Open a gzipped file for reading.

    A gzip file does not say reliably what it unpacks to, so the stream counts, and raises `RawFileError` on the read
    that goes beyond.

    Parameters
    ----------
    path : Path
    most : int
        Bytes that it may unpack to, less where the reader takes them all into memory.
    """
    packed = path.stat().st_size
    return io.BufferedReader(_Bounded(gzip.open(path), path, packed, min(most, _allowed(packed))), 1 << 20)


def open_member(archive: zipfile.ZipFile, member: str) -> io.BufferedIOBase:
    """Open a member of a zip archive for reading.

    Its reader never gives more bytes than the archive says the member has, so that what it says is what is bounded.

    Raises
    ------
    RawFileError
        If the member would unpack beyond measure.
    """
    there = archive.getinfo(member)
    if there.file_size > _allowed(there.compress_size):
        raise _refusal(
            f"{archive.filename}/{member}",
            f"would unpack from {there.compress_size:,} to {there.file_size:,} bytes.",
        )
    return cast(io.BufferedIOBase, archive.open(member))


def _allowed(packed: int) -> int:
    return min(MOST_BYTES, max(SMALL_BYTES, MOST_RATIO * packed))


def _refusal(where: str, what: str) -> RawFileError:
    return RawFileError(where, what, "Fetch it again from its publisher; no survey's text packs so small.")


class _Bounded(io.RawIOBase):
    """Bytes of another stream, up to a number."""

    def __init__(self, stream: Any, path: Path, packed: int, allowed: int) -> None:
        self._stream, self._path, self._packed, self._allowed, self._given = stream, path, packed, allowed, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = int(self._stream.readinto(buffer))
        self._given += count
        if self._given > self._allowed:
            raise _refusal(
                str(self._path), f"unpacks from {self._packed:,} to more than {self._allowed:,} bytes."
            )
        return count

    def close(self) -> None:
        self._stream.close()
        super().close()
