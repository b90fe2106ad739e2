"""How households live in their homes: the outcomes that the AHS observes.

Belongs here: the truth. Does not belong here: how the survey asks (`ahs.py`).

A latent strain of the household (income, tenure, age of the building, hardship of the place) moves cold winters, food
security and the rating of the home; improvements follow ownership and income; size in square feet is the home's own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fusion_pipeline.simulate.energy import Energy
from fusion_pipeline.simulate.place import Places
from fusion_pipeline.simulate.population import Households

Array = np.ndarray

FOOD_SECURITY = tuple(
    f"{degree} food security among adults" for degree in ("High", "Marginal", "Low", "Very low", "Unknown")
)
UNIT_SIZES = (
    "Less than 500 square feet",
    "500 to 749 square feet",
    "750 to 999 square feet",
    "1,000 to 1,499 square feet",
    "1,500 to 1,999 square feet",
    "2,000 to 2,499 square feet",
    "2,500 to 2,999 square feet",
    "3,000 to 3,999 square feet",
    "4,000 square feet or more",
)
_SIZE_BREAKS = (500, 750, 1000, 1500, 2000, 2500, 3000, 4000)


@dataclass(frozen=True)
class Quality:
    """Outcomes of one year; arrays are (n,)."""

    cold: Array
    hmrenew: Array
    fsstatus: Array
    """Position in `FOOD_SECURITY`."""
    ratinghs: Array
    """1 to 10."""
    unitsize: Array
    """Position in `UNIT_SIZES`."""


def draw_quality(places: Places, homes: Households, energy: Energy, rng: np.random.Generator) -> Quality:
    """Draw what the AHS observes of these households."""
    n = len(homes)
    wealth = np.log(np.maximum(homes.income, 3000) / 55_000)
    old = np.clip((1975 - homes.built) / 40, -1, 2)
    renter, hdd = homes.tenure >= 2, places.hdd[homes.place] / 5000
    strain = (
        -0.6 * wealth + 0.3 * renter + places.hardship[homes.place] + 0.15 * np.minimum(homes.children, 3)
    )

    def chance(logit: Array) -> Array:
        return rng.random(n) < 1 / (1 + np.exp(-logit))

    troubled = energy.noheatbroke | energy.noheatel | energy.noheatng | energy.noheatbulk
    food = np.digitize(strain + 0.9 * rng.normal(size=n), (1.0, 1.6, 2.2))
    rating = np.round(8.6 - 0.35 * old - 0.4 * strain + 1.3 * rng.normal(size=n))
    return Quality(
        cold=chance(-3.4 + 0.5 * strain + 0.4 * old + 0.4 * hdd + 2.0 * troubled) & (homes.fuel != 8),
        hmrenew=chance(-1.0 + 0.35 * wealth + 0.25 * old) & ~renter,
        fsstatus=np.where(rng.random(n) < 0.01, len(FOOD_SECURITY) - 1, food),
        ratinghs=np.clip(rating, 1, 10).astype(int),
        unitsize=np.digitize(homes.area, _SIZE_BREAKS),
    )
