"""Households on which other software was run: made up, seeded, the same every time.

`python tests/reference/households.py` writes `households.csv` again; `agreement.R` reads it. Weights are multiples of
four, so that Fay's half weights are whole numbers.
"""

from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.linalg import hadamard

ROWS, STRATA, IMPLICATES, JACKKNIFE, SUCCESSIVE = 192, 8, 5, 12, 16
PATH = Path(__file__).with_name("households.csv")


def households() -> pd.DataFrame:
    """Eight strata of two halves, replicate weights of six designs, five implicates of one variable."""
    rng = np.random.default_rng(2015)
    stratum, half = np.arange(ROWS) % STRATA, np.arange(ROWS) // STRATA % 2
    weight = 4 * rng.integers(10, 60, ROWS)
    rooms = rng.integers(1, 10, ROWS)
    income = np.round(rng.lognormal(10.8, 0.7, ROWS) + 2_000 * stratum)
    use = np.round(20 + 3 * rooms + income / 10_000 + rng.normal(0, 6, ROWS), 2)
    frame = pd.DataFrame({"hid": np.arange(1, ROWS + 1), "weight": weight})
    frame["place"] = np.array(["east", "north", "west"])[(stratum + rng.integers(0, 2, ROWS)) % 3]
    frame["heat"] = rng.choice(["electricity", "gas", "oil"], ROWS, p=[0.3, 0.5, 0.2])
    frame["rooms"], frame["income"], frame["use"] = rooms, income, use
    frame["late"] = (rng.random(ROWS) < 1 / (1 + np.exp((income - 45_000) / 30_000))).astype(int)
    for m in range(1, IMPLICATES + 1):
        frame[f"fused_{m}"] = np.round(use + rng.normal(0, 5, ROWS), 2)
    factors: dict[str, np.ndarray] = {}
    signs = hadamard(STRATA)
    for r in range(STRATA):
        kept = (signs[r][stratum] > 0) == (half == 0)
        factors[f"brr_{r + 1}"] = np.where(kept, 2.0, 0.0)
        factors[f"fay_{r + 1}"] = np.where(kept, 1.5, 0.5)
        factors[f"jk2_{r + 1}"] = np.where(stratum != r, 1.0, np.where(half == 0, 2.0, 0.0))
    for number, (h, dropped) in enumerate(product(range(STRATA), range(2)), start=1):
        factors[f"jkn_{number}"] = np.where(stratum != h, 1.0, np.where(half == dropped, 0.0, 2.0))
    group = np.arange(ROWS) % JACKKNIFE
    for r in range(JACKKNIFE):
        factors[f"jk1_{r + 1}"] = np.where(group == r, 0.0, JACKKNIFE / (JACKKNIFE - 1))
    # Successive differences: rows of a Hadamard matrix, two following ones a record (Fay and Train 1995).
    rows = hadamard(SUCCESSIVE)[1:]
    first, second = rows[np.arange(ROWS) % len(rows)], rows[(np.arange(ROWS) + 1) % len(rows)]
    for r in range(SUCCESSIVE):
        factors[f"sdr_{r + 1}"] = 1 + 2**-1.5 * (first[:, r] - second[:, r])
    replicates = {name: np.round(weight * factor, 1) for name, factor in factors.items()}
    return pd.concat([frame, pd.DataFrame(replicates)], axis=1)


if __name__ == "__main__":
    households().to_csv(PATH, index=False, float_format="%.10g", lineterminator="\n")
