"""A population whose conditional distributions are known, and a small model set trained on it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from fusion_pipeline.fusion.specification import FusionPlan, FusionStep
from fusion_pipeline.fusion.training import train

GROUPS = ("a", "b", "c")
QUICK = {"leaves": (6,), "patience": 20, "folds": 4, "centres": 300}


def make_population(n: int, seed: int) -> pd.DataFrame:
    """Draw households: `size` depends on group and income, `fuel` is zero-inflated, `price` local, `cool` a class."""
    random = np.random.default_rng(seed)
    group = random.integers(0, 3, n)
    income = random.normal(size=n)
    size = 100 + 30 * group + 10 * income + random.normal(scale=10, size=n)
    has_fuel = random.random(n) < np.array([0.2, 0.5, 0.8])[group]
    fuel = np.where(has_fuel, np.exp(3 + 0.01 * size + random.normal(scale=0.3, size=n)), 0.0)
    price = 1 + 0.5 * group + random.uniform(0, 0.2, n)
    cool = np.where(random.random(n) < 0.25 + 0.25 * group, "yes", "no")
    first = random.uniform(0, 0.6, n)
    second = (1 - first) * random.uniform(0.2, 0.8, n)
    return pd.DataFrame(
        {
            "hid": np.arange(n) + 1000,
            "year": np.int16(2015),
            "weight": random.uniform(0.5, 1.5, n),
            "group": pd.Categorical.from_codes(group, GROUPS),
            "income": income,
            "tenure": random.random(n) < 0.6,
            "size": size.round().astype("int32"),
            "fuel": fuel,
            "spent": fuel * price,
            "cool": pd.Categorical(cool, ["no", "yes", "other"]),
            "share_1": first,
            "share_2": second,
            "share_3": 1 - first - second,
        }
    )


def make_plan() -> FusionPlan:
    """Chain a number, a zero-inflated number, a class, a block of shares and a price step."""
    x = ("group", "income", "tenure")
    return FusionPlan(
        (
            FusionStep(("size",), x),
            FusionStep(("fuel",), (*x, "size")),
            FusionStep(("cool",), (*x, "fuel")),
            FusionStep(("share_1", "share_2", "share_3"), (*x, "size")),
            FusionStep(("price_spent",), ("group", "fuel"), universe="fuel", outliers_by="group"),
        ),
        "weight",
        {"spent": ("price_spent", "fuel")},
        ("price_spent",),
    )


@pytest.fixture(scope="session")
def donor() -> pd.DataFrame:
    return make_population(6000, seed=1)


@pytest.fixture(scope="session")
def recipient() -> pd.DataFrame:
    return make_population(3000, seed=2)[["hid", "year", "group", "income", "tenure"]]


@pytest.fixture(scope="session")
def models(donor, tmp_path_factory):
    return train(
        donor, make_plan(), out=tmp_path_factory.mktemp("models") / "set", seed=3, threads=2, **QUICK
    )
