"""What may be handed over, and what is refused because the answer would be wrong without a sign of it."""

from __future__ import annotations

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from fusion_pipeline.errors import AnalysisError
from fusion_pipeline.inference.analyze import analyze
from fusion_pipeline.inference.estimands import Statistic
from fusion_pipeline.storage.tables import write_table
from tests.unit.inference.conftest import REPLICATES, records, with_column


def test_frames_relations_and_paths_as_text_give_what_tables_give(world, tmp_path):
    fused, static = world
    expected = analyze(fused, static, estimates=["mean(income)"], by=["state"]).table
    for m in (1, 2, 3):
        part = fused.filter(pa.compute.equal(fused["implicate"], m)).drop_columns(["implicate"])
        write_table(tmp_path / f"implicate={m:02d}" / "part-0.parquet", part)
    for given in (fused.to_pandas(), duckdb.from_arrow(fused), str(tmp_path)):
        found = analyze(given, static.to_pandas(), estimates="mean(income)", by="state").table
        pd.testing.assert_frame_equal(found, expected)


@pytest.mark.parametrize(
    ("given", "message"),
    [({1: 2}.items(), "are a dict_items"), ([], "holds no implicates"), ({}, "of no survey")],
)
def test_other_things_than_implicates_are_refused(world, given, message):
    with pytest.raises(AnalysisError, match=message):
        analyze(given, world[1], estimates=["mean(income)"])


def test_another_thing_than_a_recipient_is_refused(world):
    with pytest.raises(AnalysisError, match=r"is a str.*TableRef\(path\)"):
        analyze(world[0], "households.parquet", estimates=["mean(income)"])


def test_a_household_twice_in_every_implicate_is_refused(world):
    fused, static = world
    twice = pa.concat_tables([fused, *(fused.slice(60 * m + 7, 1) for m in range(3))])
    with pytest.raises(AnalysisError, match=r"implicate 1: has 1 records more than once.*'hid': 7"):
        analyze(twice, static, estimates=["mean(income)"])


def test_persons_of_a_household_are_no_repetition(world):
    fused, static = world
    persons = pa.concat_tables([fused, fused]).append_column("pid", pa.array([1] * 180 + [2] * 180))
    found = analyze(persons, static, estimates=["mean(income)"]).table
    assert found["n"].tolist() == [120]


def test_implicates_of_as_many_but_other_households_are_refused(world):
    fused, static = world
    hid = fused["hid"].to_numpy()
    kept = np.where(fused["implicate"].to_numpy() == 3, hid >= 10, hid < 50)
    with pytest.raises(AnalysisError, match=r"has 50 records .* of which some are others"):
        analyze(fused.filter(pa.array(kept)), static, estimates=["mean(income)"])


def test_sum_of_a_group_that_an_implicate_lacks_is_zero_there(world):
    fused, static = world
    tenure = np.array(["own"] * len(fused), dtype=object)
    tenure[:5] = "rent"
    world = with_column(fused, "tenure", tenure), static
    found = analyze(*world, estimates=["sum(income)", "count(tenure)", "share(income)"], by=["tenure"]).table
    found = found[found["level"] != "own"].set_index(["tenure", "estimand"])
    first = records(world)[0][:5]
    rent = found.loc["rent"]
    assert rent["M"].tolist() == [3, 3, 3]
    assert rent["estimate"]["sum(income)"] == pytest.approx((first["weight"] * first["income"]).sum() / 3)
    assert rent["estimate"]["count(tenure)"] == pytest.approx(first["weight"].sum() / 3)
    assert found["estimate"].xs("share(income)", level="estimand").sum() == pytest.approx(1)


def test_infinite_values_are_refused_where_they_are_added_up_and_ordered_elsewhere(world):
    burden = {"burden": "rooms / (age - age)"}
    with pytest.raises(AnalysisError, match=r"burden.*infinite in 60 records.*nullif"):
        analyze(*world, estimates=["mean(burden)"], derive=burden)
    found = analyze(*world, estimates=["mean(b)"], derive={"b": "rooms / nullif(age - 40, 0)"})
    assert np.isfinite(found.table["estimate"][0])
    some = {"b": "CASE WHEN rooms > 6 THEN 1 / (age - age) ELSE rooms END"}
    assert np.isfinite(analyze(*world, estimates=["median(b)"], derive=some).table["estimate"][0])


def test_logistic_regression_of_what_is_no_share_is_refused(world):
    with pytest.raises(AnalysisError, match=r"income.*has values from .* Give a condition"):
        analyze(*world, estimates=["logistic(income ~ age)"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"by": ["state", "state"]}, "by state: is named twice"),
        ({"by": ["level"], "derive": {"level": "age"}}, "by level: is the name of a column of the results"),
        ({"replicate_weights": REPLICATES, "replicate_method": "fay", "fay": 1.0}, "0 <= k < 1"),
        ({"replicate_weights": REPLICATES, "replicate_scale": -1.0}, "is not positive"),
    ],
)
def test_an_option_that_would_spoil_the_results_is_refused(world, options, message):
    with pytest.raises(AnalysisError, match=message):
        analyze(*world, estimates=["mean(age)"], **options)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda frame, weights: frame["nothing"], "KeyError: 'nothing'"),
        (lambda frame, weights: np.ones(2), "TypeError"),
        (lambda frame, weights: {f"{weights[0]:.3f}": 1.0}, "Return the same labels"),
    ],
)
def test_a_statistic_that_fails_or_changes_its_labels_is_named(world, function, message):
    with pytest.raises(AnalysisError, match=f"statistic mine: .*{message}"):
        analyze(*world, estimates=[Statistic("mine", "age", function)], by=["state"])


def test_an_estimand_that_is_no_text_is_refused(world):
    with pytest.raises(AnalysisError, match=r"is a function.*Statistic"):
        analyze(*world, estimates=[lambda frame: 1.0])
