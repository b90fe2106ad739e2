"""Made-up donor and recipient households of the usual shape: 30 predictors, 12 fusion variables, price steps.

All households are of one population: how its variables depend on each other comes from a seed of its own.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from fusion_pipeline.fusion.specification import FusionPlan, FusionStep


def predictors(numbers: int, ranks: int, classes: int) -> tuple[str, ...]:
    """Name predictors by kind: a number, an ordered and an unordered class."""
    counts = {"number": numbers, "rank": ranks, "class": classes}
    return tuple(f"{kind}_{j}" for kind, count in counts.items() for j in range(count))


PREDICTORS = predictors(18, 8, 4)
WIDE = predictors(36, 16, 8)
SOLO = ("use_1", "use_2", "use_3", "cooling", "secure", "months")
SHARES = ("share_1", "share_2", "share_3")
PRICED = ("use_1", "use_2", "use_3")


def make_households(rows: int, seed: int, names: Sequence[str] = PREDICTORS) -> pd.DataFrame:
    """Draw households with the predictors named; fusion variables depend on predictors and on each other."""
    random, population = np.random.default_rng(seed), np.random.default_rng(0)
    common = random.normal(size=(rows, 4))
    frame: dict[str, object] = {"year": np.full(rows, 2015, np.int16), "hid": np.arange(rows)}
    latent = {}
    for name in names:
        latent[name] = common @ population.normal(size=4) * 0.4 + random.normal(size=rows)
        if name.startswith("number"):
            frame[name] = latent[name].astype(np.float32)
        else:
            groups = 8 if name.startswith("rank") else 10
            codes = np.clip(np.floor(groups * (latent[name] + 3) / 6), 0, groups - 1).astype(np.int8)
            ordered = name.startswith("rank")
            frame[name] = pd.Categorical.from_codes(codes, [str(g) for g in range(groups)], ordered=ordered)
    signal = common[:, 0] + 0.5 * latent["number_0"] * latent["rank_0"] + 0.3 * latent["class_0"]
    frame["weight"] = random.gamma(4, 1, rows)
    frame["use_1"] = np.exp(9 + 0.4 * signal + 0.5 * random.normal(size=rows)).round()
    for name, share in (("use_2", 0.55), ("use_3", 0.1)):
        has = random.random(rows) < 1 / (1 + np.exp(-np.log(share / (1 - share)) - 0.5 * common[:, 1]))
        frame[name] = np.where(has, np.exp(8 + 0.3 * signal + 0.5 * random.normal(size=rows)).round(), 0)
    frame["cooling"] = pd.Categorical.from_codes(
        np.clip(np.floor(signal + random.normal(size=rows) + 1.5), 0, 3).astype(np.int8),
        ["none", "room", "both", "central"],
    )
    frame["secure"] = signal + random.logistic(size=rows) > -1
    frame["months"] = random.poisson(np.exp(0.3 * common[:, 2]))
    parts = np.exp(0.3 * common[:, :3] + 0.5 * random.normal(size=(rows, 3)))
    for j, name in enumerate(SHARES):
        frame[name] = parts[:, j] / parts.sum(axis=1)
    for j, name in enumerate(PRICED):
        price = np.exp(-3 + 0.2 * latent["class_1"] + 0.1 * j + 0.2 * random.normal(size=rows))
        frame[f"spent_{j + 1}"] = np.asarray(frame[name]) * price
    return pd.DataFrame(frame)


def make_plan(names: Sequence[str] = PREDICTORS) -> FusionPlan:
    """Fuse six variables one by one, three shares as a block, and three expenditures as prices."""
    chained = FusionPlan.chained([*SOLO, SHARES], names, "weight")
    prices = tuple(
        FusionStep((f"price_{j + 1}",), ("class_0", "class_1", use), universe=use, outliers_by="class_1")
        for j, use in enumerate(PRICED)
    )
    return FusionPlan(
        (*chained.steps, *prices),
        "weight",
        {f"spent_{j + 1}": (f"price_{j + 1}", use) for j, use in enumerate(PRICED)},
        tuple(step.variables[0] for step in prices),
    )
