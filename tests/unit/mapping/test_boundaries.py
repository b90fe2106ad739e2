"""Boundary files are read as the Bureau writes them, or refused by name."""

from __future__ import annotations

import json
import struct
import zipfile

import numpy as np
import pytest

from fusion_pipeline.errors import GeographyError
from fusion_pipeline.geography.concordance import states
from fusion_pipeline.mapping.boundaries import read_boundaries
from fusion_pipeline.mapping.tiles import BAND, tiles

SQUARE = [[0.0, 0.0], [0.0, 4.0], [4.0, 4.0], [4.0, 0.0], [0.0, 0.0]]
HOLE = [[1.0, 1.0], [2.0, 1.0], [2.0, 2.0], [1.0, 2.0], [1.0, 1.0]]


def extent(ring: np.ndarray) -> float:
    following = np.roll(ring, -1, axis=0)
    return abs(float((ring[:, 0] * following[:, 1] - following[:, 0] * ring[:, 1]).sum())) / 2


def shapefile(path, rows, columns, rings=(SQUARE,), kind=5, cut=None):
    """Pack a shapefile by hand, byte by byte from the format's description; every row has the same shape."""
    points = np.concatenate([np.array(ring) for ring in rings])
    starts = np.cumsum([0, *[len(ring) for ring in rings[:-1]]])
    record = struct.pack("<i4d", kind, *points.min(axis=0), *points.max(axis=0))
    record += struct.pack("<ii", len(rings), len(points)) + starts.astype("<i4").tobytes()
    record += points.astype("<f8").tobytes()
    if kind == 0:
        record = struct.pack("<i", 0)
    body = b"".join(struct.pack(">ii", i + 1, len(record) // 2) + record for i in range(len(rows)))
    shp = struct.pack(">7i", 9994, 0, 0, 0, 0, 0, 50 + len(body) // 2) + bytes(72) + body
    fields = b"".join(
        name.encode().ljust(11, b"\0") + b"C" + bytes(4) + b"\x0a" + bytes(15) for name in columns
    )
    head = 33 + len(fields)
    dbf = (
        struct.pack("<4BIHH", 3, 1, 1, 1, len(rows), head, 1 + 10 * len(columns)) + bytes(20) + fields + b"\r"
    )
    dbf += b"".join(b" " + b"".join(text.encode().ljust(10) for text in row) for row in rows)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("cb.shp", shp[:cut])
        archive.writestr("cb.dbf", dbf)
    return path


def test_pumas_are_read_with_their_definition_codes_names_and_rings(tmp_path):
    path = shapefile(
        tmp_path / "cb_2019_us_puma10_500k.zip",
        [("10", "00102", "Kent"), ("10", "00101", "Sussex")],
        ("STATEFP10", "PUMACE10", "NAME10"),
        rings=(SQUARE, HOLE),
    )
    found = read_boundaries(path)
    assert found.column == "puma10"
    assert [(area.key, area.name) for area in found.areas] == [
        (("10", "00101"), "Sussex"),
        (("10", "00102"), "Kent"),
    ]
    assert [ring.tolist() for ring in found.areas[0].rings] == [SQUARE, HOLE]
    assert found.source == "Census Bureau, cb_2019_us_puma10_500k"


def test_geojson_of_the_same_areas_gives_the_same(tmp_path):
    path = tmp_path / "pumas.geojson"
    feature = {
        "type": "Feature",
        "properties": {"STATEFP20": "10", "PUMACE20": "00101", "NAMELSAD20": "Sussex PUMA"},
        "geometry": {"type": "MultiPolygon", "coordinates": [[SQUARE, HOLE]]},
    }
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    [area] = read_boundaries(path).areas
    assert (area.key, area.name) == (("10", "00101"), "Sussex PUMA")
    assert [ring.tolist() for ring in area.rings] == [SQUARE, HOLE]


def test_puerto_rico_has_no_area(tmp_path):
    path = shapefile(tmp_path / "cb.zip", [("72", "Puerto Rico"), ("10", "Delaware")], ("STATEFP", "NAME"))
    assert [area.name for area in read_boundaries(path).areas] == ["Delaware"]


@pytest.mark.parametrize(
    ("rows", "columns", "options", "message"),
    [
        ([("03", "x")], ("STATEFP", "NAME"), {}, "column STATEFP holds '03', which is no state"),
        ([("10", "x")] * 2, ("STATEFP", "NAME"), {}, "holds state 10 twice"),
        ([("10", "x")], ("FIPS", "NAME"), {}, "has no column STATEFP"),
        ([("10", "x")], ("STATEFP", "NAME"), {"kind": 0}, "holds state 10 without a shape"),
        ([("10", "x")], ("STATEFP", "NAME"), {"kind": 3}, "shape type 3, no polygon"),
        ([("10", "x")], ("STATEFP", "NAME"), {"cut": -8}, "record 1 is cut off"),
        ([("10", "x")], ("STATEFP", "NAME"), {"cut": 50}, "is no shapefile"),
    ],
)
def test_damaged_boundaries_are_refused_by_name(tmp_path, rows, columns, options, message):
    path = shapefile(tmp_path / "cb.zip", rows, columns, **options)
    with pytest.raises(GeographyError, match=f"cb.zip: .*{message}"):
        read_boundaries(path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut off", b"<html>moved</html>"])
def test_what_is_no_archive_is_refused_by_name(tmp_path, content):
    path = tmp_path / "cb.zip"
    path.write_bytes(content)
    with pytest.raises(GeographyError, match=r"cb\.zip: is no zipped shapefile"):
        read_boundaries(path)


def test_every_simulated_puma_has_a_shape_and_those_of_a_state_fill_it(pumas, places):
    assert [area.key for area in pumas.areas] == sorted(zip(places.fips, places.puma, strict=True))
    assert [area.state for area in pumas.outlines] == list(states())
    for outline in pumas.outlines:
        parts = sum(extent(area.rings[0]) for area in pumas.areas if area.state == outline.state)
        assert parts == pytest.approx(extent(outline.rings[0]), rel=1e-9)


def test_both_definitions_of_the_simulated_world_have_the_columns_of_their_census(files):
    assert read_boundaries(files["puma10/boundaries"]).column == "puma10"
    assert read_boundaries(files["puma20/boundaries"]).column == "puma20"
    assert read_boundaries(files["puma20/state_boundaries"]).column == "state"


def test_tiles_of_the_states_do_not_overlap_and_hold_the_cells_of_their_pumas():
    pumas = [("10", f"{k:05d}") for k in range(1, 8)] + [("72", "00100")]
    found = tiles("puma10", pumas)
    corners = {tuple(area.rings[0].min(axis=0)) for area in found.outlines}
    assert len(corners) == 51
    assert np.ptp([ring.max() - ring.min() for area in found.outlines for ring in area.rings]) < 12
    tile = next(area for area in found.outlines if area.state == "10").rings[0]
    assert [area.puma for area in found.areas] == [code for state, code in pumas if state == "10"]
    assert sum(extent(area.rings[0]) for area in found.areas) == pytest.approx((1 - BAND) * extent(tile))
    for area in found.areas:
        assert (area.rings[0] >= tile.min(axis=0) - 1e-9).all()
        assert (area.rings[0] <= tile.max(axis=0) + 1e-9).all()
