"""The gaps of one table: filled by similar rows, chained, in several copies."""

import logging

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest

import fusion_pipeline as fp
from fusion_pipeline.errors import TrainingError
from fusion_pipeline.fusion import chain, imputation, loading, training
from fusion_pipeline.storage.tables import levels_of


@pytest.fixture(scope="module")
def truth() -> pd.DataFrame:
    random = np.random.default_rng(3)
    n = 450
    group = random.integers(0, 3, n)
    first = group + random.normal(scale=0.5, size=n)
    return pd.DataFrame(
        {
            "name": [f"row {i}" for i in range(n)],
            "group": pd.Categorical.from_codes(group, ["low", "mid", "high"], ordered=True),
            "first": first,
            "second": 10 * first + random.normal(size=n),
            "owns": random.random(n) < 0.2 + 0.3 * group,
            "rooms": (4 + group + random.integers(0, 2, n)).astype("int16"),
            "weight": random.uniform(1, 3, n),
            "empty": np.full(n, np.nan),
        }
    )


QUICK = {"leaves": (6,), "patience": 5, "folds": 3, "centres": 80, "learning_rate": 0.2}
USED = ["group", "first", "second", "owns", "rooms", "empty"]


@pytest.fixture(scope="module")
def gappy(truth) -> pa.Table:
    random = np.random.default_rng(5)
    frame = truth.copy()
    frame["first"] = frame["first"].where(random.random(len(frame)) > 0.1)
    frame["second"] = frame["second"].where(random.random(len(frame)) > 0.3)
    frame["owns"] = frame["owns"].astype("boolean").where(random.random(len(frame)) > 0.2)
    frame["rooms"] = frame["rooms"].astype("Int16").where(random.random(len(frame)) > 0.15)
    return pa.Table.from_pandas(frame, preserve_index=False)


def known(table: pa.Table, name: str) -> np.ndarray:
    return ~np.asarray(pc.is_null(table[name], nan_is_null=True))


def test_every_kind_is_filled_with_what_some_row_has_and_keeps_its_type(gappy):
    whole = fp.impute(gappy, columns=USED, weight="weight", **QUICK)
    assert whole.schema.names == gappy.schema.names
    for name in ("first", "second", "owns", "rooms"):
        assert whole[name].type == gappy[name].type
        assert known(whole, name).all(), name
        there = known(gappy, name)
        before = gappy[name].filter(pa.array(there))
        assert whole[name].filter(pa.array(there)).equals(before), "answers given stay"
        assert set(whole[name].unique().to_pylist()) <= set(before.to_pylist())
    assert not known(whole, "empty").any()
    assert levels_of(whole["group"]) == ["low", "mid", "high"]
    assert whole["name"].equals(gappy["name"])


def test_models_of_single_variables_are_details_of_the_imputation(gappy, caplog):
    with caplog.at_level(logging.DEBUG):
        fp.impute(gappy, columns=["group", "first"], **QUICK)
    levels = {
        name: {r.levelno for r in caplog.records if name in r.getMessage()}
        for name in ("training", "imputed")
    }
    assert levels == {"training": {logging.DEBUG}, "imputed": {logging.INFO}}


def test_copies_agree_where_known_differ_where_not_and_pool_with_analyze(gappy):
    small = gappy.slice(0, 300).select(["group", "second", "weight"])
    small = small.append_column("hid", pa.array(np.arange(300)))
    copies = fp.impute(small, columns=["group", "second"], weight="weight", copies=3, **QUICK)
    assert copies["implicate"].to_pylist() == [1] * 300 + [2] * 300 + [3] * 300
    assert copies["implicate"].type == pa.int16()
    values = copies["second"].to_numpy().reshape(3, 300)
    there = known(small, "second")
    assert (values[0] == values)[:, there].all()
    assert (values[0] != values[1])[~there].mean() > 0.7
    result = fp.analyze(copies, estimates=["mean(second)"])
    assert result.table["M"][0] == 3
    assert result.table["standard_error"][0] > 0


def test_a_second_cycle_lets_the_variable_filled_first_follow_the_other(gappy, truth):
    # `first` lacks fewer values, so in one cycle it is drawn without `second`, which tells it almost exactly.
    gap = ~known(gappy, "first")
    part = gappy.select(["first", "second", "rooms", "group"])

    def error(cycles: int) -> float:
        drawn = fp.impute(part, cycles=cycles, **QUICK)["first"].to_numpy()
        return float(np.abs(drawn - truth["first"].to_numpy())[gap].mean())

    assert error(2) < 0.75 * error(1)


def test_the_seed_decides_and_the_table_given_is_left_alone(gappy):
    part = gappy.slice(0, 250).select(["group", "first", "rooms"])
    frame = part.to_pandas()
    before = frame.copy()
    first = fp.impute(frame, **QUICK)
    pd.testing.assert_frame_equal(frame, before)
    assert first.equals(fp.impute(frame, threads=2, **QUICK))
    assert not first.equals(fp.impute(frame, seed=2, **QUICK))


def test_where_no_column_is_complete_the_others_are_used_gaps_and_all(gappy):
    part = gappy.slice(0, 300).select(["first", "second"])
    whole = fp.impute(part, **QUICK)
    assert known(whole, "first").all()
    assert known(whole, "second").all()


def test_one_answer_only_fills_the_gaps_by_itself():
    table = pa.table({"x": np.arange(60.0), "y": pa.array([7, None] * 30)})
    assert set(fp.impute(table)["y"].to_pylist()) == {7}


@pytest.mark.parametrize(
    ("change", "arguments", "message"),
    [
        ({}, {"columns": ["grop"]}, "column grop: is missing"),
        ({}, {"columns": ["first", "name"]}, "column name: is of type"),
        ({}, {"copies": 0}, "impute, copies: is 0"),
        ({}, {"columns": ["first"]}, "column first: has no other column to be filled from"),
    ],
)
def test_a_table_that_cannot_be_filled_is_refused_by_column(gappy, change, arguments, message):
    with pytest.raises(TrainingError, match=message):
        fp.impute(gappy.slice(0, 100), **arguments)


def test_a_sample_of_rows_and_the_predictors_that_matter_fill_as_well_as_all(truth):
    random = np.random.default_rng(7)
    noise = pd.DataFrame(random.normal(size=(len(truth), 30)), columns=[f"noise_{i}" for i in range(30)])
    gap = random.random(len(truth)) < 0.25
    table = pd.concat([truth[["first", "group"]], noise], axis=1)
    table["second"] = truth["second"].where(~gap)

    def agreement(**limits) -> float:
        drawn = fp.impute(table, **limits, **QUICK)["second"].to_numpy()
        return float(np.corrcoef(drawn[gap], truth["second"][gap])[0, 1])

    everything = agreement(most_predictors=None)
    assert everything > 0.8
    assert agreement(most_predictors=3) > everything - 0.02
    assert agreement(most_rows=200, most_predictors=3) > everything - 0.05


@pytest.mark.parametrize("copies", [2, 5])
def test_models_are_fitted_once_for_all_copies_and_each_copy_loads_its_own(gappy, monkeypatch, copies):
    trained, loaded = [], []

    def train(*given, **settings):
        trained.append(settings["bootstraps"])
        return training.train(*given, **settings)

    def load_steps(models, sets):
        loaded.append(list(sets))
        return loading.load_steps(models, sets)

    monkeypatch.setattr(imputation, "train", train)
    monkeypatch.setattr(chain, "load_steps", load_steps)
    part = gappy.slice(0, 150).select(["group", "owns", "first"])
    done = fp.impute(part, copies=copies, cycles=2, **QUICK)
    assert trained == [copies] * 4, "two gaps, two cycles, however many copies"
    assert loaded == [[copy] for _ in range(4) for copy in range(1, copies + 1)]
    assert known(done, "first").all()
    assert done.num_rows == copies * 150


def test_rows_learned_from_take_what_was_filled_from_the_copies_in_turn(gappy):
    part = gappy.slice(0, 6).select(["group", "first"])
    frames = [part.set_column(1, "first", pa.array(np.full(6, float(copy)))) for copy in (1, 2, 3)]
    filler = imputation._Filler(
        ["group", "first"], {}, {"first": np.ones(6, dtype=bool)}, ["first"], None, None, None, "impute", {}
    )
    learned = filler._learned(frames, ["first", "group"])
    assert learned["first"].to_pylist() == [1, 2, 3, 1, 2, 3]
    assert learned["group"].to_pylist() == part["group"].to_pylist()
