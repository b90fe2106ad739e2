"""From degrees to a sheet: projection, Alaska and Hawaii moved in, coordinates as whole numbers.

Belongs here: geometry between boundaries and drawing. Does not belong here: colours and words (`choropleth.py`).

Projection: Albers' equal-area conic (Snyder 1987, Map Projections: A Working Manual, USGS Professional Paper 1395,
equations 14-1 to 14-6, for the sphere), with the standard parallels that the Bureau uses for the contiguous states,
Alaska and Hawaii.

Points are rounded to the sheet's grid and those that became superfluous are dropped. Neighbours share the points of
their border, and a point is rounded alike for both: no gap opens between them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fusion_pipeline.mapping.boundaries import Area

Array = np.ndarray
WIDTH = 4000
"""Of the sheet, in its units."""
_EDGE = 25
"""Left free around the areas, for their borders."""
_FLATTEST, _STEEPEST = 0.4, 1.1
"""Height of the sheet over its width."""


@dataclass(frozen=True)
class _Conic:
    """Standard parallels and origin in degrees, the scale on the sheet, and where the origin comes to lie (radians)."""

    parallels: tuple[float, float]
    origin: tuple[float, float]
    scale: float = 1.0
    moved: tuple[float, float] = (0.0, 0.0)

    def project(self, degrees: Array) -> Array:
        """(k, 2) longitude and latitude -> x to the right, y downwards."""
        first, second = np.radians(self.parallels)
        n = (np.sin(first) + np.sin(second)) / 2
        c = np.cos(first) ** 2 + 2 * n * np.sin(first)

        def radius(latitude: Array) -> Array:
            return np.sqrt(c - 2 * n * np.sin(np.radians(latitude))) / n

        # West of the date line the Aleutians have eastern longitudes.
        longitude = np.where(degrees[:, 0] > 0, degrees[:, 0] - 360, degrees[:, 0])
        angle = n * np.radians(longitude - self.origin[0])
        at = radius(degrees[:, 1])
        x, y = at * np.sin(angle), at * np.cos(angle) - radius(np.array(self.origin[1]))
        return np.stack([self.scale * x + self.moved[0], self.scale * y + self.moved[1]], axis=1)


_CONTIGUOUS = _Conic((29.5, 45.5), (-96.0, 38.0))
_INSETS = {
    "02": _Conic((55.0, 65.0), (-154.0, 62.0), 0.35, (-0.29, 0.185)),
    "15": _Conic((8.0, 18.0), (-157.5, 20.8), 1.0, (-0.155, 0.215)),
}


@dataclass(frozen=True)
class Sheet:
    """Areas in whole coordinates on a sheet `WIDTH` wide."""

    rings: tuple[tuple[Array, ...], ...]
    """By area: (k, 2) int64 each, not closed."""
    height: int

    def middle(self, area: int, down: float = 0.5) -> tuple[float, float]:
        """Middle of the area's largest ring, `down` of its height from the top."""
        ring = max(self.rings[area], key=lambda ring: abs(_extent(ring)))
        low, high = ring.min(axis=0), ring.max(axis=0)
        return float(low[0] + high[0]) / 2, float(low[1] + down * (high[1] - low[1]))


def lay_out(areas: list[Area], *, degrees: bool) -> Sheet:
    """Bring areas onto a sheet that they fill.

    Parameters
    ----------
    areas : at least one
    degrees : their coordinates are longitudes and latitudes, to be projected
    """
    flat = [
        [_INSETS.get(area.state, _CONTIGUOUS).project(ring) if degrees else ring for ring in area.rings]
        for area in areas
    ]
    everything = np.concatenate([ring for rings in flat for ring in rings])
    low, high = everything.min(axis=0), everything.max(axis=0)
    span = np.maximum(high - low, 1e-9)
    ratio = float(np.clip(span[1] / span[0], _FLATTEST, _STEEPEST))
    room = np.array([WIDTH, ratio * WIDTH]) - 2 * _EDGE
    scale = float((room / span).min())
    margin = (np.array([WIDTH, ratio * WIDTH]) - scale * span) / 2
    placed = tuple(_rounded([scale * (ring - low) + margin for ring in rings]) for rings in flat)
    return Sheet(placed, round(ratio * WIDTH))


def _rounded(rings: list[Array]) -> tuple[Array, ...]:
    kept = [ring for ring in map(_thin, rings) if len(ring) > 2]
    if kept:
        return tuple(kept)
    # Smaller than the grid: a speck says that it is there.
    x, y = np.rint(max(rings, key=len).mean(axis=0)).astype(np.int64)
    return (np.array([[x, y], [x + 2, y], [x + 2, y + 2], [x, y + 2]]),)


def _thin(ring: Array) -> Array:
    """Round a ring, and drop points that repeat another or lie on the line between their neighbours."""
    points = np.rint(ring).astype(np.int64)
    points = points[(points != np.roll(points, 1, axis=0)).any(axis=1)]
    if len(points) < 3:
        return points[:0]
    before, after = points - np.roll(points, 1, axis=0), np.roll(points, -1, axis=0) - points
    return points[before[:, 0] * after[:, 1] != before[:, 1] * after[:, 0]]


def _extent(ring: Array) -> float:
    x, y = ring[:, 0].astype(float), ring[:, 1].astype(float)
    return float(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2
