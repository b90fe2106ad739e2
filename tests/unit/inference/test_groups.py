"""Groups: their totals, and those that are small or empty."""

from __future__ import annotations

import numpy as np
import pytest

from fusion_pipeline.errors import AnalysisError
from fusion_pipeline.inference.analyze import analyze
from tests.unit.inference.conftest import REPLICATES, with_column


def test_cube_has_every_crossing_and_totals_are_those_of_the_analysis_without_groups(world):
    found = analyze(
        *world, estimates=["sum(income)", "mean(income)"], by=["state", "tenure"], totals="cube"
    ).table
    assert len(found) == 2 * (4 + 2 + 2 + 1)
    whole = analyze(*world, estimates=["sum(income)", "mean(income)"]).table
    last = found[(found["state"] == "(all)") & (found["tenure"] == "(all)")]
    for name in ("estimate", "margin"):
        np.testing.assert_allclose(last[name], whole[name])
    sums = found[found["estimand"] == "sum(income)"]
    parts = sums[(sums["state"] != "(all)") & (sums["tenure"] != "(all)")]
    assert parts["estimate"].sum() == pytest.approx(whole["estimate"][0])
    rollup = analyze(*world, estimates=["mean(income)"], by=["state", "tenure"], totals="rollup").table
    assert len(rollup) == 4 + 2 + 1


def test_records_without_weight_count_for_nothing_and_groups_of_such_are_absent(world):
    fused, static = world
    weight = np.where(np.array(static["state"].to_pylist()) == "01", 0.0, static["weight"].to_numpy())
    found = analyze(
        fused, with_column(static, "weight", weight), estimates=["mean(income)"], by=["state"]
    ).table
    assert found["state"].tolist() == ["02"]
    assert found["n"][0] == (weight > 0).sum()
    with pytest.raises(AnalysisError, match="no group has a record with weight"):
        analyze(fused, with_column(static, "weight", 0 * weight), estimates=["mean(income)"])


def test_a_group_of_one_household_has_an_estimate_and_no_margin(world):
    found = analyze(
        *world, estimates=["mean(income)", "median(income)", "gini(income)"], where="hid = 7"
    ).table
    assert found["estimate"].notna().all()
    assert found["margin"].isna().all()
    assert (found["n"] == 1).all()


@pytest.mark.parametrize("replicates", [[], REPLICATES])
def test_a_household_alone_in_its_group_leaves_the_other_group_as_it_is(world, replicates):
    fused, static = world
    options = {"estimates": ["mean(income)", "proportion(tenure)"], "replicate_weights": replicates}
    both = analyze(fused, static, by=["hid = 7"], **options).table
    rest = analyze(fused, static, where="hid <> 7", **options).table
    alone = both[both["hid = 7"].astype(str).str.lower() == "true"]
    assert len(alone) == 3
    assert alone["estimate"].notna().all()
    assert alone["margin"].isna().all()
    others = both.drop(alone.index)
    np.testing.assert_allclose(others["margin"].to_numpy(float), rest["margin"].to_numpy(float))


def test_a_share_of_one_household_has_a_margin_where_the_rule_asks_for_no_degrees_of_freedom(world):
    found = analyze(*world, estimates=["proportion(tenure)"], where="hid = 7", rule="rubin").table
    assert (found["margin"] > 0).all()
