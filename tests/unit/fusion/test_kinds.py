"""Every kind of column goes through training and fusing and comes out as what it was."""

import numpy as np
import pandas as pd
import pytest

import fusion_pipeline as fp
from fusion_pipeline.errors import TrainingError
from fusion_pipeline.fusion.specification import FusionPlan
from fusion_pipeline.fusion.training import train

N = 500
QUICK = {"leaves": (4,), "patience": 3, "folds": 3, "centres": 60, "bootstraps": 2}
Y = ["count", "amount", "rate", "yes", "kind", "grade"]


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    random = np.random.default_rng(6)
    level = random.integers(0, 5, N)
    x = random.normal(size=N)
    has = random.random(N) < 0.5 + 0.1 * (x > 0)
    return pd.DataFrame(
        {
            "level": pd.Categorical.from_codes(level, list("ABCDE"), ordered=True),
            "place": pd.Categorical.from_codes(random.integers(0, 12, N), [f"p{j:02d}" for j in range(12)]),
            "x": np.where(random.random(N) < 0.15, np.nan, x),
            "flag": pd.array(np.where(random.random(N) < 0.1, None, x > 0), dtype="boolean"),
            "rooms": pd.array(np.where(random.random(N) < 0.1, None, level + 1), dtype="Int8"),
            "same": 3,
            "one": pd.Categorical(["only"] * N),
            "count": random.poisson(1 + level).astype("int16"),
            "amount": np.where(has, np.exp(3 + 0.5 * x + random.normal(scale=0.4, size=N)), 0).astype(
                "float32"
            ),
            "rate": 0.5 * level + random.normal(size=N),
            "yes": random.random(N) < 0.2 + 0.1 * level,
            "kind": pd.Categorical.from_codes(random.integers(0, 3, N), ["u", "v", "w"]),
            "grade": pd.Categorical.from_codes(
                np.minimum(level, 3), ["low", "mid", "high", "top"], ordered=True
            ),
            "weight": random.uniform(1, 2, N),
        }
    )


X = ["level", "place", "x", "flag", "rooms", "same", "one"]


def test_every_kind_comes_out_as_it_went_in(table, tmp_path):
    models = train(table, y=Y, x=X, weight="weight", out=tmp_path / "m", **QUICK)
    kinds = {name: v.kind for name, v in models.variables.items()}
    assert kinds == {
        "count": "continuous", "amount": "zero-inflated", "rate": "continuous",
        "yes": "categorical", "kind": "categorical", "grade": "categorical",
    }  # fmt: skip
    drawn = fp.fuse(table[X], models, implicates=2, retain=()).to_pandas()
    for name in Y:
        assert drawn[name].dtype == table[name].dtype, name
        assert drawn[name].notna().all()
        assert set(drawn[name]) <= set(table[name])


def test_an_ordered_predictor_is_split_by_its_order_and_an_unordered_one_by_its_levels(table, tmp_path):
    models = train(table, y=["rate"], x=["level", "place"], out=tmp_path / "m", **QUICK)
    assert models.predictors["level"].ordered and not models.predictors["level"].is_nominal
    assert models.predictors["place"].is_nominal
    text = (models.path / models.records[0].file).read_text()
    features = [
        int(f) for line in text.splitlines() if line.startswith("split_feature=") for f in line[14:].split()
    ]
    decisions = [
        int(d) for line in text.splitlines() if line.startswith("decision_type=") for d in line[14:].split()
    ]
    is_categorical = {
        f: {d & 1 for g, d in zip(features, decisions, strict=True) if g == f} for f in set(features)
    }
    assert is_categorical[0] == {0}
    assert is_categorical.get(1, {1}) == {1}


def test_constant_predictors_change_nothing_and_alone_give_the_donors_distribution(table, tmp_path):
    models = train(table, y=["rate"], x=["same", "one"], weight="weight", out=tmp_path / "m", **QUICK)
    target = pd.DataFrame({"same": [3] * 2000, "one": pd.Categorical(["only"] * 2000)})
    drawn = fp.fuse(target, models, implicates=1, retain=()).to_pandas()["rate"]
    mean = np.average(table["rate"], weights=table["weight"])
    assert drawn.mean() == pytest.approx(mean, abs=4 * table["rate"].std() / np.sqrt(N))
    assert fp.importance(models)["share"].sum() == 0


def test_weights_that_differ_by_a_million_are_obeyed(table, tmp_path):
    random = np.random.default_rng(1)
    heavy = np.arange(N) < 150
    frame = table.assign(rate=np.where(heavy, 100.0, 0.0) + random.normal(size=N), yes=heavy)
    frame["weight"] = np.where(heavy, 1e6, 1.0) * random.uniform(1, 2, N)
    frame.loc[400:, "weight"] = 0.0
    models = train(frame, y=["rate", "yes"], x=["x", "place"], weight="weight", out=tmp_path / "m", **QUICK)
    drawn = fp.fuse(frame[["x", "place"]], models, implicates=2, retain=()).to_pandas()
    assert drawn["yes"].mean() > 0.999
    assert (drawn["rate"] > 50).mean() > 0.999


def test_hundreds_of_predictors_are_screened_and_can_be_used_without(tmp_path):
    random = np.random.default_rng(2)
    wide = pd.DataFrame(random.normal(size=(200, 250)).astype("f4"), columns=[f"x{j}" for j in range(250)])
    wide["y"] = 3 * wide["x7"] - 2 * wide["x200"] + random.normal(size=200)
    x = [f"x{j}" for j in range(250)]
    plan = fp.prepare(wide, y=["y"], x=x, weight=None, max_predictors=30)
    assert {"x7", "x200"} <= set(plan.steps[0].predictors)
    assert len(plan.steps[0].predictors) <= 30
    models = train(wide, FusionPlan.chained(["y"], x), out=tmp_path / "m", **QUICK)
    assert fp.fuse(wide[x].head(50), models, implicates=1, retain=()).num_rows == 50
    assert fp.importance(models).sort_values("share").predictor.iloc[-1] == "x7"


@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_an_infinite_value_is_refused_by_column_and_count(table, tmp_path, value):
    frame = table.assign(rate=table["rate"].where(table.index > 1, value))
    with pytest.raises(TrainingError, match="column rate: is infinite for 2 of 500 donors"):
        train(frame, y=["rate"], x=["x"], out=tmp_path / "m", **QUICK)


def test_a_donor_table_may_be_given_with_levels_that_no_donor_has(table, tmp_path):
    frame = table.assign(kind=table["kind"].cat.add_categories(["never"]))
    models = train(frame, y=["kind"], x=["x", "level"], out=tmp_path / "m", **QUICK)
    drawn = fp.fuse(frame[["x", "level"]], models, implicates=1, retain=()).to_pandas()["kind"]
    assert list(drawn.cat.categories) == ["u", "v", "w", "never"]
    assert not (drawn == "never").any()


def test_a_recipient_needs_no_identifiers_and_keeps_those_that_it_has(table, tmp_path):
    models = fp.train(table, y=["rate"], x=["level"], out=tmp_path / "set", **QUICK)
    for names in ([], ["hid"]):
        given = table[["level"]].assign(**dict.fromkeys(names, 7))
        assert fp.fuse(given, models, implicates=1).column_names == ["implicate", *names, "rate"]


@pytest.fixture(scope="module")
def counted() -> pd.DataFrame:
    """Categories that are numbers and truth values, integers that float64 does not hold, and float32 amounts."""
    random = np.random.default_rng(9)
    level, x = random.integers(0, 3, 300), random.normal(size=300)
    return pd.DataFrame(
        {
            "x": x,
            "stars": pd.Categorical.from_codes(level, [1, 2, 5], ordered=True),
            "code": pd.Categorical.from_codes(random.integers(0, 2, 300), [30, -4]),
            "rate": pd.Categorical.from_codes(level, [0.5, 1.5, 2.0]),
            "serial": 2**53 + 2 * random.integers(0, 10**6, 300) + 1,
            "largest": random.integers(2**63, 2**64, 300, dtype="uint64"),
        }
    )


KEPT = ["stars", "code", "rate", "serial", "largest"]


def test_levels_keep_their_type_and_order_in_fused_tables_and_files(counted, tmp_path):
    x = ["x", "stars"]
    models = train(counted, y=KEPT[1:], x=x, out=tmp_path / "m", **QUICK)
    again = train(counted, y=["stars"], x=["x", "code"], out=tmp_path / "again", **QUICK)
    drawn = fp.fuse(counted[x], models, implicates=2, out=tmp_path / "fused", retain=["stars"])
    for frame in (
        fp.read_fused(drawn, to="pandas"),
        fp.fuse(counted[x], models, implicates=2, retain=["stars"]).to_pandas(),
    ):
        for name in KEPT:
            assert frame[name].dtype == counted[name].dtype, name
            assert set(frame[name]) <= set(counted[name]), name
    stars = fp.fuse(counted[["x", "code"]], again, implicates=1).to_pandas()["stars"]
    assert stars.dtype == counted["stars"].dtype
    assert again.variables["stars"].level_type == "int64"


def test_a_level_written_alike_is_the_same_level_whatever_its_type(counted, tmp_path):
    models = train(counted, y=["serial"], x=["stars", "x"], out=tmp_path / "m", **QUICK)
    recipient = counted[["stars", "x"]]
    as_text = recipient.assign(stars=recipient["stars"].astype(str).astype("category"))
    assert fp.fuse(as_text, models, implicates=1).equals(fp.fuse(recipient, models, implicates=1))


def test_integers_beyond_float64_are_the_donors_own_in_imputed_tables_too(counted):
    gap = np.arange(300) % 4 == 0
    for name in KEPT:
        given = pd.DataFrame({"x": counted["x"], name: counted[name]})
        if name in ("serial", "largest"):
            given[name] = given[name].astype({"serial": "Int64", "largest": "UInt64"}[name])
        before = given[name].copy()
        given.loc[gap, name] = None
        whole = fp.impute(given, **QUICK | {"bootstraps": 0}).to_pandas()[name]
        assert whole.dtype == counted[name].dtype, name
        assert (whole[~gap] == before[~gap]).all(), name
        assert set(whole[gap]) <= set(before[~gap]), name


def test_a_constant_is_fused_as_it_is_with_a_warning(counted, tmp_path, caplog):
    only = pd.Categorical(["b"] * 300, ["a", "b"])
    donor = counted.assign(same=7, kind=only, big=2**53 + 1, half=np.float32(0.5))
    plan = fp.FusionPlan(
        (
            fp.FusionStep(("same",), ("x",)),
            fp.FusionStep(("kind",), ("x", "same"), universe="x > 0", outside="a"),
            fp.FusionStep(("serial", "big"), ("x", "kind")),
            fp.FusionStep(("half",), ("x",), universe="x > 0"),
        ),
        rules=("half <= 0.25 if x > 1",),
    )
    models = train(donor, plan, out=tmp_path / "m", **QUICK)
    assert "same is the same for all 300 donors of its step, and fused as it is" in caplog.text
    drawn = fp.fuse(donor[["x"]], models, implicates=1).to_pandas()
    inside = donor["x"] > 0
    assert (drawn["same"] == 7).all() and drawn["same"].dtype == donor["same"].dtype
    assert (drawn["kind"] == np.where(inside, "b", "a")).all()
    assert (drawn["big"] == 2**53 + 1).all()
    assert (drawn["half"] == np.where(donor["x"] > 1, 0.25, np.where(inside, 0.5, 0))).all()
    found = fp.prepare(donor, y=["same", "rate"], x=["x", "stars"], weight=None)
    again = train(donor, found, out=tmp_path / "again", **QUICK)
    assert (fp.fuse(donor[["x", "stars"]], again, implicates=1).to_pandas()["same"] == 7).all()
