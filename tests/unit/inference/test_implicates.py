"""Implicates: which there must be, what one alone can say, and the rule they are pooled by."""

from __future__ import annotations

import warnings

import numpy as np
import pyarrow as pa
import pytest

from fusion_pipeline.errors import AnalysisError
from fusion_pipeline.inference.analyze import analyze
from fusion_pipeline.storage.tables import write_table
from tests.unit.inference.conftest import records, with_column


def test_a_missing_implicate_is_an_error(world):
    fused, static = world
    two = fused.filter(pa.compute.not_equal(fused["implicate"], 2))
    with pytest.raises(AnalysisError, match="lack number 2 of 1 to 3"):
        analyze(two, static, estimates=["mean(income)"])


def test_a_record_without_the_number_of_its_implicate_is_refused(world):
    fused, static = world
    numbers = [None, *fused["implicate"].to_pylist()[1:]]
    with pytest.raises(AnalysisError, match="records without a number"):
        analyze(with_column(fused, "implicate", numbers), static, estimates=["mean(age)"])


def test_a_group_in_one_implicate_only_has_no_margin_and_a_note(world):
    fused, static = world
    tenure = np.array(["own"] * len(fused), dtype=object)
    tenure[:5] = "rent"
    fused = with_column(fused, "tenure", tenure)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = analyze(fused, static, estimates=["mean(income)"], by=["tenure"])
    assert found.table["M"].tolist() == [3, 1]
    assert np.isnan(found.table["margin"][1])
    assert "one implicate only" in found.notes[0]


def test_one_implicate_gives_estimates_without_margin_and_a_warning(world):
    fused, static = world
    with pytest.warns(UserWarning, match="One implicate"):
        found = analyze(fused.slice(0, 60), static, estimates=["mean(income)"])
    assert np.isnan(found.table["margin"][0])


def test_implicates_in_nests_are_pooled_by_the_nested_rule(world):
    from fusion_pipeline.inference.pooling import nested

    fused, static = world
    twice = pa.concat_tables([fused, fused]).append_column("nest", pa.array([1] * 180 + [2] * 180))
    found = analyze(twice, static, estimates=["mean(income)"])
    assert found.rule == "nested"
    q = [np.average(f["income"], weights=f["weight"]) for f in records(world)]
    within = nested(np.stack([q, q]), np.zeros((2, 3))).estimate
    assert found.table["estimate"][0] == pytest.approx(float(within))
    with pytest.raises(AnalysisError, match="nest"):
        analyze(twice.slice(0, 300), static, estimates=["mean(income)"])


def test_the_rule_recorded_with_the_implicates_is_the_default(world, tmp_path):
    fused, static = world
    for m in (1, 2, 3):
        part = fused.filter(pa.compute.equal(fused["implicate"], m)).drop_columns(["implicate"])
        write_table(
            tmp_path / f"implicate={m:02d}" / "part-0.parquet", part, {"pooling": "finite-population"}
        )
    found = analyze(tmp_path, static, estimates=["mean(income)"])
    assert found.rule == "finite-population"
    assert found.table["df"][0] == 2


def test_surveys_made_for_different_rules_are_pooled_by_the_one_that_is_named(tmp_path):
    rng = np.random.default_rng(2)
    surveys = {}
    for name, rule in (("one", "synthetic"), ("two", "rubin")):
        for m in (1, 2, 3):
            table = pa.table({"hid": np.arange(20), name: rng.normal(size=20)})
            write_table(
                tmp_path / name / f"implicate={m}" / "part-0.parquet", table, provenance={"pooling": rule}
            )
        surveys[name] = tmp_path / name
    request = {"estimates": ["mean(one)", "mean(two)"], "weight": None}
    with pytest.raises(AnalysisError, match="one by synthetic, two by rubin"):
        analyze(surveys, **request)
    assert analyze(surveys, rule="rubin", **request).rule == "rubin"
    assert (
        analyze({"two": surveys["two"], "one": surveys["one"]}, rule="synthetic", **request).rule
        == "synthetic"
    )
    alike = {
        "two": surveys["two"],
        "again": pa.table({"hid": [*range(20)] * 3, "implicate": np.repeat([1, 2, 3], 20)}),
    }
    with pytest.raises(AnalysisError, match="two by rubin, again by barnard-rubin"):
        analyze(alike, estimates=["mean(two)"], weight=None)


def test_every_estimate_says_whether_it_rests_on_fused_variables(world):
    found = analyze(*world, estimates=["mean(age)", "mean(income)"]).table
    assert found["source"].tolist() == ["observed", "fused"]
    by_fused = analyze(*world, estimates=["mean(age)"], by=["tenure"], sources={"age": "imputed"}).table
    assert set(by_fused["source"]) == {"fused"}
    assert (
        analyze(*world, estimates=["mean(age)"], sources={"age": "imputed"}).table["source"][0] == "imputed"
    )
