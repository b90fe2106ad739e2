"""Weaknesses of the reference that no other test shows to be gone, and the list of all of them."""

import re
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

import fusion_pipeline as fp
from fusion_pipeline.errors import FusingError
from fusion_pipeline.examples import make_population
from fusion_pipeline.fusion.chain import Chain
from fusion_pipeline.fusion.donors import load_donors
from fusion_pipeline.fusion.recipient import open_recipient
from fusion_pipeline.fusion.rules import table_lookup
from fusion_pipeline.fusion.specification import FusionPlan
from fusion_pipeline.fusion.tasks import step_tasks
from fusion_pipeline.fusion.training import train

ROOT = Path(__file__).parents[3]
QUICK = {"leaves": (4,), "patience": 3, "folds": 3, "centres": 60, "bootstraps": 0}


def test_models_of_amounts_are_fitted_and_judged_on_rows_that_have_one():
    donor = make_population(300, 1)
    plan = FusionPlan.chained(["fuel"], ["group"])
    zero, value = step_tasks(load_donors(donor, plan, None), plan, 0, 3, (0.25, 0.75), 1)
    assert len(zero.rows) == 300
    assert (donor.fuel.to_numpy()[value.rows] > 0).all()
    assert len(value.rows) == len(value.fold) == (donor.fuel > 0).sum()


def test_a_spike_that_is_not_at_zero_survives(tmp_path):
    random = np.random.default_rng(1)
    x = random.normal(size=800)
    hours = np.where(random.random(800) < 0.35, 40.0, 30 + 5 * x + random.normal(scale=4, size=800))
    models = train(pd.DataFrame({"x": x, "hours": hours}), y=["hours"], x=["x"], out=tmp_path / "m", **QUICK)
    drawn = fp.fuse(pd.DataFrame({"x": random.normal(size=3000)}), models, implicates=1, retain=())
    assert abs((drawn["hours"].to_numpy() == 40).mean() - (hours == 40).mean()) < 0.06


def test_what_all_implicates_share_is_predicted_once(recipient, models):
    source = open_recipient(recipient.head(20), models, ())
    [block] = source.blocks()
    widths = {}

    def watch(drawn):
        if drawn.expected:
            [expected] = drawn.expected  # All three are drawn from the first set of donor weights.
            widths[drawn.step.name] = expected.shape[2]

    lookup = table_lookup(block, "recipient", FusingError)
    Chain(models, 1, "fusion").run(source.features(block), 0, [1, 11, 21], lookup, watch)
    assert widths["size"] == 1, "its predictors are the recipient's own"
    assert widths["fuel"] == 3, "it follows size"


def test_only_the_donors_of_a_pool_are_stored(models):
    pools = models.pools(0)
    assert len(pools.donors) == pools.sizes.sum() < 100 * len(pools.centres)
    assert len(np.unique(pools.sizes)) > 10


def test_nothing_temporary_stays(tmp_path, monkeypatch):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    donor, recipient = fp.example_tables(200, 50)
    models = train(donor, y=["size"], x=["group"], out=tmp_path / "out" / "m", **QUICK)
    fp.fuse(recipient, models, implicates=2, out=tmp_path / "out" / "f")
    gaps = donor[["group", "size"]].copy()
    gaps.loc[:9, "size"] = None
    fp.impute(gaps, **QUICK | {"bootstraps": 0})
    assert not list((tmp_path / "temporary").iterdir())
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["f", "m"]


def test_every_weakness_has_a_line_and_the_tests_it_names_exist():
    text = (ROOT / "docs" / "weaknesses.md").read_text()
    rows = re.findall(r"^\| ([WSR]\d+) \|", text, re.M)
    assert rows == [f"W{i}" for i in range(1, 15)] + [f"S{i}" for i in range(1, 8)] + [
        f"R{i}" for i in range(1, 14)
    ]
    cited = re.findall(r"`([\w/]+\.py)::(\w+)`", text)
    missing = [
        f"{path}::{name}"
        for path, name in cited
        if not re.search(rf"^def {name}\(", (ROOT / "tests" / "unit" / path).read_text(), re.M)
    ]
    assert not missing
