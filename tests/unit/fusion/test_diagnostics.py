"""Common support and use of donors, against what is known of made-up tables."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ks_2samp

import fusion_pipeline as fp
from fusion_pipeline.examples import make_population
from fusion_pipeline.fusion import drawing, support
from fusion_pipeline.fusion.support import common_support, poor_support
from fusion_pipeline.storage.tables import TableRef, write_table


def row(donor, recipient, **weights) -> pd.Series:
    frames = [
        pd.DataFrame({"x": side} | {n: w for n, w in weights.items() if len(w) == len(side)})
        for side in (donor, recipient)
    ]
    names = {name: name for name in weights}
    return common_support(*frames, ["x"], **names).iloc[0]


@given(st.integers(0, 999), st.floats(-1, 1), st.sampled_from([50, 300]))
def test_ks_and_standardised_difference_are_those_of_the_textbook(seed, shift, n):
    random = np.random.default_rng(seed)
    donor, recipient = random.normal(size=n), random.normal(shift, 1.3, 200)
    found = row(donor, recipient)
    assert found.ks == pytest.approx(ks_2samp(donor, recipient).statistic, abs=1e-9)
    pooled = np.sqrt((donor.var() + recipient.var()) / 2)
    assert found.difference == pytest.approx((recipient.mean() - donor.mean()) / pooled)
    assert found.outside == pytest.approx(((recipient < donor.min()) | (recipient > donor.max())).mean())


def test_equal_tables_overlap_wholly_and_disjoint_ones_not_at_all():
    values = np.random.default_rng(1).normal(size=3000)
    same, apart = row(values, values), row(values, values + 100)
    assert (same.overlap, same.ks, same.outside, same.difference) == pytest.approx((1, 0, 0, 0))
    assert (apart.overlap, apart.outside) == (0, 1)
    assert apart.ks == pytest.approx(1)


def test_overlap_of_two_normals_is_the_area_under_both():
    random = np.random.default_rng(2)
    found = row(random.normal(size=40_000), random.normal(1, 1, 40_000))
    assert found.overlap == pytest.approx(0.617, abs=0.02)  # 2 Φ(-1/2)


def test_categories_compare_shares_and_count_levels_no_donor_has():
    donor = pd.Categorical(["a"] * 60 + ["b"] * 40)
    recipient = pd.Categorical(["a"] * 30 + ["b"] * 50 + ["z"] * 20)
    found = row(donor, recipient)
    assert found.overlap == pytest.approx(0.3 + 0.4)
    assert found.outside == pytest.approx(0.2)
    three = [pd.Categorical(list(labels), ["a", "b", "c"]) for labels in ("abcc", "aabc")]
    assert pd.isna(row(*three).ks), "unordered levels have no distribution function"


def test_weights_count_and_missing_values_are_told_apart():
    found = row(np.array([0.0, 1, np.nan]), np.array([0.0, 1, np.nan, np.nan]), weight=np.array([1.0, 3, 4]))
    assert (found.donor_missing, found.recipient_missing) == pytest.approx((0.5, 0.5))
    assert found.difference == pytest.approx((0.5 - 0.75) / np.sqrt((0.1875 + 0.25) / 2))


def test_a_table_on_disk_in_pieces_gives_what_a_frame_gives(donor, recipient, tmp_path, monkeypatch):
    write_table(tmp_path / "r.parquet", pa.Table.from_pandas(recipient, preserve_index=False))
    names = ["group", "income", "tenure"]
    whole = common_support(donor, recipient, names, weight="weight")
    monkeypatch.setattr(support, "_ROWS", 700)
    pieces = common_support(donor, TableRef(tmp_path / "r.parquet"), names, weight="weight")
    pd.testing.assert_frame_equal(whole, pieces)
    assert poor_support(whole) == []


def test_a_shifted_predictor_is_named_poor_and_its_recipients_far(donor, recipient, models):
    shifted = recipient.head(400).copy()
    shifted["income"] = shifted["income"] + 3
    near = fp.diagnose(donor, recipient.head(400), models)
    far = fp.diagnose(donor, shifted, models)
    assert poor_support(far.support) == ["income"]
    assert set(far.reach.step) == {"size", "fuel", "share_1+share_2+share_3", "price_spent"}
    reach = [found.reach.set_index("step") for found in (near, far)]
    assert reach[0].far.max() < 0.1
    assert ((reach[1].far >= reach[1].very_far) & (reach[1].far <= 1)).all()
    assert reach[1].centres["size"] == len(models.pools(0).centres)


def test_a_record_is_far_when_no_centre_is_near(recipient, models, monkeypatch):
    before = fp.diagnose(make_population(50, 1), recipient.head(50), models).reach.set_index("step")
    place = drawing.PoolDraw.place

    def push(self, expectations):
        points = place(self, expectations)
        points[7] += 100
        return points

    monkeypatch.setattr(drawing.PoolDraw, "place", push)
    after = fp.diagnose(make_population(50, 1), recipient.head(50), models).reach.set_index("step")
    assert after.farthest_row["size"] == 7
    assert after.farthest["size"] > 100
    assert after.very_far["size"] >= before.very_far["size"] + 0.02 - 1e-9


def test_a_recipient_who_unites_what_no_donor_does_is_found_far_from_all(tmp_path):
    # Donors have a heat pump or a pool or neither; who has both is expected to use more than any donor.
    random = np.random.default_rng(8)

    def households(n: int) -> pd.DataFrame:
        kind = random.integers(0, 3, n)
        return pd.DataFrame({"pump": kind == 1, "pool": kind == 2, "income": random.normal(size=n)})

    donor, recipient = households(600), households(200)
    donor["use"] = 10 * donor.pump + 10 * donor.pool + donor.income + random.normal(size=600)
    settings = {"leaves": (2,), "folds": 3, "bootstraps": 2, "out": tmp_path / "m"}
    models = fp.train(donor, y=["use"], x=["pump", "pool", "income"], **settings)
    [before] = fp.diagnose(donor, recipient, models).reach.itertuples()
    recipient.loc[137, ["pump", "pool"]] = True
    found = fp.diagnose(donor, recipient, models)
    [after] = found.reach.itertuples()
    assert poor_support(found.support) == [], "no predictor shows it by itself"
    assert after.farthest_row == 137 != before.farthest_row
    assert after.farthest > 2 > before.farthest
    assert after.very_far == pytest.approx(1 / 200)
    assert before.very_far == 0


def test_use_counts_the_draws_that_fuse_makes(recipient, models, donor):
    part = recipient.head(500)
    use = fp.diagnose(donor, part, models, implicates=[2], seed=5).use.set_index("step")
    drawn = fp.fuse(part, models, implicates=[2], seed=5).to_pandas()
    assert use.loc["size", "draws"] == 500
    assert use.loc["fuel", "draws"] == (drawn.fuel > 0).sum() == use.loc["price_spent", "draws"]
    counts = drawn.fuel[drawn.fuel > 0].value_counts()
    assert use.loc["fuel", "used"] == len(counts)
    assert use.loc["fuel", "effective"] == pytest.approx(counts.sum() ** 2 / (counts**2).sum())
    assert use.loc["fuel", "largest_share"] == pytest.approx(counts.max() / counts.sum())
    assert (use.effective <= use.used + 1e-9).all()
    assert (use.used <= use.donors).all()


def test_tables_are_written_side_by_side(donor, recipient, models, tmp_path):
    found = fp.diagnose(donor, recipient.head(50), models)
    found.write(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["reach.parquet", "support.parquet", "use.parquet"]
    pd.testing.assert_frame_equal(TableRef(tmp_path / "use.parquet").to_pandas(), found.use)


def test_poor_predictors_and_far_recipients_are_warned_of(donor, recipient, models, caplog):
    with caplog.at_level("WARNING", logger="fusion_pipeline"):
        fp.diagnose(donor, recipient.head(400), models)
    assert not caplog.messages
    away = recipient.head(400).assign(income=lambda f: f["income"] + 3)
    fp.diagnose(donor, away, models)
    assert any(m.startswith("predictor income is poorly supported: overlap 0.") for m in caplog.messages)
    assert not any("predictor group" in m for m in caplog.messages)


def test_a_step_whose_recipients_are_far_is_warned_of(recipient, models, monkeypatch, caplog):
    place = drawing.PoolDraw.place
    monkeypatch.setattr(drawing.PoolDraw, "place", lambda self, expected: place(self, expected) + 100)
    fp.diagnose(make_population(50, 1), recipient.head(50), models)
    assert "step size: 100.0 % of recipients are far from every donor" in caplog.messages
