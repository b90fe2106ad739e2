"""Boundaries of the simulated world, in the layout of the Census Bureau's cartographic boundary files.

Belongs here: where states and PUMAs lie, and shapefiles of them. Does not belong here: what is true of them
(`place.py`).

Each state is what of the land is nearer to its middle than to any other's (a Voronoi cell), and each PUMA such a cell
of its state. Middles are moved a little by the seed.
"""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import yaml

from fusion_pipeline.randomness import stream
from fusion_pipeline.simulate.place import Places

Array = np.ndarray
Row = tuple[Mapping[str, str], Array]
"""Attributes and the one ring of an area, clockwise."""
_MOVED = 0.12
"""Standard deviation of a state's middle, in degrees."""
_LONGEST = 0.4
"""Degrees of a side."""
_EARLIEST = (1980, 1, 1, 0, 0, 0)
"""Time of every member of an archive: same seed, same bytes."""
_POLYGON = 5


def writers(places: Places, seed: int) -> dict[str, Callable[[Path], None]]:
    """Name the writer of every boundary file by its role in the registry, with its PUMA definition."""
    states = state_cells(places, seed)
    pumas = puma_cells(places, states, seed)
    found: dict[str, Callable[[Path], None]] = {}
    for definition, suffix in (("puma10", "10"), ("puma20", "20")):
        found[f"{definition}/boundaries"] = partial(_write_pumas, places, pumas, suffix)
        found[f"{definition}/state_boundaries"] = partial(_write_states, places, states)
    return found


def state_cells(places: Places, seed: int) -> list[Array]:
    """(51,) ring of every state, in the order of `places.states`."""
    known = yaml.safe_load(Path(__file__).with_name("outlines.yaml").read_text(encoding="utf-8"))
    usps = places.states["usps"].tolist()
    middles = np.array([known["middles"][name] for name in usps])
    middles = middles + stream(seed, "simulate", "middles of states").normal(0, _MOVED, middles.shape)
    own = {name for name in known["shores"] if name in usps}
    together = [k for k, name in enumerate(usps) if name not in own]
    cells = dict(
        zip(together, _cells(np.array(known["shores"]["contiguous"]), middles[together]), strict=True)
    )
    shores = {name: np.array(known["shores"][name]) for name in own}
    return [
        _dense(shores[name] + middles[k] - known["middles"][name] if name in own else cells[k])
        for k, name in enumerate(usps)
    ]


def puma_cells(places: Places, states: Sequence[Array], seed: int) -> list[Array]:
    """(P,) ring of every PUMA, in the order of `places`."""
    found: list[Array] = []
    for position, ring in enumerate(states):
        rng = stream(seed, "simulate", "middles of PUMAs", places.states["fips"][position])
        count = int((places.state == position).sum())
        middles = _inside(ring, count, rng)
        for _ in range(4):  # towards cells of about the same size (Lloyd 1982)
            middles = np.array([_centroid(cell) for cell in _cells(ring, middles)])
        found += _cells(ring, middles)
    return found


def _dense(ring: Array) -> Array:
    """Divide long sides, which on a projected map are arcs."""
    sides = np.roll(ring, -1, axis=0) - ring
    parts = np.ceil(np.abs(sides).max(axis=1) / _LONGEST).astype(int)
    start = np.repeat(np.arange(len(ring)), parts)
    share = (np.arange(len(start)) - (np.cumsum(parts) - parts)[start]) / parts[start]
    return ring[start] + share[:, None] * sides[start]


def _inside(ring: Array, count: int, rng: np.random.Generator) -> Array:
    """Draw points inside a ring."""
    low, high = ring.min(axis=0), ring.max(axis=0)
    found: list[Array] = []
    while len(found) < count:
        point = rng.uniform(low, high)
        if _contains(ring, point):
            found.append(point)
    return np.array(found)


def _contains(ring: Array, point: Array) -> bool:
    (x, y), before = point, np.roll(ring, 1, axis=0)
    crosses = (ring[:, 1] > y) != (before[:, 1] > y)
    rise = np.where(crosses, before[:, 1] - ring[:, 1], 1.0)
    at = ring[:, 0] + (y - ring[:, 1]) * (before[:, 0] - ring[:, 0]) / rise
    return bool((crosses & (x < at)).sum() % 2)


def _cells(ring: Array, middles: Array) -> list[Array]:
    """Divide the inside of a ring among points: to each what is nearer to it than to the others."""
    return [_nearest(ring, middles, k) for k in range(len(middles))]


def _nearest(ring: Array, middles: Array, own: int) -> Array:
    cell, point = ring, middles[own]
    others = np.delete(middles, own, axis=0)
    for other in others[np.argsort(((others - point) ** 2).sum(axis=1))]:
        side = (cell - (point + other) / 2) @ (other - point)
        if (side > 0).any():
            cell = _cut(cell, side)
    return cell


def _cut(ring: Array, side: Array) -> Array:
    """Keep the part of a ring where `side` is negative (Sutherland and Hodgman 1974)."""
    following, beyond = np.roll(ring, -1, axis=0), np.roll(side, -1)
    crosses = (side > 0) != (beyond > 0)
    share = side / np.where(crosses, side - beyond, 1.0)
    kept = []
    for k in range(len(ring)):
        if side[k] <= 0:
            kept.append(ring[k])
        if crosses[k]:
            kept.append(ring[k] + share[k] * (following[k] - ring[k]))
    return np.array(kept)


def _centroid(ring: Array) -> Array:
    following = np.roll(ring, -1, axis=0)
    cross = ring[:, 0] * following[:, 1] - following[:, 0] * ring[:, 1]
    return ((ring + following) * cross[:, None]).sum(axis=0) / (3 * cross.sum())


def _write_states(places: Places, cells: Sequence[Array], file: Path) -> None:
    frame = places.states
    rows = [
        {"STATEFP": fips, "GEOID": fips, "STUSPS": usps, "NAME": name}
        for fips, usps, name in zip(frame["fips"], frame["usps"], frame["name"], strict=True)
    ]
    _write(file, list(zip(rows, cells, strict=True)))


def _write_pumas(places: Places, cells: Sequence[Array], suffix: str, file: Path) -> None:
    names = places.states["name"].to_numpy()[places.state]
    rows = [
        {
            f"STATEFP{suffix}": fips,
            f"PUMACE{suffix}": puma,
            f"GEOID{suffix}": fips + puma,
            f"NAME{suffix}": f"{name}, area {int(puma)}",
        }
        for fips, puma, name in zip(places.fips, places.puma, names, strict=True)
    ]
    _write(file, list(zip(rows, cells, strict=True)))


def _write(file: Path, rows: Sequence[Row]) -> None:
    """Write a zipped shapefile of polygons (ESRI Shapefile Technical Description, 1998)."""
    base = file.name.removesuffix(".zip")
    rings = [_closed_clockwise(ring) for _, ring in rows]
    members = {".shp": _shapes(rings), ".shx": _index(rings), ".dbf": _attributes([row for row, _ in rows])}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for ending, content in {**members, ".cpg": b"UTF-8"}.items():
            archive.writestr(zipfile.ZipInfo(base + ending, _EARLIEST), content, zipfile.ZIP_DEFLATED)


def _closed_clockwise(ring: Array) -> Array:
    following = np.roll(ring, -1, axis=0)
    around = (ring[:, 0] * following[:, 1] - following[:, 0] * ring[:, 1]).sum()
    ring = ring[::-1] if around > 0 else ring
    return np.vstack([ring, ring[:1]]).astype("<f8")


def _box(points: Array) -> bytes:
    return np.concatenate([points.min(axis=0), points.max(axis=0)]).astype("<f8").tobytes()


def _record(ring: Array) -> bytes:
    return struct.pack("<i", _POLYGON) + _box(ring) + struct.pack("<iii", 1, len(ring), 0) + ring.tobytes()


def _header(rings: Sequence[Array], size: int) -> bytes:
    head = struct.pack(">7i", 9994, 0, 0, 0, 0, 0, size // 2) + struct.pack("<2i", 1000, _POLYGON)
    return head + _box(np.concatenate(rings)) + bytes(32)


def _shapes(rings: Sequence[Array]) -> bytes:
    records = [_record(ring) for ring in rings]
    body = b"".join(
        struct.pack(">2i", number, len(record) // 2) + record
        for number, record in enumerate(records, start=1)
    )
    return _header(rings, 100 + len(body)) + body


def _index(rings: Sequence[Array]) -> bytes:
    body, at = b"", 100
    for ring in rings:
        size = len(_record(ring))
        body += struct.pack(">2i", at // 2, size // 2)
        at += 8 + size
    return _header(rings, 100 + len(body)) + body


def _attributes(rows: Sequence[Mapping[str, str]]) -> bytes:
    widths = {name: max(len(row[name].encode()) for row in rows) for name in rows[0]}
    fields = b"".join(
        name.encode().ljust(11, b"\0") + b"C" + bytes(4) + bytes([width]) + bytes(15)
        for name, width in widths.items()
    )
    header = 32 + len(fields) + 1
    head = struct.pack("<4BIHH", 3, 115, 1, 1, len(rows), header, 1 + sum(widths.values())) + bytes(20)
    body = b"".join(
        b" " + b"".join(row[name].encode().ljust(width) for name, width in widths.items()) for row in rows
    )
    return head + fields + b"\r" + body + b"\x1a"
