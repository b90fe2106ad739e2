"""Dependence is that of the textbooks, whatever kinds of variables."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2_contingency, spearmanr

from fusion_pipeline.validation.dependence import (
    Columns,
    compare_dependence,
    correlations,
    predictor_columns,
    ranked,
    slope,
    strengths,
)


@pytest.fixture
def frame() -> pd.DataFrame:
    r = np.random.default_rng(3)
    first = r.integers(0, 3, 800)
    second = np.where(r.random(800) < 0.4, first, r.integers(0, 4, 800))
    number = first + r.normal(size=800)
    return pd.DataFrame(
        {
            "three": pd.Categorical.from_codes(first, ["a", "b", "c"]),
            "four": pd.Categorical.from_codes(second, ["p", "q", "r", "s"]),
            "number": number,
            "other": number + r.normal(size=800),
        }
    )


def strength(frame: pd.DataFrame, a: str, b: str) -> float:
    sides = [predictor_columns(frame, [name]) for name in (a, b)]
    return strengths(correlations(*(ranked(side.values) for side in sides)), *sides)[a, b]


def test_strength_of_two_categories_is_cramers_v(frame) -> None:
    table = pd.crosstab(frame["three"], frame["four"]).to_numpy()
    expected = np.sqrt(chi2_contingency(table).statistic / table.sum() / 2)
    assert strength(frame, "three", "four") == pytest.approx(expected)


def test_strength_of_two_numbers_is_spearmans_correlation(frame) -> None:
    assert strength(frame, "number", "other") == pytest.approx(
        spearmanr(frame["number"], frame["other"]).statistic
    )


def test_strength_of_a_number_and_a_category_is_the_correlation_ratio(frame) -> None:
    ranks = frame["number"].rank()
    means = ranks.groupby(frame["three"], observed=True).transform("mean")
    expected = np.sqrt(means.var() / ranks.var())
    assert strength(frame, "three", "number") == pytest.approx(expected)


def test_ordered_predictors_are_one_column_and_missing_numbers_the_median() -> None:
    frame = pd.DataFrame({"o": pd.Categorical(["lo", "hi"], ["lo", "hi"], ordered=True), "n": [1.0, np.nan]})
    columns = predictor_columns(frame, ["o", "n"])
    np.testing.assert_array_equal(columns.values, [[0, 1], [1, 1]])
    assert columns.own == ("o", "n") and columns.indicator == (False, False)


def test_slope_is_the_part_of_the_correlations_that_is_kept() -> None:
    real = np.array([-0.5, 0, 0.5, 0.8])
    assert slope(real, 0.7 * real) == pytest.approx(0.7)
    assert slope(np.append(real, np.nan), np.append(0.7 * real, 5)) == pytest.approx(0.7)
    assert np.isnan(slope(real[:1], real[:1]))


def test_variable_that_is_the_same_everywhere_is_in_no_slope() -> None:
    r = np.random.default_rng(1)
    x = r.normal(size=(500, 4)) + r.normal(size=(500, 1))
    beside = Columns(x[:, :1], ("p",), (False,))
    answers = Columns(np.column_stack([x[:, 1:], np.ones(500)]), ("a", "b", "c", "same"), (False,) * 4)
    table, together, predicted = compare_dependence(answers, [answers], beside)
    assert together == pytest.approx(1)
    assert predicted == pytest.approx(1)
    assert table.loc[table["first"] == "same", "observed"].tolist() == [0]
