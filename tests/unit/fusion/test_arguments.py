"""Arguments that make no sense are refused with what, where and remedy; numbers of any integer type are taken."""

import numpy as np
import pandas as pd
import pytest

import fusion_pipeline as fp
from fusion_pipeline.errors import FusingError, StorageError, TrainingError
from fusion_pipeline.examples import make_population

QUICK = {"leaves": (4,), "patience": 3, "folds": 3, "centres": 50, "bootstraps": 0}


@pytest.fixture(scope="module")
def donor() -> pd.DataFrame:
    return make_population(200, 1).assign(spread=lambda f: f["income"])


@pytest.fixture(scope="module")
def recipient() -> pd.DataFrame:
    return make_population(40, 2)[["hid", "year", "group", "income", "tenure"]]


@pytest.fixture(scope="module")
def trained(donor, tmp_path_factory):
    out = tmp_path_factory.mktemp("m") / "m"
    return fp.train(donor, y=["size"], x=["group", "income"], weight="weight", out=out, **QUICK)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"implicates": 0}, "fuse, implicates: is 0"),
        ({"implicates": -2}, "fuse, implicates: is -2"),
        ({"implicates": 2.5}, "fuse, implicates: is 2.5"),
        ({"implicates": "3"}, "fuse, implicates: is '3'"),
        ({"implicates": [1, 0]}, r"fuse, implicates: is \[1, 0\]"),
        ({"seed": -1}, "fuse, seed: is -1. Give a whole number of 0 or more"),
        ({"threads": 0}, "fuse, threads: is 0. Give a whole number of 1 or more"),
        ({"memory_limit": 0}, "fuse, memory_limit: is 0"),
        ({"memory_limit": "2GB"}, "fuse, memory_limit: is '2GB'"),
        ({"retain": "hid"}, r"fuse, retain: is the text 'hid'. Give a list of names, such as \['hid'\]"),
        ({"retain": ["hid", "hid"]}, "fuse, retain: names hid more than once"),
        ({"retain": [1]}, "fuse, retain: names 1, which is no text"),
    ],
)
def test_fuse_refuses(trained, recipient, arguments, message):
    with pytest.raises(FusingError, match=message):
        fp.fuse(recipient, trained, **({"implicates": 1} | arguments))


def test_numpy_and_whole_floating_numbers_count_as_numbers(trained, recipient, donor, tmp_path):
    plain = fp.fuse(recipient, trained, implicates=2, seed=4)
    settings = {"seed": np.int64(4), "threads": np.int8(1), "memory_limit": 2e9}
    assert fp.fuse(recipient, trained, implicates=np.int64(2), **settings).equals(plain)
    assert fp.fuse(recipient, trained, implicates=np.arange(1, 3), **settings).equals(plain)
    numbers = {"seed": np.int64(1), "folds": np.int16(3), "leaves": (np.int64(4),), "patience": np.int32(3)}
    arguments = {"y": ["size"], "x": ["group", "income"], "weight": "weight", "out": tmp_path / "m"}
    assert fp.train(donor, **arguments, **(QUICK | numbers)).fingerprint == trained.fingerprint


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"y": "size"}, r"\(y\): are the text 'size'"),
        ({"x": "group"}, r"\(x\): is the text 'group'"),
        ({"y": ["size", "size"]}, r"\(y\): names size more than once"),
        ({"y": ["size", ["fuel", "size"]]}, r"\(y\): names size more than once"),
        ({"x": ["group", "group"]}, r"\(x\): names group more than once"),
        ({"x": ["group", "size"]}, r"\(x\), column size: is a fusion variable \(y\) too"),
        ({"y": ["sise"]}, "donor, column sise: is missing"),
        ({"x": ["gruop"]}, "donor, column gruop: is missing"),
        ({"weight": "wieght"}, "donor, column wieght: is missing"),
        ({"weight": "spread"}, r"weight spread: is negative for \d+ donors"),
        ({"weight": "group"}, "weight"),
        ({"y": ["weight"]}, "weight weight: is fused too"),
        ({"x": ["weight"]}, "uses the weight weight as predictor"),
    ],
)
def test_train_and_prepare_refuse_variables(donor, tmp_path, arguments, message):
    wanted = {"y": ["size"], "x": ["group", "income"], "weight": "weight"} | arguments
    with pytest.raises(TrainingError, match=message):
        fp.train(donor, out=tmp_path / "m", **wanted, **QUICK)
    if arguments != {"weight": "group"}:
        with pytest.raises(TrainingError, match=message):
            fp.prepare(donor, **wanted)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"centres": 0}, "train, centres: is 0"),
        ({"neighbours": 9}, "train, neighbours: is 9. Give a whole number of 10 or more"),
        ({"block_neighbours": 0}, "train, block_neighbours: is 0"),
        ({"seed": -1}, "train, seed: is -1"),
        ({"threads": 0}, "train, threads: is 0"),
        ({"bootstraps": -1}, "train, bootstraps: is -1"),
        ({"patience": 0}, "train, patience: is 0"),
        ({"folds": "five"}, "train, folds: is 'five'"),
        ({"leaves": 8}, "train, leaves: are 8"),
        ({"leaves": [1]}, "train, leaves: is 1"),
        ({"learning_rate": 0}, "train, learning rates"),
        ({"search": "random"}, "train, search: is 'random'. Give 'climb' or 'grid'"),
        ({"draws": 0}, "train, draws: is 0"),
    ],
)
def test_train_refuses_settings(donor, tmp_path, arguments, message):
    with pytest.raises(TrainingError, match=message):
        fp.train(donor, y=["size"], x=["group"], out=tmp_path / "m", **(QUICK | arguments))
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize("value", [np.nan, -1.0, np.inf])
def test_one_wrong_weight_is_refused(donor, tmp_path, value):
    frame = donor.assign(weight=donor.weight.where(donor.index != 3, value))
    with pytest.raises(TrainingError, match="donor, weight weight"):
        fp.train(frame, y=["size"], x=["group"], weight="weight", out=tmp_path / "m", **QUICK)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seed": -1}, "prepare, seed: is -1"),
        ({"max_predictors": 0}, "prepare, max_predictors: is 0"),
    ],
)
def test_prepare_refuses_settings(donor, arguments, message):
    with pytest.raises(TrainingError, match=message):
        fp.prepare(donor, y=["size"], x=["group"], weight=None, **arguments)


def test_a_step_whose_variables_are_one_text_is_refused():
    with pytest.raises(TrainingError, match="variables: is the text 'size'"):
        fp.FusionPlan((fp.FusionStep("size", ("group",)),))
    with pytest.raises(TrainingError, match="uses size to predict itself"):
        fp.FusionPlan((fp.FusionStep(("size",), ("size",)),))


def test_rules_that_are_one_text_are_refused(donor):
    plan = fp.FusionPlan.chained(["size"], ["group"])
    with pytest.raises(TrainingError, match="constrain, rules: is the text"):
        fp.constrain(plan, "size >= 3", donor)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"weight": "wieght"}, "table, column wieght: is missing"),
        ({"columns": "size"}, "impute, columns: is the text 'size'"),
        ({"cycles": 0}, "impute, cycles: is 0"),
        ({"most_rows": "all"}, "impute, most_rows: is 'all'"),
    ],
)
def test_impute_refuses(donor, arguments, message):
    with pytest.raises(TrainingError, match=message):
        fp.impute(donor[["group", "size", "weight"]], **arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"recipient_weight": "wieght"}, "recipient, column wieght: is missing"),
        ({"recipient_weight": "income"}, "recipient, weight income: is negative or infinite in"),
        ({"recipient_weight": "group"}, "recipient, weight group: is categorical"),
        ({"implicates": 0}, "diagnose, implicates: is 0"),
        ({"seed": -3}, "diagnose, seed: is -3"),
    ],
)
def test_diagnose_refuses(donor, recipient, trained, arguments, message):
    with pytest.raises(FusingError, match=message):
        fp.diagnose(donor, recipient, trained, **arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"columns": "size"}, "read_fused, columns: is the text 'size'"),
        ({"columns": ["size", "size"]}, "read_fused, columns: names size more than once"),
        ({"implicates": "1"}, "read_fused, implicates: is '1'"),
        ({"to": "polars"}, "read_fused, to: is 'polars'"),
    ],
)
def test_read_fused_refuses(recipient, trained, tmp_path, arguments, message):
    fp.fuse(recipient, trained, implicates=1, out=tmp_path)
    assert fp.read_fused(tmp_path, implicates=np.int64(1)).num_rows == 40
    with pytest.raises(StorageError, match=message):
        fp.read_fused(tmp_path, **arguments)


def test_what_is_no_table_is_refused(recipient, trained, tmp_path):
    with pytest.raises(FusingError, match=r"recipient: is a str\. Give a frame"):
        fp.fuse("recipient.parquet", trained, implicates=1)
    with pytest.raises(TrainingError, match=r"donor: is a str\. Give a frame"):
        fp.train("donor.parquet", y=["size"], x=["group"], out=tmp_path / "m", **QUICK)
    twice = pd.concat([recipient, recipient[["income"]]], axis=1)
    with pytest.raises(FusingError, match="recipient, column income: is there more than once"):
        fp.fuse(twice, trained, implicates=1)
