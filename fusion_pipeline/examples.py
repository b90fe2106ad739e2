"""Made-up households to try the library on: two tables with common columns, and what is true of both.

Belongs here: the small population of examples and tests, whose conditional distributions are written down below.
Does not belong here: the simulated surveys (`simulate/`), which mimic real files.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

GROUPS = ("a", "b", "c")
COMMON = ("hid", "year", "group", "income", "tenure")
"""Columns of the recipient: keys and predictors."""


def example_tables(
    donors: int = 400, recipients: int = 200, seed: int = 1
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Make a donor and a recipient of one population, to try the library on.

    Parameters
    ----------
    donors, recipients : int
        Households of each.
    seed : int

    Returns
    -------
    donor : frame with keys (`hid`, `year`), `weight`, the predictors `group` (category), `income` (number) and `tenure`
        (truth value), and all that is described in `make_population`
    recipient : frame with the keys and the three predictors

    Examples
    --------
    >>> import fusion_pipeline as fp
    >>> donor, recipient = fp.example_tables()
    >>> list(recipient.columns)
    ['hid', 'year', 'group', 'income', 'tenure']
    >>> len(donor), len(recipient)
    (400, 200)
    """
    return make_population(donors, seed), make_population(recipients, seed + 1)[list(COMMON)]


def make_population(n: int, seed: int) -> pd.DataFrame:
    """Draw households of a known distribution.

    Notes
    -----
    `size` is normal with mean 100 + 30 group + 10 income and sd 10, rounded; `fuel` is 0 for 80, 50, 20 % of the groups
    and otherwise log-normal in `size`; `spent` is `fuel` times a price of 1 to 1.2, 1.5 to 1.7 or 2 to 2.2; `cool` is
    "yes" for 25, 50, 75 %, and never "other"; `share_1` to `share_3` add up to one.
    """
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
            "group": pd.Categorical.from_codes(group, dtype=pd.CategoricalDtype(list(GROUPS))),
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
