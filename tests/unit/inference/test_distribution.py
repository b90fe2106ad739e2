"""Quantiles and the Gini coefficient of a few records, worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from fusion_pipeline.inference.distribution import Gini, Quantile
from fusion_pipeline.inference.estimators import Sample
from fusion_pipeline.inference.weights import Weights


def test_quantiles_invert_the_weighted_distribution():
    x, w = np.array([5.0, 1, 3, 2, 9]), np.array([1.0, 2, 1, 1, 1])
    sample = Sample(np.zeros(5, int), 1, np.arange(5), Weights.plain(w), {"x": x}, {})
    found = {p: Quantile(("x",), p=p).within(sample).estimate[0, 0] for p in (0.2, 0.5, 0.6, 0.99)}
    # Weights in order of x: 1 (2), 2 (1), 3 (1), 5 (1), 9 (1): half of the weight is reached with 2, exactly.
    assert found == {0.2: 1, 0.5: 2.5, 0.6: 3, 0.99: 9}


def test_a_shared_equal_income_has_no_gini_and_one_owner_has_almost_one():
    def gini(x):
        w = Weights.plain(np.ones(len(x)))
        sample = Sample(np.zeros(len(x), int), 1, np.arange(len(x)), w, {"x": np.array(x, float)}, {})
        return Gini(("x",)).within(sample).estimate[0, 0]

    assert gini([4, 4, 4]) == pytest.approx(0)
    assert gini([0] * 99 + [1]) == pytest.approx(0.99)
