import lightgbm as lgb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusion_pipeline.fusion.calibration import fit_calibration, observed_levels, write_into


def make_classes(n: int, classes: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return true probabilities, labels drawn from them, and weights that have nothing to do with either."""
    random = np.random.default_rng(seed)
    score = random.normal(size=(n, classes))
    odds = np.exp(score)
    p = odds / odds.sum(axis=1, keepdims=True)
    label = (random.random((n, 1)) > np.cumsum(p, axis=1)).sum(axis=1).clip(max=classes - 1)
    return p, label, random.uniform(0.3, 3, n)


def log_loss(p: np.ndarray, label: np.ndarray) -> float:
    return float(-np.log(p[np.arange(len(p)), label]).mean())


@settings(max_examples=20)
@given(st.integers(0, 10**6), st.integers(2, 5), st.booleans())
def test_mean_probabilities_become_the_weighted_shares_of_classes(seed, classes, skewed):
    p, label, weight = make_classes(500, classes, seed)
    if skewed:
        label = np.where(label == 0, 1, label)
        label[:3] = 0
    found = fit_calibration(p, label, weight).apply(p)
    shares = np.bincount(label, weight, classes) / weight.sum()
    assert found.sum(axis=1) == pytest.approx(1)
    assert np.average(found, axis=0, weights=weight) == pytest.approx(shares, abs=1e-4)


def test_two_classes_are_calibrated_by_the_probability_of_the_second():
    p, label, weight = make_classes(2000, 2, 1)
    bold = 1 / (1 + ((1 - p[:, 1]) / p[:, 1]) ** 3)
    correction = fit_calibration(bold, label, weight)
    assert correction.slope == pytest.approx(0.5, abs=0.01), "the bound: a third would undo the third power"
    assert np.average(correction.apply(bold), weights=weight) == pytest.approx(
        np.average(label == 1, weights=weight), abs=1e-4
    )


def test_bold_predictions_are_tempered_and_timid_ones_sharpened():
    p, label, weight = make_classes(4000, 3, 2)
    for power, slope in ((1.6, 1 / 1.6), (0.7, 1 / 0.7)):
        wrong = p**power / (p**power).sum(axis=1, keepdims=True)
        correction = fit_calibration(wrong, label, weight)
        assert correction.slope == pytest.approx(slope, rel=0.1)
        assert log_loss(correction.apply(wrong), label) == pytest.approx(log_loss(p, label), abs=0.003)


@pytest.mark.parametrize("classes", [2, 3])
def test_a_corrected_model_file_predicts_what_the_correction_gives(classes):
    _, label, weight = make_classes(800, classes, 3)
    features = np.random.default_rng(4).normal(size=(800, 3)) + label[:, None]
    objective = {"objective": "binary"} if classes == 2 else {"objective": "multiclass", "num_class": classes}
    booster = lgb.train(
        objective | {"verbosity": -1, "num_leaves": 7, "num_threads": 1}, lgb.Dataset(features, label), 12
    )
    before = booster.predict(features)
    correction = fit_calibration(before, label, weight)
    write_into(booster, correction)
    read = lgb.Booster(model_str=booster.model_to_string()).predict(features)
    np.testing.assert_allclose(read, correction.apply(before), atol=1e-12)
    assert abs(read - before).max() > 0.001


def test_levels_are_the_shares_of_values_that_predicted_quantiles_really_cut_off():
    random = np.random.default_rng(5)
    values, weight = random.normal(size=20_000), random.uniform(0.5, 2, 20_000)
    too_narrow = np.tile([-0.84, 0.0, 0.84], (20_000, 1))
    found = observed_levels(too_narrow, values, weight, (1 / 6, 1 / 2, 5 / 6))
    assert found == pytest.approx((0.2, 0.5, 0.8), abs=0.01)


def test_levels_that_make_no_sense_are_left_as_they_were_meant():
    values, weight, meant = np.arange(50.0), np.ones(50), (0.25, 0.75)
    assert observed_levels(np.full((50, 2), 20.0), values, weight, meant) == meant
    assert observed_levels(np.tile([-1.0, 30.0], (50, 1)), values, weight, meant) == meant
