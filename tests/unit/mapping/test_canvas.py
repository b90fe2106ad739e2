"""Areas keep their sizes and neighbours their borders on the sheet."""

from __future__ import annotations

import numpy as np
import pytest

from fusion_pipeline.mapping.boundaries import Area
from fusion_pipeline.mapping.canvas import WIDTH, _Conic, lay_out


def test_projection_agrees_with_snyders_worked_example():
    # Snyder 1987, appendix A: Albers, sphere of radius 1, 35° N 75° W.
    conic = _Conic((29.5, 45.5), (-96.0, 23.0))
    [[x, y]] = conic.project(np.array([[-75.0, 35.0]]))
    assert (x, -y) == (pytest.approx(0.2952720, abs=1e-7), pytest.approx(0.2416774, abs=1e-7))


def test_areas_fill_the_sheet_and_stay_on_it(pumas):
    sheet = lay_out(list(pumas.areas), degrees=True)
    points = np.concatenate([ring for rings in sheet.rings for ring in rings])
    assert (points >= 0).all()
    assert (points.max(axis=0) <= [WIDTH, sheet.height]).all()
    assert np.ptp(points[:, 0]) > 0.95 * WIDTH


def test_neighbours_share_the_points_of_their_border_after_rounding():
    rng = np.random.default_rng(2)
    border = np.stack([-95 + rng.normal(0, 0.01, 60), np.linspace(35, 36, 60)], axis=1)
    west = np.vstack([border, [[-97, 36], [-97, 35]]])
    east = np.vstack([border[::-1], [[-93, 35], [-93, 36]]])
    areas = [Area("40", str(k), "", (ring,)) for k, ring in enumerate((west, east))]
    first, second = ({tuple(point) for point in rings[0]} for rings in lay_out(areas, degrees=True).rings)
    assert len(first & second) > 20
    assert len(first ^ second) == 4


def test_an_area_below_the_grid_is_still_there():
    speck = np.array([[-80.0, 35.0], [-80.0, 35.0001], [-79.9999, 35.0]])
    large = np.array([[-120.0, 30.0], [-120.0, 45.0], [-70.0, 45.0], [-70.0, 30.0]])
    sheet = lay_out([Area("37", "1", "", (speck,)), Area("48", "2", "", (large,))], degrees=True)
    assert all(len(rings[0]) >= 3 for rings in sheet.rings)


def test_the_aleutians_west_of_the_date_line_lie_beside_the_others():
    def ring(longitude: float) -> np.ndarray:
        return np.array([[longitude, 52.0], [longitude, 53.0], [longitude + 1, 53.0]])

    areas = [Area("02", "", "", (ring(178.0), ring(-179.0), ring(-160.0), ring(-152.0)))]
    [rings] = lay_out(areas, degrees=True).rings
    assert [ring[:, 0].min() for ring in rings] == sorted(ring[:, 0].min() for ring in rings)
