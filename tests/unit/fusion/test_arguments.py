"""Arguments that make no sense are refused with what, where and remedy; numbers of any integer type are taken."""

import numpy as np
import pandas as pd
import pytest

import fusion_pipeline as fp
from fusion_pipeline.errors import AnalysisError, FusingError, StorageError, TrainingError
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


WHAT_IS_NO_TABLE_OF_DONORS = [
    (lambda f: f.head(0), {}, "donor: has no rows"),
    (lambda f: pd.DataFrame(), {}, "donor, column size: is missing"),
    (lambda f: f.head(1), {}, "has 1 donors; at least 10|no predictor that varies among 1 donors"),
    (lambda f: pd.concat([f, f[["income"]]], axis=1), {}, "donor, column income: is there more than once"),
    (lambda f: f.assign(size=np.nan), {}, "donor, column size: is missing for 200 of 200"),
    (lambda f: f.assign(income="much"), {}, "donor, column income: is of type"),
    (
        lambda f: f.rename(columns={"size": "implicate"}),
        {"y": ["implicate"]},
        "variable implicate: has a name",
    ),
    (lambda f: f.assign(**{"donor weight 1": 1.0}), {"y": ["donor weight 1"]}, "donor weight 1: has a name"),
    (lambda f: f, {"y": 3}, r"\(y\): are 3"),
    (lambda f: f, {"y": [3]}, r"\(y\): are \[3\]"),
    (lambda f: f, {"y": [[]]}, "needs a variable"),
    (lambda f: f, {"x": 3}, r"\(x\): is 3"),
    (lambda f: f, {"weight": ["weight"]}, r"weight: is \['weight'\]. Give a text"),
]


@pytest.mark.parametrize("function", ["train", "prepare"])
@pytest.mark.parametrize(("change", "arguments", "message"), WHAT_IS_NO_TABLE_OF_DONORS)
def test_odd_donors_and_names_are_refused_alike(donor, tmp_path, function, change, arguments, message):
    wanted = {"y": ["size"], "x": ["group", "income"], "weight": "weight"} | arguments
    settings = QUICK | {"out": tmp_path / "m"} if function == "train" else {}
    refused(TrainingError, message, getattr(fp, function), change(donor), **wanted, **settings)


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        ("train", {"out": None}, "train, out: is None. Give a path"),
        ("train", {"quantiles": 3}, "train, quantiles: are 3"),
        ("train", {"quantiles": ["a", "b"]}, "train, quantiles: is 'a'"),
        ("train", {"quantiles": [0.1, float("nan")]}, "train, quantiles: is nan"),
        ("train", {"quantiles": [0.5, 1]}, "train, quantiles: are"),
        ("train", {"learning_rate": "quick"}, "train, learning rates: is 'quick'"),
        ("train", {"plan": "plan.json"}, "train, plan: is a str"),
        ("train", {"plan": fp.FusionPlan.chained(["fuel"], ["group"])}, "stand beside a plan"),
        ("prepare", {"deviance": 2}, "prepare, deviance: is 2. Give a number above 0, at most 1"),
        ("prepare", {"deviance": "most"}, "prepare, deviance: is 'most'"),
        ("prepare", {"correlation": -1}, "prepare, correlation: is -1"),
        ("prepare", {"order": "random"}, "prepare, order: is 'random'"),
        ("prepare", {"forced": None}, "prepare, forced: is None"),
        ("prepare", {"forced": ["incme"]}, "prepare, forced: names incme"),
    ],
)
def test_odd_settings_are_refused_by_name(donor, tmp_path, function, arguments, message):
    wanted = {"y": ["size"], "x": ["group", "income"], "weight": "weight"}
    wanted |= QUICK | {"out": tmp_path / "m"} if function == "train" else {}
    refused(TrainingError, message, getattr(fp, function), donor, **(wanted | arguments))


@pytest.mark.parametrize(
    ("change", "arguments", "message"),
    [
        (lambda f: f, {"implicates": 40_000}, "fuse, implicates: goes up to 40000"),
        (lambda f: f, {"implicates": None}, "fuse, implicates: is None"),
        (lambda f: f, {"models": 3}, "fuse, models: is 3. Give a path"),
        (lambda f: f, {"models": "nowhere"}, "nowhere/manifest.json: does not exist"),
        (lambda f: f, {"out": 3}, "fuse, out: is 3"),
        (lambda f: f, {"stream_name": None}, "fuse, stream_name: is None"),
        (lambda f: f, {"retain": ["incme"]}, "recipient, column incme: is missing"),
        (
            lambda f: f.assign(implicate=1),
            {"retain": ["implicate"]},
            "recipient, column implicate: is retained",
        ),
        (lambda f: f.head(0), {}, "recipient: has no rows"),
        (lambda f: f.drop(columns="income"), {}, "recipient, column income: is missing"),
        (
            lambda f: f.assign(income=pd.Categorical(["x"] * 40)),
            {},
            "column income: is categorical, the donor's",
        ),
    ],
)
def test_fuse_refuses_odd_recipients_and_arguments(recipient, trained, change, arguments, message):
    given = {"models": trained, "implicates": 1} | arguments
    refused((FusingError, StorageError), message, fp.fuse, change(recipient), **given)


@pytest.mark.parametrize(
    ("change", "arguments", "message"),
    [
        (lambda f: f.head(0), {}, "table: has no rows"),
        (lambda f: f, {"columns": []}, "table: has no column to fill"),
        (lambda f: pd.concat([f, f[["size"]]], axis=1), {}, "table, column size: is there more than once"),
        (lambda f: f.assign(implicate=1), {"copies": 2}, "table, column implicate: is there"),
        (lambda f: f, {"copies": -1}, "impute, copies: is -1"),
        (lambda f: f, {"withheld": ["size"]}, "impute, withheld: is"),
        (lambda f: f, {"withheld": {"size": "income"}}, "withheld of size: is the text 'income'"),
        (lambda f: f, {"leafs": 3}, "impute, leafs: is no setting"),
        (lambda f: f, {"y": ["size"]}, "impute, y: is no setting"),
        (lambda f: f, {"stream_name": 3}, "impute, stream_name: is 3"),
        (lambda f: f.assign(weight=np.nan), {"weight": "weight"}, "weight weight: is missing for"),
        (lambda f: f.assign(weight=-1.0), {"weight": "weight"}, "weight weight: is negative for"),
        (lambda f: f.iloc[18:24], {}, "has 3 donors"),
    ],
)
def test_impute_refuses_odd_tables_and_arguments(donor, change, arguments, message):
    gaps = donor[["group", "income", "size", "weight"]].copy()
    gaps.loc[:20, "size"] = np.nan
    given = {"columns": ["group", "income", "size"]} | arguments
    refused(TrainingError, message, fp.impute, change(gaps), **given)


@pytest.mark.parametrize(
    ("x", "y", "weight", "message"),
    [
        ([1.0], [1.0, 2.0], None, "got 1, 2 and 1 values"),
        ([1.0, np.nan], [1.0, 2.0], None, "x: is missing or infinite 1 times"),
        (["a"], [1.0], None, "x: is a list that is no row of numbers"),
        (None, None, None, "x: is a NoneType"),
        (np.ones((2, 2)), [1.0, 2.0], None, "x: is a ndarray"),
        ([1.0, 2.0], [1.0, -2.0], None, "y: is negative"),
        ([1.0, 2.0], [1.0, 2.0], [0.0, 0.0], "weight: is zero everywhere"),
        ([1.0, 2.0], [1.0, 2.0], ["a", "b"], "weight: is a list"),
    ],
)
def test_monotonic_refuses(x, y, weight, message):
    refused(AnalysisError, f"monotonic, {message}|monotonic: {message}", fp.monotonic, x, y, weight)


@pytest.mark.parametrize("models", [None, 3])
def test_importance_of_no_model_set_is_refused(models):
    refused(FusingError, f"importance, models: is {models}. Give a path", fp.importance, models)


def refused(error, message, function, *given, **arguments):
    """The call raises an error of the project that says where, what, and what to do."""
    with pytest.raises(error, match=message) as caught:
        function(*given, **arguments)
    assert caught.value.where
    assert caught.value.what
    assert caught.value.remedy
