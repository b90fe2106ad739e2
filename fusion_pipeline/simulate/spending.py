"""What households spend in the quarters of a year, by category, in dollars of 2019.

Belongs here: the truth. Does not belong here: how a survey asks (`cei.py`), energy bills of a year (`energy.py`), of
which the quarters here are parts.

Levels in `made_up_spending.csv` are round figures near published means: `any` is the share of quarters with any
spending, `elasticity` and `size` say how it grows with income and members, `between` and `within` are standard
deviations of logs, of households and of a household's quarters. They are not estimates.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from fusion_pipeline.simulate.energy import Energy
from fusion_pipeline.simulate.population import Households

Array = np.ndarray

QUARTERS = 4


def draw_spending(homes: Households, energy: Energy, rng: np.random.Generator) -> dict[str, Array]:
    """Draw the quarters of every category.

    Returns
    -------
    Category of the accounts -> (n, 4) dollars.
    """
    wealth = np.log(np.maximum(homes.income, 3000) / 55_000)
    size, n = np.log(homes.size / 2.4), len(homes)
    who = {
        "all": np.ones(n, dtype=bool),
        "owner": homes.tenure <= 1,
        "mortgage": homes.tenure == 0,
        "driver": homes.vehicles > 0,
    }
    spending: dict[str, Array] = {}
    # What is left after all else is felt in every category.
    thrift = rng.normal(size=n)
    levels = pd.read_csv(Path(__file__).with_name("made_up_spending.csv"), index_col="category")
    for category, row in levels.to_dict("index").items():
        own = row["between"] * (0.4 * thrift + 0.9 * rng.normal(size=n) - row["between"] / 2)
        mean = row["mean"] / QUARTERS * np.exp(row["elasticity"] * wealth + row["size"] * size + own)
        some = who[row["who"]][:, None] & (rng.random((n, QUARTERS)) < row["any"])
        noise = np.exp(row["within"] * (rng.normal(size=(n, QUARTERS)) - row["within"] / 2))
        spending[str(category)] = mean[:, None] * some / row["any"] * noise
    spending |= _housing(homes, rng) | _bills(homes, energy)
    return {category: np.round(amounts, 2) for category, amounts in spending.items()}


def _housing(homes: Households, rng: np.random.Generator) -> dict[str, Array]:
    """What the ACS asks for too: the same shares of the home's value as there (`acs_columns.py`)."""
    every = np.ones((1, QUARTERS))
    owned = np.where(homes.tenure <= 1, homes.value / QUARTERS, 0)[:, None] * every
    payment = np.where(homes.tenure == 0, 3 * 0.0042 * homes.value, 0)[:, None] * every
    # The longer ago the house was bought, the less of the payment is interest.
    interest = np.clip(0.75 - 0.02 * homes.moved, 0.05, 0.75)[:, None]
    return {
        "mrtgip": payment * interest,
        "mrtgpp": payment * (1 - interest),
        "rent": np.where(homes.tenure == 2, 3 * homes.rent, 0)[:, None] * every,
        "ownval": owned,
        "hinsp": 0.0038 * owned,
        "ptaxp": rng.uniform(0.004, 0.02, len(homes))[:, None] * owned,
    }


def _bills(homes: Households, energy: Energy) -> dict[str, Array]:
    every = np.ones((1, QUARTERS))
    pays = {
        "elec": energy.dollarel * (homes.electricity_payer == 0),
        "ngas": energy.dollarng * (homes.gas_payer == 0),
        "ofuel": energy.dollarlp + energy.dollarfo,
    }
    return {category: year[:, None] / QUARTERS * every for category, year in pays.items()}
