"""What was found for a raw file: path, size, digest, origin, and what of the official file it lacks.

Belongs here: the record itself, its table, and the check that the file is still the one recorded. Does not
belong here: finding files (`resolving.py`).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import pyarrow as pa

from fusion_pipeline.errors import RawFileError
from fusion_pipeline.raw.entries import Excerpt
from fusion_pipeline.storage.receipts import sha256

Origin = Literal["mirror", "cache", "download", "simulated"]

SCHEMA = pa.schema(
    [
        ("role", pa.string()),
        ("path", pa.string()),
        ("size", pa.int64()),
        ("sha256", pa.string()),
        ("origin", pa.string()),
        ("absent", pa.list_(pa.string())),
        ("states", pa.list_(pa.string())),
        ("member", pa.string()),
        ("without", pa.list_(pa.string())),
        ("excerpt", pa.string()),
        ("mtime_ns", pa.int64()),
    ]
)
VOLATILE = ("path", "mtime_ns")
"""Columns that say where and since when a file lies here, and nothing of what it holds."""


@dataclass(frozen=True)
class ResolvedFile:
    """A raw file on this machine."""

    role: str
    """What the registry calls it: `households`, `persons`, `tract_puma_2010`, ..."""
    path: Path
    size: int
    """Bytes, as it lies there."""
    sha256: str
    """Of the file as it lies there, compressed or not."""
    origin: Origin
    absent: tuple[str, ...] = ()
    """Raw columns of the official file that this one has not."""
    states: tuple[str, ...] = ()
    """State FIPS codes covered; empty: all."""
    member: str = "*.csv"
    """Which members to read, if it is a zip archive."""
    without: tuple[str, ...] = ()
    """Roles of other files of the survey that did not come with it."""
    excerpt: Excerpt | None = None
    """Which of its records are meant, if not all."""
    mtime_ns: int = 0
    """When it was last written, as it lies there."""


def as_table(files: list[ResolvedFile]) -> pa.Table:
    """Write resolved files down as a table, one row a file."""
    rows = [
        {
            **asdict(file),
            "path": str(file.path),
            "excerpt": file.excerpt and file.excerpt.model_dump_json(),
        }
        for file in files
    ]
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def from_table(table: pa.Table) -> list[ResolvedFile]:
    """Read back what `as_table` wrote."""
    return [
        ResolvedFile(
            role=row["role"],
            path=Path(row["path"]),
            size=row["size"],
            sha256=row["sha256"],
            origin=row["origin"],
            absent=tuple(row["absent"]),
            states=tuple(row["states"]),
            member=row["member"],
            without=tuple(row["without"]),
            excerpt=Excerpt.model_validate_json(row["excerpt"]) if row["excerpt"] else None,
            mtime_ns=row["mtime_ns"],
        )
        for row in table.select(SCHEMA.names).to_pylist()
    ]


def verify(file: ResolvedFile) -> Path:
    """Check that a file is still the one recorded; it is read only if it was written since, of the same size.

    Returns
    -------
    Its path.

    Raises
    ------
    RawFileError
        If it vanished, or its size or content changed since it was resolved.
    """
    remedy = "Materialize the raw asset again, so that everything made from the file follows."
    try:
        found = file.path.stat()
    except OSError as error:
        raise RawFileError(
            f"{file.path} ({file.role})",
            f"was there when it was resolved and is not now ({error.strerror}).",
            remedy,
        ) from error
    if found.st_size != file.size:
        raise RawFileError(
            f"{file.path} ({file.role})",
            f"has {found.st_size:,} bytes and had {file.size:,} when it was resolved.",
            remedy,
        )
    if found.st_mtime_ns != file.mtime_ns and sha256(file.path) != file.sha256:
        raise RawFileError(
            f"{file.path} ({file.role})", "has another content than when it was resolved.", remedy
        )
    return file.path
