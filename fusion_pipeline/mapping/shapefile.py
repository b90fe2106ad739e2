"""Zipped shapefiles of polygons: rings and attributes.

Belongs here: the format. Does not belong here: what columns mean (`boundaries.py`).

Source: ESRI Shapefile Technical Description (July 1998); dBase III tables. No library that the project has reads them.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np

from fusion_pipeline.errors import GeographyError

Array = np.ndarray
Record = tuple[dict[str, str], tuple[Array, ...]]
_POLYGONS = (5, 15, 25)
"""Polygons, plain and with a third or fourth coordinate, which stands behind the others."""
_NULL = 0
_MOST = 2 << 30
"""Bytes that a member may unpack to: the Bureau's largest cartographic file has a tenth of it."""


def read_shapefile(path: Path) -> list[Record]:
    """Read the one shapefile of polygons in a zip archive.

    Returns
    -------
    list of (attributes, rings)
        Attributes are text; rings are (k, 2) float64 in the file's coordinates, none for a null shape.

    Raises
    ------
    GeographyError
        If the archive or a record is damaged, or holds no polygons.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            shapes, attributes = (_member(archive, ending) for ending in (".shp", ".dbf"))
        rings, rows = _polygons(shapes), _rows(attributes)
        if len(rings) != len(rows):
            raise ValueError(f"{len(rings)} shapes and {len(rows)} rows of attributes")
        return list(zip(rows, rings, strict=True))
    except (OSError, EOFError, ValueError, struct.error, zlib.error, zipfile.BadZipFile) as error:
        raise GeographyError(
            path.name, f"is no zipped shapefile of areas ({error}).", "Fetch the file again."
        ) from error


def _member(archive: zipfile.ZipFile, ending: str) -> bytes:
    found = [info for info in archive.infolist() if info.filename.lower().endswith(ending)]
    if len(found) != 1:
        raise ValueError(f"{len(found)} members end in {ending}, not one")
    if found[0].file_size > _MOST:
        raise ValueError(f"{found[0].filename} would unpack to {found[0].file_size:,} bytes")
    return archive.read(found[0])


def _polygons(content: bytes) -> list[tuple[Array, ...]]:
    if len(content) < 100 or struct.unpack_from(">i", content, 0)[0] != 9994:
        raise ValueError("the .shp member is no shapefile")
    found: list[tuple[Array, ...]] = []
    at = 100
    while at < len(content):
        size = 2 * struct.unpack_from(">i", content, at + 4)[0]
        if size < 4 or at + 8 + size > len(content):
            raise ValueError(f"record {len(found) + 1} is cut off")
        found.append(_rings(content[at + 8 : at + 8 + size], len(found) + 1))
        at += 8 + size
    return found


def _rings(record: bytes, number: int) -> tuple[Array, ...]:
    (kind,) = struct.unpack_from("<i", record, 0)
    if kind == _NULL:
        return ()
    if kind not in _POLYGONS:
        raise ValueError(f"record {number} is of shape type {kind}, no polygon")
    parts, points = struct.unpack_from("<ii", record, 36)
    starts = np.frombuffer(record, "<i4", parts, 44)
    xy = np.frombuffer(record, "<f8", 2 * points, 44 + 4 * parts).reshape(points, 2)
    if not np.isfinite(xy).all() or (np.diff(starts, append=points) < 3).any():
        raise ValueError(f"record {number} has no proper rings")
    return tuple(np.split(xy, starts[1:]))


def _rows(content: bytes) -> list[dict[str, str]]:
    count, header, width = struct.unpack_from("<IHH", content, 4)
    fields, at = [], 1  # a row begins with its mark of deletion
    for start in range(32, header - 1, 32):
        name = content[start : start + 11].split(b"\0")[0].decode("ascii")
        fields.append((name, at, content[start + 16]))
        at += content[start + 16]
    if header + count * width > len(content) or at > width:
        raise ValueError("the .dbf member is cut off")
    rows = []
    for number in range(count):
        row = content[header + number * width : header + (number + 1) * width]
        rows.append({name: row[start : start + size].decode().strip() for name, start, size in fields})
    return rows
