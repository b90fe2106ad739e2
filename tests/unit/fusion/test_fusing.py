import hashlib

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from fusion_pipeline.errors import FusingError
from fusion_pipeline.examples import make_population
from fusion_pipeline.fusion import fusing
from fusion_pipeline.fusion import recipient as recipients
from fusion_pipeline.fusion.chain import Chain
from fusion_pipeline.fusion.fusing import fuse, implicate_file
from fusion_pipeline.fusion.modelset import DONOR_WEIGHT, load_model_set
from fusion_pipeline.fusion.parts import Parts
from fusion_pipeline.fusion.specification import FusionPlan, FusionStep
from fusion_pipeline.fusion.training import train
from fusion_pipeline.storage.tables import TableRef, read_table, write_table


@pytest.fixture(scope="module")
def fused(recipient, models) -> pd.DataFrame:
    return fuse(recipient, models, implicates=10, seed=1).to_pandas()


@pytest.fixture(scope="module")
def truth() -> pd.DataFrame:
    return make_population(60_000, seed=99)


@pytest.fixture
def small_blocks(monkeypatch):
    """Several row blocks out of a small recipient."""
    monkeypatch.setattr(recipients, "BLOCK_ROWS", 256)
    monkeypatch.setattr(fusing, "BLOCK_ROWS", 256)


def digests(folder):
    return {
        p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*.parquet"))
    }


def with_group(fused: pd.DataFrame, recipient: pd.DataFrame) -> pd.Series:
    return pd.Series(np.tile(recipient.group.astype(str), 10), index=fused.index)


def test_means_by_group_are_the_populations(fused, recipient, truth):
    group = with_group(fused, recipient)
    for variable in ("size", "fuel", "spent"):
        found = fused.groupby(group)[variable].mean()
        real = truth.groupby(truth.group.astype(str))[variable]
        # 2,000 donors and 1,000 households a group, and models that shrink towards the mean by as much again.
        error = real.std() * np.sqrt(1 / 2000 + 1 / 1000)
        assert (abs(found - real.mean()) < 3 * error).all(), variable


def test_zero_shares_and_class_shares_by_group_are_the_populations(fused, recipient):
    group = with_group(fused, recipient)
    assert (fused.fuel > 0).groupby(group).mean().to_numpy() == pytest.approx([0.2, 0.5, 0.8], abs=0.035)
    assert (fused.cool == "yes").groupby(group).mean().to_numpy() == pytest.approx(
        [0.25, 0.5, 0.75], abs=0.06
    )


def test_chained_variables_keep_their_correlation(fused, truth):
    have, real = fused[fused.fuel > 0], truth[truth.fuel > 0]
    expected = np.corrcoef(real["size"], np.log(real.fuel))[0, 1]
    assert np.corrcoef(have["size"], np.log(have.fuel))[0, 1] == pytest.approx(expected, abs=0.06)


def test_spread_is_not_shrunk(fused, truth):
    assert fused["size"].std() / truth["size"].std() == pytest.approx(1, abs=0.05)


def test_every_value_is_some_donors(fused, donor):
    assert set(fused["size"]) <= set(donor["size"])
    assert set(fused.fuel) <= set(donor.fuel)
    assert fused["size"].dtype == donor["size"].dtype
    assert fused.cool.dtype == donor.cool.dtype
    assert not (fused.cool == "other").any(), "a level no donor has"


def test_a_blocks_variables_come_from_one_donor(fused, donor):
    names = ["share_1", "share_2", "share_3"]
    triples = set(map(tuple, donor[names].to_numpy()))
    assert set(map(tuple, fused[names].to_numpy())) <= triples
    np.testing.assert_allclose(fused[names].sum(axis=1), 1)


def test_nothing_used_nothing_spent_and_prices_are_some_donors(fused, donor):
    assert ((fused.spent == 0) == (fused.fuel == 0)).all()
    using = donor[donor.fuel > 0]
    price = (fused.spent / fused.fuel)[fused.fuel > 0]
    real = np.sort(using.spent / using.fuel)
    nearest = real[np.clip(np.searchsorted(real, price), 0, len(real) - 1)]
    below = real[np.clip(np.searchsorted(real, price) - 1, 0, len(real) - 1)]
    assert np.minimum(abs(nearest - price), abs(below - price)).max() < 1e-9


def test_prices_follow_the_place(fused, recipient):
    group = with_group(fused, recipient)
    price = (fused.spent / fused.fuel)[fused.fuel > 0].groupby(group).mean()
    assert price.to_numpy() == pytest.approx([1.1, 1.6, 2.1], abs=0.03)


def test_columns_and_rows_are_in_order(fused, recipient, models):
    assert list(fused.columns) == ["implicate", "year", "hid", *models.plan.variables]
    assert fused.implicate.dtype == np.int16
    assert fused.implicate.tolist() == np.repeat(np.arange(1, 11), len(recipient)).tolist()
    assert fused.hid.tolist() == recipient.hid.tolist() * 10


def test_implicates_differ(fused):
    first, second = (fused[fused.implicate == m]["size"].to_numpy() for m in (1, 2))
    assert (first != second).mean() > 0.8


def test_threads_memory_and_splitting_over_calls_change_no_byte(
    recipient, models, tmp_path, small_blocks, least_memory
):
    part = recipient.head(1000)
    fuse(part, models, implicates=4, out=tmp_path / "a")
    fuse(part, models, implicates=4, out=tmp_path / "threads", threads=2)
    least = least_memory(part, models, 4, threads=2)
    fuse(part, models, implicates=4, out=tmp_path / "memory", memory_limit=least, threads=2)
    fuse(part, models, implicates=[3], out=tmp_path / "split")
    fuse(part, models, implicates=[4, 1, 2], out=tmp_path / "split")
    expected = digests(tmp_path / "a")
    assert list(expected) == [f"implicate=0{m}/part-0.parquet" for m in (1, 2, 3, 4)]
    for name in ("threads", "memory", "split"):
        assert digests(tmp_path / name) == expected, name


def test_more_implicates_than_a_mask_has_bits_are_drawn_as_each_would_be_alone(recipient, models):
    part = recipient.head(60)
    drawn = fuse(part, models, implicates=70, threads=2)
    assert drawn.slice(64 * 60, 60).equals(fuse(part, models, implicates=[65]))
    assert drawn.slice(0, 120).equals(fuse(part, models, implicates=2))


def test_equal_households_in_different_blocks_draw_independently(recipient, models, small_blocks):
    twins = pd.concat([recipient.head(256)] * 2)
    drawn = fuse(twins, models, implicates=1)["size"].to_numpy()
    assert (drawn[:256] == drawn[256:]).mean() < 0.2


def test_outside_its_universe_a_step_gives_zero(recipient, donor, tmp_path):
    plan = FusionPlan(
        (
            FusionStep(("fuel",), ("group",)),
            FusionStep(("price",), ("group", "fuel"), universe="fuel"),
        )
    )
    paid = donor.assign(price=(donor.spent / donor.fuel))
    quick = {"leaves": (4,), "patience": 3, "folds": 3, "centres": 50}
    drawn = fuse(recipient, train(paid, plan, out=tmp_path / "m", **quick), implicates=1).to_pandas()
    assert ((drawn.price == 0) == (drawn.fuel == 0)).all()
    assert set(drawn.price[drawn.fuel > 0]) <= set(paid.price.dropna())


def test_a_handle_read_in_blocks_gives_the_table_of_a_frame(recipient, models, tmp_path, small_blocks):
    write_table(tmp_path / "r.parquet", pa.Table.from_pandas(recipient.head(700), preserve_index=False))
    from_handle = fuse(TableRef(tmp_path / "r.parquet"), models.path, implicates=[2])
    assert from_handle.equals(fuse(recipient.head(700), models, implicates=[2]))


def test_files_hold_what_the_table_holds(recipient, models, tmp_path, small_blocks):
    table = fuse(recipient.head(600), models, implicates=2)
    fuse(recipient.head(600), models, implicates=2, out=tmp_path)
    for m in (1, 2):
        file = read_table(implicate_file(tmp_path, m))
        expected = table.filter(pa.compute.equal(table["implicate"], m)).drop_columns("implicate")
        pd.testing.assert_frame_equal(file.to_pandas(), expected.to_pandas())
    assert read_table(implicate_file(tmp_path, 1))["cool"].chunk(0).dictionary.to_pylist() == [
        "no",
        "yes",
        "other",
    ]


def test_seed_and_stream_name_change_the_draws(recipient, models):
    part = recipient.head(200)
    base = fuse(part, models, implicates=1)
    assert not base.equals(fuse(part, models, implicates=1, seed=2))
    assert not base.equals(fuse(part, models, implicates=1, stream_name="another pair"))
    assert base.equals(fuse(part, models, implicates=1))


def test_a_killed_run_is_resumed_and_finished_implicates_are_kept(recipient, models, tmp_path, monkeypatch):
    part = recipient.head(300)
    fuse(part, models, implicates=4, out=tmp_path / "whole")
    monkeypatch.setattr(fusing, "IMPLICATES_AT_ONCE", 2)
    join = Parts.join

    def killed(self, count, provenance, rows):
        if provenance["implicate"] == 4:
            raise KeyboardInterrupt
        join(self, count, provenance, rows)

    monkeypatch.setattr(Parts, "join", killed)
    with pytest.raises(KeyboardInterrupt):
        fuse(part, models, implicates=4, out=tmp_path / "cut")
    there = ["implicate=01", "implicate=02", "implicate=03"]
    assert sorted(p.name for p in (tmp_path / "cut").glob("[!.]*")) == there
    written = {m: implicate_file(tmp_path / "cut", m).stat().st_mtime_ns for m in (1, 2)}
    monkeypatch.setattr(Parts, "join", join)
    fuse(part, models, implicates=4, out=tmp_path / "cut")
    assert {m: implicate_file(tmp_path / "cut", m).stat().st_mtime_ns for m in (1, 2)} == written
    assert digests(tmp_path / "cut") == digests(tmp_path / "whole")


def test_an_implicate_of_other_settings_or_damaged_is_made_again(recipient, models, tmp_path):
    part = recipient.head(200)
    fuse(part, models, implicates=2, out=tmp_path, seed=1)
    first = digests(tmp_path)
    implicate_file(tmp_path, 2).write_bytes(b"half a file")
    fuse(part, models, implicates=2, out=tmp_path, seed=1)
    assert digests(tmp_path) == first
    fuse(part, models, implicates=2, out=tmp_path, seed=2)
    assert not set(digests(tmp_path).values()) & set(first.values())


def test_a_level_unknown_to_the_donor_is_missing_and_logged(recipient, models, caplog):
    part = recipient.head(100).copy()
    part["group"] = pd.Categorical(["z"] * 7 + part.group.astype(str).tolist()[7:], ["z", "c", "b", "a"])
    with caplog.at_level("WARNING"):
        table = fuse(part, models, implicates=2)
    assert "column group: level 'z' is unknown to the donor; missing in 7 rows" in caplog.text
    plain = fuse(recipient.head(100), models, implicates=2)
    known = np.tile(np.arange(100) >= 7, 2)
    assert table.filter(known).equals(plain.filter(known))


@pytest.mark.parametrize(
    ("change", "arguments", "message"),
    [
        (lambda f: f.drop(columns="income"), {}, "column income: is missing"),
        (lambda f: f.assign(income=f.group), {}, "column income: is categorical, the donor's is numeric"),
        (lambda f: f.assign(group=1.0), {}, "column group: is numeric, the donor's is categorical"),
        (lambda f: f.assign(tenure=1), {}, "column tenure: is numeric, the donor's is boolean"),
        (lambda f: f, {"retain": ("pid",)}, "column pid: is missing"),
        (lambda f: f.assign(size=1), {"retain": ("size",)}, "column size: is retained"),
        (lambda f: f.head(0), {}, "has no rows"),
        (lambda f: f, {"implicates": 0}, "implicates: is 0"),
        (lambda f: f, {"implicates": [1, 1]}, r"implicates: is \[1, 1\]"),
    ],
)
def test_a_recipient_that_does_not_fit_is_refused_by_column(recipient, models, change, arguments, message):
    with pytest.raises(FusingError, match=message):
        fuse(change(recipient.head(50)), models, **({"implicates": 1} | arguments))


def test_weights_decide_who_is_drawn(recipient, tmp_path):
    random = np.random.default_rng(8)
    n = 600
    frame = pd.DataFrame(
        {"x": random.normal(size=n), "value": random.normal(10, 1, n), "heavy": random.random(n) < 0.5}
    )
    frame["value"] += 5 * frame.heavy
    frame["weight"] = np.where(frame.heavy, 9.0, 1.0)
    frame.loc[:99, "weight"] = 0.0
    quick = {"leaves": (4,), "patience": 3, "folds": 3, "centres": 50}
    models = train(frame, y=["value"], x=["x"], weight="weight", out=tmp_path / "m", **quick)
    target = pd.DataFrame({"x": random.normal(size=4000)})
    drawn = fuse(target, models, implicates=1, retain=())["value"].to_numpy()
    assert not set(drawn) & set(frame.value[:100])
    assert drawn.mean() == pytest.approx(np.average(frame.value, weights=frame.weight), abs=0.25)


def test_households_missing_a_predictor_are_fused_too(recipient, models):
    part = recipient.head(300).assign(income=np.nan)
    assert fuse(part, models, implicates=1)["size"].null_count == 0


def test_a_model_set_is_enough_without_the_donor(models, recipient, donor):
    opened = load_model_set(models.path)
    assert "hid" not in opened.donors.column_names and DONOR_WEIGHT in opened.donors.column_names
    assert fuse(recipient.head(50), opened, implicates=1).equals(
        fuse(recipient.head(50), models, implicates=1)
    )


def test_a_memory_limit_below_what_models_and_donors_take_is_refused(recipient, models, least_memory):
    part = recipient.head(10)
    chain = Chain(models, 1, "fusion")
    held = sum(array.nbytes for name, array in chain._loaded.values.items() if name != "price_spent")
    least = least_memory(part, models, 10)
    assert chain.fixed_bytes > held + sum(pools.weight.nbytes for pools in chain._loaded.steps[0].pools)
    assert least > chain.fixed_bytes
    assert least_memory(part, models, 1) < least, "the other sets of donor weights are not loaded"
    with pytest.raises(FusingError, match=f"models and donors take {chain.fixed_bytes:,}"):
        fuse(part, models, implicates=10, memory_limit=least - 1)
    assert fuse(part, models, implicates=10, memory_limit=least).num_rows == 100
