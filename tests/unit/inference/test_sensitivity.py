"""Relations between variables of several donors: what independence makes of them, and how far they can be from it."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from fusion_pipeline.errors import AnalysisError
from fusion_pipeline.inference.analyze import analyze
from fusion_pipeline.inference.bounds import correlation, frechet
from fusion_pipeline.inference.sensitivity import sensitivity


def _donors(
    n: int = 3000, implicates: int = 16, rho: float = 0.2795
) -> tuple[dict[str, pa.Table], pa.Table, float]:
    """Reiter's population: X observed, Y and Z fused by two donors, each drawn given X only."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=n)
    hid = np.arange(n)
    surveys = {}
    for name, variable, slope in (("one", "y", 0.3), ("two", "z", 0.8)):
        parts = [
            pa.table(
                {
                    "implicate": [m] * n,
                    "hid": hid,
                    variable: slope * x + np.sqrt(1 - slope**2) * rng.normal(size=n),
                }
            )
            for m in range(1, implicates + 1)
        ]
        surveys[name] = pa.concat_tables(parts)
    static = pa.table({"hid": hid, "weight": np.ones(n), "x": x})
    return surveys, static, 0.3 * 0.8 + rho * np.sqrt((1 - 0.09) * (1 - 0.64))


def test_relations_across_donors_are_estimated_with_a_warning_that_they_rest_on_independence():
    surveys, static, _ = _donors(500, 3)
    with pytest.warns(UserWarning, match=r"y \(one\) and z \(two\).*independence"):
        found = analyze(surveys, static, estimates=["correlation(y, z)", "mean(y)"])
    assert found.table["estimate"][0] == pytest.approx(0.24, abs=0.08)
    assert len(found.notes) == 1


def test_donors_with_unequal_numbers_of_implicates_use_those_in_common_and_say_so():
    surveys, static, _ = _donors(100, 4)
    surveys["two"] = surveys["two"].filter(pa.compute.less(surveys["two"]["implicate"], 4))
    with pytest.warns(UserWarning, match="3 in common"):
        assert analyze(surveys, static, estimates=["mean(y)"]).implicates == 3


def test_sensitivity_spans_the_truth_and_moves_nothing_that_one_donor_tells_alone():
    surveys, static, truth = _donors()
    texts = ["correlation(y, z)", "mean(z)", "correlation(x, z)"]
    found = sensitivity(
        surveys, static, first="y", second="z", rhos=[-1, 0, 0.2795, 1], estimates=texts
    ).table
    joint = found[found["estimand"] == texts[0]].set_index("rho")["estimate"]
    assert joint[0.0] == pytest.approx(0.24, abs=0.02)
    assert joint[0.2795] == pytest.approx(truth, abs=0.03)
    low, high = correlation([0.3], [0.8], [[1.0]])
    # Pairs of 16 ordered draws correlate by .859, the mean square of the expected normal order statistics.
    assert joint[-1.0] == pytest.approx(0.24 + 0.859 * (low - 0.24), abs=0.03)
    assert joint[1.0] == pytest.approx(0.24 + 0.859 * (high - 0.24), abs=0.03)
    for text in texts[1:]:
        alone = found[found["estimand"] == text]["estimate"]
        # Pooled over all implicates, every draw still counts once.
        np.testing.assert_allclose(alone, alone.iloc[0], atol=2e-3)
    assert (found["margin"] > 0).all()


def test_sensitivity_asks_for_two_surveys_and_variables_of_each():
    surveys, static, _ = _donors(50, 5)
    with pytest.raises(AnalysisError, match="not of one"):
        sensitivity(surveys, static, first="z", second="y", estimates=["mean(y)"])
    with pytest.raises(AnalysisError, match="is no correlation"):
        sensitivity(surveys, static, first="y", second="z", rhos=[2], estimates=["mean(y)"])


def test_frechet_bounds_hold_every_joint_distribution_and_narrow_with_classes():
    rng = np.random.default_rng(1)
    joint = rng.dirichlet(np.ones(6), 4).reshape(4, 2, 3)
    classes = rng.dirichlet(np.ones(4))
    low, high = frechet(joint.sum(axis=2), joint.sum(axis=1), classes)
    whole = np.tensordot(classes, joint, 1)
    wide = frechet(whole.sum(axis=1), whole.sum(axis=0))
    assert (low <= whole + 1e-12).all() and (whole <= high + 1e-12).all()
    assert (wide[0] <= low + 1e-12).all() and (high <= wide[1] + 1e-12).all()


def test_correlation_bounds_are_those_at_partial_correlations_of_one():
    low, high = correlation([0.3], [0.8], [[1.0]])
    assert (low, high) == (
        pytest.approx(0.24 - np.sqrt(0.91 * 0.36)),
        pytest.approx(0.24 + np.sqrt(0.91 * 0.36)),
    )
    with pytest.raises(ValueError, match="semidefinite"):
        correlation([1.2], [0.1], [[1.0]])
