"""How groups lie in areas, and what two implicates tell of a variable."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusion_pipeline.inference.area_groups import concentration, explained


def test_concentration_is_high_for_one_area_and_zero_for_groups_spread_like_everyone() -> None:
    areas = np.repeat(np.arange(4), 5)
    h, partial = concentration(areas, areas, np.ones(20), 4)
    assert h == pytest.approx(np.full(4, 0.75**2 + 3 * 0.25**2)) and partial == pytest.approx(np.zeros(4))
    h, partial = concentration(np.tile([0, 1, 1, 1, -1], 4), areas, np.ones(20), 2)
    assert h == pytest.approx([0, 0])
    assert partial == pytest.approx([0.25 * 0.8, 0.25 * 0.4])


def test_records_may_be_a_part_of_everyone() -> None:
    h, _ = concentration(np.zeros(4, int), np.array([0, 0, 1, 1]), np.ones(4), 1, np.array([0.2, 0.3, 0.5]))
    assert h == pytest.approx([0.3**2 + 0.2**2 + 0.5**2])


@settings(max_examples=50)
@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(1, 6))
def test_concentration_lies_between_nothing_and_two(seed: int, groups: int, areas: int) -> None:
    random = np.random.default_rng(seed)
    h, partial = concentration(
        random.integers(-1, groups, 50), random.integers(0, areas, 50), random.uniform(0.1, 2, 50), groups
    )
    assert (h >= 0).all() and (h <= 2).all() and (partial >= 0).all() and (partial <= 1).all()


def _implicates(spread: float, residual: float, wrong: float = 0.0) -> tuple[np.ndarray, ...]:
    """Two implicates of variance 1, with `spread` between areas; models are off in areas by as much as draws differ."""
    random = np.random.default_rng(4)
    areas = np.repeat(np.arange(400), 200)
    between = np.sqrt(spread) * random.normal(size=400)
    signal = between[areas] + np.sqrt(1 - spread - residual) * random.normal(size=len(areas))
    off = np.sqrt(wrong) * random.normal(size=(3, 400))
    drawn = [
        signal + (off[0] + off[k])[areas] + np.sqrt(residual) * random.normal(size=len(areas)) for k in (1, 2)
    ]
    return *drawn, np.ones(len(areas)), areas


def test_residual_share_and_spread_are_those_of_the_model() -> None:
    found = explained(*_implicates(0.02, 0.6))
    assert found.residual_share == pytest.approx(0.6, abs=0.01)
    assert found.spread == pytest.approx(0.02, abs=0.004)


def test_what_models_have_wrong_in_all_implicates_is_no_spread() -> None:
    assert explained(*_implicates(0.0, 0.6, wrong=0.02)).spread < 0.004


def test_observed_variable_leaves_nothing_and_few_areas_cannot_tell() -> None:
    first, second, weight, areas = _implicates(0.02, 0.6)
    assert explained(first, first, weight, areas).residual_share == 0
    assert np.isnan(explained(first, second, weight, areas % 5).spread)
