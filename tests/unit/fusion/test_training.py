import hashlib
import json
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from fusion_pipeline.errors import StorageError, TrainingError
from fusion_pipeline.fusion.donors import load_donors
from fusion_pipeline.fusion.fusing import fuse
from fusion_pipeline.fusion.importance import importance
from fusion_pipeline.fusion.modelset import DONOR_WEIGHT, load_model_set
from fusion_pipeline.fusion.specification import FusionPlan, FusionStep
from fusion_pipeline.fusion.training import train
from fusion_pipeline.storage.tables import TableRef, write_table

QUICK = {"leaves": (4,), "patience": 3, "folds": 3, "centres": 50}


def hashes(folder):
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def small(donor: pd.DataFrame) -> pd.DataFrame:
    return donor.head(300)


def test_same_donor_and_seed_give_the_same_bytes_for_any_number_of_threads(donor, tmp_path):
    arguments = {
        "y": ["size", "fuel", "cool"],
        "x": ["group", "income"],
        "weight": "weight",
        "seed": 5,
        **QUICK,
    }
    for name, threads in (("one", 1), ("two", 2)):
        train(small(donor), out=tmp_path / name, threads=threads, **arguments)
    assert hashes(tmp_path / "one") == hashes(tmp_path / "two")


def test_frame_table_and_handle_give_the_same_model_set(donor, tmp_path):
    table = pa.Table.from_pandas(small(donor), preserve_index=False)
    write_table(tmp_path / "donor.parquet", table)
    prints = {
        train(source, y=["size"], x=["group", "tenure"], out=tmp_path / "m", **QUICK).fingerprint
        for source in (small(donor), table, TableRef(tmp_path / "donor.parquet"))
    }
    assert len(prints) == 1


def test_another_seed_gives_another_model_set(donor, tmp_path):
    prints = {
        train(small(donor), y=["size"], x=["income"], out=tmp_path / "m", seed=s, **QUICK).fingerprint
        for s in (1, 2)
    }
    assert len(prints) == 2


def test_training_leaves_the_callers_frame_alone(donor, tmp_path):
    given = small(donor).copy()
    train(given, y=["size", "cool"], x=["group", "income"], weight="weight", out=tmp_path / "m", **QUICK)
    pd.testing.assert_frame_equal(given, small(donor))


def test_the_leaf_minimum_reaches_every_model_file(models):
    texts = [(models.path / record.file).read_text() for record in models.records]
    assert len(texts) == len(set(texts)) == 4 + 5 + 1 + 12 + 4 + (2 + 6) * 10
    assert all("[min_data_in_leaf: 20]" in text for text in texts)


def test_no_leaf_has_fewer_donors_than_the_minimum(donor, tmp_path):
    # Without weights: with them LightGBM derives counts from second derivatives, and keeps the minimum roughly.
    models = train(donor, y=["size"], x=["income", "group"], out=tmp_path / "m", **QUICK | {"leaves": (64,)})
    for record in models.records:
        text = (models.path / record.file).read_text()
        counts = [int(c) for line in re.findall(r"^leaf_count=(.*)$", text, re.M) for c in line.split()]
        assert min(counts) >= 20, record.role


def test_a_large_donor_raises_the_leaf_minimum(tmp_path):
    random = np.random.default_rng(1)
    frame = pd.DataFrame({"x": random.normal(size=21_500).astype("f4")})
    frame["y"] = frame.x + random.normal(size=len(frame))
    models = train(
        frame,
        y=["y"],
        x=["x"],
        out=tmp_path / "m",
        leaves=(4,),
        patience=1,
        folds=2,
        centres=20,
        learning_rate=0.5,
    )
    text = (models.path / models.records[0].file).read_text()
    assert "[min_data_in_leaf: 22]" in text


def test_no_donor_ids_and_no_zero_weight_donors_are_stored(donor, tmp_path):
    frame = small(donor).assign(weight=np.where(np.arange(300) < 40, 0.0, 2.0))
    models = train(frame, y=["size"], x=["income"], weight="weight", out=tmp_path / "m", **QUICK)
    assert models.donors.column_names == ["size", DONOR_WEIGHT]
    assert models.donors["size"].to_pylist() == frame["size"].tolist()[40:]
    assert set(models.donors[DONOR_WEIGHT].to_pylist()) == {1.0}


def test_kinds_levels_order_and_report_are_in_the_manifest(models):
    kinds = {name: v.kind for name, v in models.variables.items()}
    assert (
        kinds["size"] == "continuous" and kinds["fuel"] == "zero-inflated" and kinds["cool"] == "categorical"
    )
    assert models.variables["cool"].levels == ("no", "yes", "other")
    assert models.plan.variables == ("size", "fuel", "cool", "share_1", "share_2", "share_3", "spent")
    assert [r.role for r in models.records if r.variable == "fuel" and r.set == 0] == [
        "zero", "mean", "quantile 1", "quantile 2", "quantile 3",
    ]  # fmt: skip
    share = importance(models).query("variable == 'size'").set_index("predictor").share
    assert share.sum() == pytest.approx(1) and share.idxmax() == "group"
    assert set(models.report().columns) >= {"variable", "rounds", "leaves", "loss"}


def test_solo_classes_need_no_pools_and_blocks_have_ten_donors_and_who_equals_the_last(models):
    assert models.pools(2) is None
    assert models.pools(3).sizes.min() == 10 and np.median(models.pools(3).sizes) < 15
    assert models.pools(0).sizes.min() >= 10
    assert len(models.pools(0).centres) == 300


def test_how_many_donors_a_blocks_pools_have_is_said_and_kept(donor, tmp_path):
    models = train(
        small(donor),
        y=[["share_1", "share_2"]],
        x=["income"],
        out=tmp_path / "m",
        block_neighbours=4,
        **QUICK,
    )
    assert models.pools(0).sizes.min() == 4 and np.median(models.pools(0).sizes) < 10
    assert models.manifest["settings"]["block_neighbours"] == 4


def test_pools_of_a_zero_inflated_variable_hold_only_donors_that_have_it(models):
    values = models.donors["fuel"].to_numpy()[models.pools(1).donors]
    assert values.min() > 0


def test_local_outliers_are_not_used_as_donors(donor, tmp_path):
    frame = donor.head(800).copy()
    paying = frame.index[frame.fuel > 0][:3]
    frame.loc[paying, "spent"] = frame.loc[paying, "fuel"] * 50
    plan = FusionPlan(
        (
            FusionStep(("fuel",), ("group", "income")),
            FusionStep(("price_spent",), ("group", "fuel"), universe="fuel", outliers_by="group"),
        ),
        "weight", {"spent": ("price_spent", "fuel")}, ("price_spent",),
    )  # fmt: skip
    models = train(frame, plan, out=tmp_path / "m", **QUICK)
    prices = models.donors["price_spent"].to_numpy()[models.pools(1).donors]
    assert prices.max() < 3


@pytest.mark.parametrize(
    ("change", "arguments", "message"),
    [
        (
            {"size": lambda f: f["size"].where(f.index != 3)},
            {},
            r"column size: is missing for 1 of 300 donors.*Impute",
        ),
        ({"weight": lambda f: f.weight.where(f.index > 1)}, {}, r"weight weight: is missing for 2 donors"),
        (
            {"weight": lambda f: f.weight.where(f.index > 1, -1)},
            {},
            r"weight weight: is negative for 2 donors.*zero",
        ),
        ({"weight": lambda f: f.weight * 0}, {}, r"weight weight: is zero or infinite for all 300"),
        ({"group": lambda f: f.group.astype(str)}, {}, r"column group: is of type (large_)?string.*category"),
        ({}, {"x": ["gruop"]}, r"column gruop: is missing"),
        ({}, {"quantiles": (0.5,)}, r"quantiles: are \(0.5,\)"),
        ({}, {"folds": 1}, r"train, folds: is 1"),
        ({}, {"folds": 200}, r"step size: has 300 donors; at least 400 are needed"),
        ({}, {"groups": "tenure"}, r"has 2 groups of donors for 3 folds"),
    ],
)
def test_a_donor_that_cannot_be_modelled_is_refused_with_column_count_and_remedy(
    donor, tmp_path, change, arguments, message
):
    frame = small(donor).assign(**change)
    wanted = {"y": ["size"], "x": ["group", "income"], "weight": "weight", **QUICK} | arguments
    with pytest.raises(TrainingError, match=message):
        train(frame, out=tmp_path / "m", **wanted)
    assert not (tmp_path / "m").exists()


def test_a_universe_cannot_be_categorical_nor_hold_a_categorical_step(donor, tmp_path):
    steps = (FusionStep(("cool",), ("group",)), FusionStep(("size",), ("group",), universe="cool"))
    with pytest.raises(TrainingError, match="column cool: is categorical and cannot be a universe"):
        train(small(donor), FusionPlan(steps), out=tmp_path / "m", **QUICK)
    steps = (FusionStep(("fuel",), ("group",)), FusionStep(("cool",), ("group",), universe="fuel"))
    with pytest.raises(TrainingError, match="column cool: is categorical, and a step with a universe is 0"):
        train(small(donor), FusionPlan(steps), out=tmp_path / "m", **QUICK)


@pytest.mark.parametrize(
    "damage", ["delete a model", "flip a byte", "no manifest", "broken manifest", "old format"]
)
def test_a_damaged_model_set_is_refused_by_file_name(donor, tmp_path, damage):
    path = tmp_path / "m"
    train(small(donor), y=["size"], x=["income"], out=path, **QUICK)
    manifest = path / "manifest.json"
    model = next((path / "models").glob("*.txt"))
    named = manifest
    if damage == "delete a model":
        model.unlink()
        named = model
    elif damage == "flip a byte":
        model.write_bytes(model.read_bytes().replace(b"tree", b"trEe", 1))
        named = model
    elif damage == "no manifest":
        manifest.unlink()
    elif damage == "broken manifest":
        manifest.write_text(manifest.read_text()[:-50])
    else:
        manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"format": 0}))
    with pytest.raises(StorageError, match=f"{re.escape(str(named))}.*Train it again"):
        load_model_set(path)


def test_a_model_set_of_a_later_version_is_refused_as_such(donor, tmp_path):
    path = tmp_path / "m"
    train(small(donor), y=["size"], x=["income"], out=path, **QUICK)
    file = path / "manifest.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"format": 99}))
    with pytest.raises(StorageError, match=r"has format 99, of a later version.*reads up to 3.*Update"):
        load_model_set(path)


def test_a_manifest_that_was_changed_by_hand_is_refused(donor, tmp_path):
    path = tmp_path / "m"
    train(small(donor), y=["size"], x=["income"], out=path, **QUICK)
    file = path / "manifest.json"
    file.write_text(file.read_text().replace('"bootstraps": 10', '"bootstraps": 5'))
    with pytest.raises(
        StorageError, match=r"manifest.json: is damaged: its SHA-256 is not the one beside it"
    ):
        load_model_set(path)
    (path / "manifest.sha256").unlink()
    with pytest.raises(StorageError, match=r"manifest.sha256: is missing from the model set"):
        load_model_set(path)


def test_text_json_and_parquet_only_and_no_identifier_in_any_of_them(donor, tmp_path):
    # Identifiers that could not occur by chance, as keys, groups and among the columns that are not used.
    frame = small(donor).assign(
        hid=np.arange(300) + 987_654_000,
        psu=np.arange(300) // 3 + 555_000_000,
        name=[f"name-{i}" for i in range(300)],
    )
    wanted = {"y": ["size", "cool"], "x": ["group", "income"], "weight": "weight", "groups": "psu", **QUICK}
    models = train(frame, out=tmp_path / "m", **wanted)
    files = [p for p in models.path.rglob("*") if p.is_file()]
    assert {p.suffix for p in files} == {".txt", ".json", ".parquet", ".sha256"}
    for file in files:
        if file.suffix == ".parquet":
            columns = TableRef(file).to_pandas()
            text = columns.to_csv(index=False)
        else:
            text = file.read_text()
        assert not re.search(r"(?<![\d.])(987654\d{3}|5550000\d{2})|name-\d", text), file.name
        assert "hid" not in text.split()


def test_progress_is_logged_for_every_label_that_is_fitted(donor, tmp_path, caplog):
    with caplog.at_level("INFO", logger="fusion_pipeline"):
        train(small(donor), y=["size", "fuel"], x=["income"], out=tmp_path / "m", threads=2, **QUICK)
    told = [m for m in caplog.messages if m.startswith("fitted")]
    assert [m.rsplit(": ", 1)[1] for m in told] == ["1 of 3", "2 of 3", "3 of 3"]
    assert "training 9 models of 2 steps on 300 donors" in caplog.text


def test_donors_who_stand_in_several_places_are_counted_once(donor, tmp_path, caplog):
    rows = small(donor)
    three = pd.concat([rows.assign(household=range(len(rows)))] * 3, ignore_index=True)
    with caplog.at_level("INFO", logger="fusion_pipeline"):
        train(three, y=["fuel"], x=["income"], groups="household", draws=3, out=tmp_path / "m", **QUICK)
    assert "on 300 donors x 3 places" in caplog.text


def test_the_report_has_loss_rounds_leaves_and_the_best_predictors_of_every_model(models):
    report = models.report()
    assert len(report) == sum(record.set == 0 for record in models.records)
    assert (report["loss"] > 0).all()
    assert (report["rounds"] >= 1).all()
    for record in (r for r in models.records if r.set == 0):
        text = (models.path / record.file).read_text()
        assert text.count("\nTree=") == record.rounds * max(
            1, len(record.classes) if len(record.classes) > 2 else 1
        )
    size = report[(report["variable"] == "size") & (report["model"] == "mean")].iloc[0]
    assert size["most important"].startswith("group")


def test_folds_of_training_keep_groups_whole_and_every_class_in_every_fold(donor):
    from fusion_pipeline.fusion.donors import load_donors
    from fusion_pipeline.fusion.tasks import step_tasks

    frame = small(donor).assign(psu=np.arange(300) // 4)
    plan = FusionPlan.chained(["cool", "size"], ["group"], "weight")
    grouped = load_donors(frame, plan, "psu")
    for position in (0, 1):
        [task] = step_tasks(grouped, plan, position, 3, (0.25, 0.75), 1)
        assert len(set(zip(frame.psu, task.fold, strict=True))) == frame.psu.nunique()
    alone = load_donors(frame, plan, None)
    [task] = step_tasks(alone, plan, 0, 3, (0.25, 0.75), 1)
    counts = pd.crosstab(task.fold, task.label)
    assert (counts.max() - counts.min() <= 1).all()


def test_a_model_set_opened_again_is_the_same(models):
    again = load_model_set(models.path)
    assert again.fingerprint == models.fingerprint
    assert replace(again.plan, products=dict(again.plan.products)) == models.plan


def test_prices_equal_but_for_rounding_count_once_among_outliers():
    from fusion_pipeline.fusion.donors import _three_digits

    modal = 22.186 + 1e-5 * np.arange(60)
    assert len(np.unique(_three_digits(modal))) == 1
    assert np.allclose(_three_digits(np.array([0.0, 36.27, 0.012345])), [0.0, 36.3, 0.0123])


def test_what_is_no_model_set_is_not_replaced(donor, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    (tmp_path / "file").write_text("a file")
    for out in ("mine", "file"):
        with pytest.raises(TrainingError, match="no model set"):
            train(small(donor), y=["size"], x=["income"], out=tmp_path / out, **QUICK)
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"
    assert (tmp_path / "file").read_text() == "a file"


def test_a_model_set_that_lost_its_manifest_is_replaced(donor, tmp_path):
    wanted = {"y": ["size"], "x": ["income"], "out": tmp_path / "m", **QUICK}
    before = train(small(donor), **wanted).fingerprint
    (tmp_path / "m" / "manifest.json").unlink()
    assert train(small(donor), **wanted).fingerprint == before


def test_donors_without_a_group_are_each_one_of_their_own(donor):
    groups = np.where(np.arange(300) % 3 == 0, None, (np.arange(300) // 10).astype(str))
    plan = FusionPlan.chained(["size"], ["income"], "weight")
    units = load_donors(small(donor).assign(psu=groups), plan, "psu").groups
    counts = np.bincount(units)
    assert (counts == 1).sum() == 100
    assert counts.max() == 7


def test_effects_of_unordered_categories_are_not_lost_where_donors_are_few(tmp_path):
    random = np.random.default_rng(0)
    group, effect = random.integers(0, 8, 240), random.permutation(np.linspace(-1, 1, 8))
    table = pd.DataFrame(
        {"g": pd.Categorical.from_codes(group, list("abcdefgh")), "z": random.normal(size=240)}
    )
    table["y"] = effect[group] + random.normal(size=240)
    models = train(table, y=["y"], x=["g", "z"], out=tmp_path / "m", leaves=[4], centres=200, bootstraps=0)
    fused = (
        fuse(table, models, implicates=10, retain=()).to_pandas()["y"].to_numpy().reshape(10, -1).mean(axis=0)
    )
    means = np.array([fused[group == k].mean() for k in range(8)])
    assert np.polyfit(effect, means, 1)[0] > 0.6
