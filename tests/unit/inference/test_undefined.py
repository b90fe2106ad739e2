"""Estimates of what is missing or does not vary."""

from __future__ import annotations

import numpy as np
import pytest

from fusion_pipeline.errors import AnalysisError
from fusion_pipeline.inference.analyze import analyze
from tests.unit.inference.conftest import REPLICATES, records, with_column


def test_a_variable_that_is_the_same_everywhere_has_no_margin_to_speak_of(world):
    fused, static = world
    found = analyze(
        fused, static, estimates=["mean(one)", "median(one)", "correlation(one, income)", "mean(income)"],
        derive={"one": "income * 0 + 1"},
    )  # fmt: skip
    assert found.table["estimand"].tolist() == ["mean(one)", "median(one)", "mean(income)"]
    assert found.table["margin"].tolist()[:2] == [0, 0]
    assert found.notes == ("correlation(one, income) is not defined in any group.",)


@pytest.mark.parametrize("replicates", [[], REPLICATES])
def test_regression_on_what_does_not_vary_is_not_defined_and_says_so(world, replicates):
    options = {"derive": {"one": "age * 0 + 1"}, "replicate_weights": replicates}
    found = analyze(*world, estimates=["mean(age)", "linear(income ~ age + one)"], **options)
    assert found.table["estimand"].tolist() == ["mean(age)"]
    assert found.notes == ("linear(income ~ age + one) is not defined in any group.",)
    with pytest.raises(AnalysisError, match="the same everywhere"):
        analyze(*world, estimates=["linear(income ~ age + one)"], **options)


def test_a_variable_missing_in_an_implicate_is_pooled_over_the_others(world):
    fused, static = world
    income = np.where(np.array(fused["implicate"]) == 2, np.nan, np.array(fused["income"]))
    found = analyze(
        with_column(fused, "income", income), static, estimates=["mean(income)", "mean(rooms)"]
    ).table
    assert found["M"].tolist() == [2, 3]
    means = [np.average(f["income"], weights=f["weight"]) for f in records(world)]
    assert found["estimate"][0] == pytest.approx(np.mean([means[0], means[2]]))


def test_missing_values_leave_every_estimand_that_needs_them_and_no_other(world):
    fused, static = world
    income = np.array(fused["income"])
    income[::4] = np.nan
    fused = with_column(fused, "income", income)
    texts = [
        "mean(income)",
        "ratio(income, rooms)",
        "correlation(income, rooms)",
        "linear(rooms ~ income)",
        "gini(income)",
    ]
    found = analyze(fused, static, estimates=[*texts, "mean(rooms)"]).table.groupby("estimand")["n"].first()
    known = (
        analyze(fused, static, estimates=texts, where="income > -1").table.groupby("estimand")["n"].first()
    )
    assert (found[texts] == 45).all()
    assert (found[texts] == known[texts]).all()
    assert found["mean(rooms)"] == 60
