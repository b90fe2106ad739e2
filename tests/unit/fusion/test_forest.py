"""Compiled walks against LightGBM itself."""

import subprocess
import sys

import lightgbm as lgb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusion_pipeline.errors import StorageError
from fusion_pipeline.fusion.drawing import pack_masks
from fusion_pipeline.fusion.forest import read_forest
from fusion_pipeline.fusion.placement import Placement
from fusion_pipeline.fusion.program import TOGETHER, Program

NOMINAL, FEATURES = (3, 4), 6
OBJECTIVES = (
    {"objective": "regression"},
    {"objective": "quantile", "alpha": 0.2},
    {"objective": "binary"},
    {"objective": "multiclass", "num_class": 4},
)


def make_features(random: np.random.Generator, rows: int, categories: int) -> np.ndarray:
    """Continuous, rounded and mostly-zero numbers, two categories; NaN here and there."""
    features = np.column_stack(
        [
            random.normal(size=rows),
            random.integers(-2, 3, rows),
            np.where(random.random(rows) < 0.5, 0, random.normal(size=rows)),
            random.integers(0, categories, rows),
            random.integers(0, 3, rows),
            random.choice([0.0, 1e-36, -1e-30, 1e-30, 1.0, np.inf], rows),
        ]
    ).astype(np.float32)
    features[random.random(features.shape) < random.choice([0, 0.1])] = np.nan
    return features


def make_model(random: np.random.Generator, objective: dict, **parameters: object) -> lgb.Booster:
    rows = int(random.choice([30, 200, 800]))
    features = make_features(random, rows, categories=int(random.choice([5, 40])))
    signal = np.nan_to_num(features[:, 0] + features[:, 2]) + np.nan_to_num(features[:, 3]) % 3
    label = signal + random.normal(size=rows)
    if objective["objective"] == "binary":
        label = label > np.median(label)
    elif objective["objective"] == "multiclass":
        label = (
            random.permutation(np.clip(label, 0, 3).astype(int)) if rows < 100 else np.clip(label, 0, 3) // 1
        )
    settings = {"verbosity": -1, "num_threads": 1, "min_data_in_leaf": 3, "min_data_per_group": 3, "seed": 1}
    data = lgb.Dataset(features, label, categorical_feature=list(NOMINAL), params=settings | parameters)
    return lgb.train(settings | objective | parameters, data, int(random.integers(1, 12)))


def predict(boosters: list[lgb.Booster], rows: np.ndarray, fused: list[int]) -> np.ndarray:
    """Predict (n, m, features) rows, of which only the columns in `fused` differ between implicates."""
    forests = [read_forest(b.model_to_string(), "model") for b in boosters]
    own = {j: k for k, j in enumerate(j for j in range(FEATURES) if j not in fused)}
    apart = {j: k for k, j in enumerate(fused)}
    placements = Placement(), Placement()
    for forest in forests:
        placements[0].collect(forest, own)
        placements[1].collect(forest, apart)
    for placement in placements:
        placement.finish()
    program = Program(forests, own, apart, *placements)
    codes = placements[0].rows(np.ascontiguousarray(rows[:, 0, list(own)]))
    values = np.empty((len(rows), placements[1].columns, rows.shape[1]), dtype=np.uint16)
    for j, k in apart.items():
        placements[1].place(k, np.ascontiguousarray(rows[:, :, j]), values)
    everyone = pack_masks(np.ones(rows.shape[:2], dtype=bool))
    found = program.predict(codes, values, everyone)
    assert program.is_shared == (found.shape[2] == 1) or rows.shape[1] == 1
    return np.broadcast_to(found, (*found.shape[:2], rows.shape[1]))


@settings(max_examples=60)
@given(
    seed=st.integers(0, 10_000),
    objective=st.sampled_from(OBJECTIVES),
    leaves=st.sampled_from([2, 7, 31, 150]),
    missing=st.sampled_from([{}, {"zero_as_missing": True}, {"use_missing": False}]),
    fused=st.sampled_from([[], [0], [3], [1, 2, 4], [5, 0, 3, 2], list(range(FEATURES))]),
    implicates=st.sampled_from([1, 3, 40, TOGETHER]),
)
def test_walks_predict_what_lightgbm_predicts(seed, objective, leaves, missing, fused, implicates):
    random = np.random.default_rng(seed)
    boosters = [make_model(random, objective, num_leaves=leaves, **missing) for _ in range(2)]
    rows = np.repeat(make_features(random, 25, categories=60)[:, None], implicates, axis=1)
    others = make_features(random, 25 * implicates, categories=60).reshape(25, implicates, FEATURES)
    rows[:, :, fused] = others[:, :, fused]
    stacked = rows.reshape(-1, FEATURES)
    expected = [b.predict(stacked, num_threads=1).reshape(len(stacked), -1) for b in boosters]
    found = predict(boosters, rows, fused).transpose(0, 2, 1).reshape(len(stacked), -1)
    np.testing.assert_allclose(found, np.column_stack(expected), rtol=1e-12, atol=1e-13)


def test_a_deep_tree_and_a_single_leaf_are_walked():
    random = np.random.default_rng(1)
    features = random.normal(size=(3000, FEATURES)).astype(np.float32)
    label = np.exp(2 * features[:, 0]) + features[:, 1]
    quiet = {"verbosity": -1, "num_threads": 1, "min_data_in_leaf": 1, "objective": "regression"}
    deep = lgb.train(quiet | {"num_leaves": 1000}, lgb.Dataset(features, label), 3)
    bare = lgb.train(quiet | {"min_data_in_leaf": 5000}, lgb.Dataset(features, label), 3)
    assert read_forest(bare.model_to_string(), "model").feature.size == 0
    rows = random.normal(size=(50, 7, FEATURES)).astype(np.float32)
    rows[:, :, :3] = rows[:, :1, :3]
    found = predict([deep, bare], rows, [3, 4, 5])
    for k, booster in enumerate((deep, bare)):
        expected = booster.predict(rows.reshape(-1, FEATURES)).reshape(50, 7)
        np.testing.assert_allclose(found[:, k], expected, rtol=1e-12)


def test_who_is_not_active_changes_nothing_for_the_others():
    random = np.random.default_rng(2)
    booster = make_model(random, OBJECTIVES[0], num_leaves=31)
    forest = read_forest(booster.model_to_string(), "model")
    own, apart = Placement(), Placement()
    own.collect(forest, {j: j for j in (0, 1, 3)})
    apart.collect(forest, {2: 0, 4: 1, 5: 2})
    own.finish()
    apart.finish()
    program = Program([forest], {j: j for j in (0, 1, 3)}, {2: 0, 4: 1, 5: 2}, own, apart)
    codes = own.rows(make_features(random, 100, 5))
    fused = np.empty((100, apart.columns, 10), dtype=np.uint16)
    for k, j in enumerate((2, 4, 5)):
        apart.place(k, make_features(random, 1000, 5)[:, j].reshape(100, 10), fused)
    wanted = random.random((100, 10)) < 0.5
    whole = program.predict(codes, fused, pack_masks(np.ones((100, 10), dtype=bool)))[:, 0]
    part = program.predict(codes, fused, pack_masks(wanted))[:, 0]
    assert (part[wanted] == whole[wanted]).all()
    # Walked in other company, an implicate gets the same bytes.
    alone = program.predict(codes, np.ascontiguousarray(fused[:, :, 3:4]), np.ones(100, np.uint64))
    assert (alone[:, 0, 0] == whole[:, 3]).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.replace("objective=regression", "objective=poisson"), "has the objective poisson"),
        (lambda t: t.replace("objective=regression", "objective=regression\naverage_output"), "averages"),
        (lambda t: t.replace("is_linear=0", "is_linear=1"), "has linear leaves"),
        (lambda t: "hello", "is not a LightGBM text model"),
    ],
)
def test_models_that_mean_something_else_are_refused(change, message):
    text = make_model(np.random.default_rng(3), OBJECTIVES[0]).model_to_string()
    with pytest.raises(StorageError, match=message):
        read_forest(change(text), "models/x.txt")


def test_compiled_code_is_made_where_nothing_can_be_kept(tmp_path):
    code = (
        "import numpy as np, numba\n"
        "from numba.core import caching\n"
        "caching.CacheImpl._locator_classes = []\n"
        "from fusion_pipeline.fusion.drawing import pack_masks\n"
        "print(pack_masks(np.array([[True, False, True]]))[0])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "5"
