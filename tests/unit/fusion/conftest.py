"""A population whose conditional distributions are known, and a small model set trained on it."""

from __future__ import annotations

import pandas as pd
import pytest

from fusion_pipeline.errors import FusingError
from fusion_pipeline.examples import make_population
from fusion_pipeline.fusion.fusing import fuse
from fusion_pipeline.fusion.specification import FusionPlan, FusionStep
from fusion_pipeline.fusion.training import train

QUICK = {"leaves": (6,), "patience": 20, "folds": 4, "centres": 300}


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


@pytest.fixture(scope="session")
def least_memory():
    """The smallest memory limit that `fuse` takes, as its message says it."""

    def find(recipient, models, implicates, threads=1) -> int:
        with pytest.raises(FusingError, match="fuse, memory_limit: is 1 bytes") as refused:
            fuse(recipient, models, implicates=implicates, threads=threads, memory_limit=1)
        return int(refused.value.remedy.split()[1].replace(",", ""))

    return find
