"""Missing quarters are drawn so that means, zeros and what goes together are kept."""

from __future__ import annotations

import numpy as np
import pytest

from fusion_pipeline.errors import IngestError
from fusion_pipeline.surveys.annualizing import fill_quarters

N, QUARTERS = 4000, 4


@pytest.fixture(scope="module")
def panel() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Spending of all quarters, what was observed of it, income, weight; the poor miss more interviews."""
    rng = np.random.default_rng(7)
    income = np.exp(rng.normal(10.8, 0.7, N))
    level = np.exp(0.5 * (np.log(income) - 10.8) + rng.normal(0, 0.4, N))
    food = 1300 * level[:, None] * np.exp(rng.normal(-0.02, 0.2, (N, QUARTERS)))
    drives = rng.random(N) < 0.8
    fuel = np.where(drives[:, None], 450 * np.exp(rng.normal(-0.03, 0.25, (N, QUARTERS))), 0)
    travel = 900 * level[:, None] ** 1.5 * (rng.random((N, QUARTERS)) < 0.15)
    whole = np.stack([food, fuel, travel], axis=2)
    here = 4 - rng.binomial(2, np.where(income < 49_000, 0.45, 0.15))
    seen = np.where(np.arange(QUARTERS)[None, :, None] < here[:, None, None], whole, np.nan)
    return whole, seen, income[:, None], rng.uniform(0.5, 2, N)


def filled(panel, seed: int = 1):
    _, seen, income, weight = panel
    return fill_quarters(seen, income, weight, seed=seed, stream_name="test")


def test_annual_means_of_the_incomplete_are_the_true_ones(panel) -> None:
    whole, seen, _, weight = panel
    amounts, _ = filled(panel)
    missing = np.isnan(seen).any(axis=(1, 2))
    for category, slack in ((0, 0.02), (1, 0.03), (2, 0.15)):
        true = np.average(whole[missing, :, category].sum(axis=1), weights=weight[missing])
        drawn = np.average(amounts[missing, :, category].sum(axis=1), weights=weight[missing])
        # Complete households are richer: their mean would be far off.
        complete = np.average(whole[~missing, :, category].sum(axis=1), weights=weight[~missing])
        assert drawn == pytest.approx(true, rel=slack)
        if category != 1:
            assert abs(drawn - true) < abs(complete - true) / 2


def test_years_of_the_incomplete_spread_as_the_true_ones_do(panel) -> None:
    whole, seen, _, _ = panel
    amounts, _ = filled(panel)
    missing = np.isnan(seen).any(axis=(1, 2))
    for category in range(3):
        true, drawn = (a[missing, :, category].sum(axis=1) for a in (whole, amounts))
        assert np.std(drawn) == pytest.approx(np.std(true), rel=0.1)
    assert np.corrcoef(whole[missing, :, 0].sum(axis=1), amounts[missing, :, 0].sum(axis=1))[0, 1] > 0.95


def test_who_has_no_car_buys_no_fuel(panel) -> None:
    _, seen, _, _ = panel
    amounts, _ = filled(panel)
    carless = np.nanmax(seen[:, :, 1], axis=1) == 0
    assert (amounts[carless, :, 1] > 0).any(axis=1).mean() < 0.01


def test_what_was_told_stays_and_households_are_counted(panel) -> None:
    _, seen, _, _ = panel
    amounts, completed = filled(panel)
    there = ~np.isnan(seen)
    assert (amounts[there] == seen[there]).all()
    assert np.isfinite(amounts).all()
    count = there.all(axis=2).sum(axis=1)
    assert completed == {2: int((count == 2).sum()), 3: int((count == 3).sum())}


def test_same_seed_same_quarters(panel) -> None:
    assert (filled(panel)[0] == filled(panel)[0]).all()
    assert (filled(panel)[0] != filled(panel, seed=2)[0]).any()


def test_nobody_with_all_quarters_is_an_error_with_a_remedy(panel) -> None:
    _, seen, income, weight = panel
    few = np.isnan(seen).any(axis=(1, 2))
    with pytest.raises(IngestError, match="no household has all of them"):
        fill_quarters(seen[few], income[few], weight[few], seed=1, stream_name="test")
