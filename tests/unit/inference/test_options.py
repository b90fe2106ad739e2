"""Questions that make no sense are refused, and the message says what would."""

from __future__ import annotations

import pytest

from fusion_pipeline.errors import AnalysisError
from fusion_pipeline.inference.analyze import analyze
from tests.unit.inference.conftest import REPLICATES, with_column


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"replicate_weights": REPLICATES[:5], "replicate_count": 6}, "are 5, the design has 6"),
        ({"replicate_weights": ["rep_1"]}, "at least two"),
        ({"replicate_weights": ["rep_1", "rep_1"]}, "name a column twice"),
        ({"replicate_weights": ["rep_1", "state"]}, "not numeric"),
        ({"replicate_weights": REPLICATES, "replicate_method": "jkn"}, "a factor for each replicate"),
        ({"replicate_weights": REPLICATES, "replicate_scale": [0.5] * 5}, "5 factors for 6 replicates"),
        ({"replicate_weights": REPLICATES, "replicate_scale": [0.5] * 5 + [0]}, "is not positive"),
        (
            {"replicate_weights": REPLICATES, "replicate_method": "jkn", "replicate_scale": 1},
            "jackknife of strata",
        ),
        ({"where": "incom > 1"}, r"Did you mean income\?"),
        ({"weight": "wieght"}, r"Did you mean weight\?"),
        ({"by": ["region"]}, "one of: .*income.*tenure"),
        ({"rule": "nested"}, "implicates in nests"),
        ({"totals": "all"}, "none, rollup, cube"),
        ({"level": 90}, "between 0 and 1"),
        ({"where": "income"}, "is not a condition"),
        ({"derive": {"age": "1"}}, "is a column already"),
        ({"sources": {"age": "guessed"}}, "observed, imputed, fused"),
    ],
)
def test_a_wrong_option_is_an_error_that_says_what_is_right(world, options, message):
    with pytest.raises(AnalysisError, match=message):
        analyze(*world, estimates=["mean(age)"], **options)


@pytest.mark.parametrize(
    "text",
    ["quantile(age, 2)", "quantile(age)", "ratio(age)", "linear(age)", "linear(age ~ )", "mean(age, age)"],
)
def test_a_malformed_estimand_is_an_error(world, text):
    with pytest.raises(AnalysisError):
        analyze(*world, estimates=[text])


@pytest.mark.parametrize(("name", "value"), [("weight", None), ("weight", -1.0), ("rep_3", None)])
def test_weights_that_are_missing_or_negative_are_errors(world, name, value):
    fused, static = world
    broken = with_column(static, name, [value, *static[name].to_pylist()[1:]])
    with pytest.raises(AnalysisError, match=r"missing|negative"):
        analyze(fused, broken, estimates=["mean(age)"], replicate_weights=REPLICATES)
