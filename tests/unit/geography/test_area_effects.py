"""What fusion variables tell of place: on simulated donors whose place is known, and of what columns are made."""

import numpy as np
import pyarrow as pa
import pytest

from fusion_pipeline.geography import area_effects
from fusion_pipeline.geography.area_effects import components, fit_area_effects
from fusion_pipeline.geography.evidence import signals
from fusion_pipeline.storage.tables import categorical

DONORS, PLACES, GROUPS, EFFECT = 4_000, 80, 16, 0.8


@pytest.fixture(scope="module")
def world():
    """A predictor and one of 16 groups tell a little of the place; place shifts an amount and a yes or no."""
    rng = np.random.default_rng(3)
    known = rng.normal(size=(PLACES, 1))
    x = rng.normal(size=DONORS)
    disclosed = rng.integers(0, GROUPS, DONORS)
    score = 0.7 * x[:, None] * known[:, 0]
    score[disclosed[:, None] != np.arange(PLACES) % GROUPS] = -np.inf
    probability = np.exp(score) / np.exp(score).sum(axis=1, keepdims=True)
    home = np.array([rng.choice(PLACES, p=p) for p in probability])
    amount = x + EFFECT * known[home, 0] + rng.normal(size=DONORS)
    owns = rng.random(DONORS) < np.clip(0.4 + 0.1 * x + 0.15 * known[home, 0], 0, 1)
    return known, x, probability, home, amount, owns


def fitted(world, *columns):
    known, x, probability, *_ = world
    table = pa.table({f"v{j}": pa.array(column) for j, column in enumerate(columns)})
    of_place = components(known, np.ones(PLACES))
    return fit_area_effects(signals(table), x[:, None], probability @ of_place, of_place, np.ones(DONORS))


def informed(world, effects):
    everyone, everywhere = np.arange(DONORS), np.arange(PLACES)
    updated = world[2] * np.exp(effects.log_likelihood(everyone, everywhere))
    return updated / updated.sum(axis=1, keepdims=True)


def slope(world, probability):
    """Of the amount on what is known of a place drawn for each donor, given the predictor."""
    known, x, _, _, amount, _ = world
    target = np.random.default_rng(5).random(DONORS)[:, None]
    drawn = np.minimum((probability.cumsum(axis=1) < target).sum(axis=1), PLACES - 1)
    return np.linalg.lstsq(np.column_stack([np.ones(DONORS), x, known[drawn, 0]]), amount, rcond=None)[0][2]


def test_places_drawn_from_predictors_alone_flatten_the_effect_and_informed_ones_less(world):
    assert slope(world, world[2]) < 0.6 * EFFECT
    assert slope(world, informed(world, fitted(world, world[4]))) > 0.7 * EFFECT


def test_places_drawn_with_the_whole_likelihood_give_the_effect(world, monkeypatch):
    monkeypatch.setattr(area_effects, "TRUST", 1.0)
    assert slope(world, informed(world, fitted(world, world[4]))) == pytest.approx(EFFECT, rel=0.15)


def test_true_places_become_more_probable(world):
    home = world[3]
    for columns in ([world[4]], [world[5]], [world[4], world[5]]):
        before, after = (
            np.log(p[np.arange(DONORS), home]).mean()
            for p in (world[2], informed(world, fitted(world, *columns)))
        )
        assert after > before


def test_a_signal_said_twice_counts_once(world):
    once, twice = (informed(world, fitted(world, *[world[4]] * copies)) for copies in (1, 2))
    np.testing.assert_allclose(once, twice, atol=1e-6)


def test_a_variable_that_place_does_not_shift_moves_nobody_far(world):
    noise = np.random.default_rng(9).normal(size=DONORS)
    moved = np.abs(informed(world, fitted(world, noise)) - world[2]).sum(axis=1) / 2
    assert moved.mean() < 0.1


def test_components_do_not_depend_on_units_and_missing_values_are_the_mean():
    values = np.random.default_rng(1).normal(size=(30, 3))
    weight = np.random.default_rng(2).uniform(1, 3, 30)
    np.testing.assert_allclose(
        np.abs(components(values, weight)), np.abs(components(values * [1, 100, 0.1] + 7, weight)), atol=1e-9
    )
    values[4, 1] = np.nan
    mean = np.average(np.delete(values[:, 1], 4), weights=np.delete(weight, 4))
    filled = values.copy()
    filled[4, 1] = mean
    known, given = components(values, weight), components(filled, weight)
    np.testing.assert_allclose(np.abs(known), np.abs(given), atol=1e-9)


def test_a_category_gives_a_share_a_level_but_the_commonest_and_zeros_one_of_their_own():
    kind = categorical(np.repeat([0, 1, 2], [50, 30, 20]), ["flat", "house", "boat"])
    amount = np.append(np.zeros(40), np.arange(1.0, 61))
    found = signals(pa.table({"kind": kind, "amount": amount}))
    assert [(s.name, s.is_share, int(s.there.sum())) for s in found] == [
        ("kind=house", True, 100), ("kind=boat", True, 100), ("amount=0", True, 100), ("amount", False, 60)
    ]  # fmt: skip
    assert found[0].mean == pytest.approx(0.3) and found[2].mean == pytest.approx(0.4)
    assert found[3].values[40:].mean() == pytest.approx(0, abs=1e-9)


def test_what_nobody_varies_in_is_no_signal():
    assert signals(pa.table({"same": [3.0] * 50})) == []
