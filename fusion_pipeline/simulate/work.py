"""How the people of the simulated world work: what they do, and how they get there.

Belongs here: the model. Does not belong here: who works, and how long (`people.py`), the codes of a survey (`nhts.py`).

All coefficients are the simulation's own; they aim at the levels of NHTS 2017.
"""

from __future__ import annotations

import numpy as np

from fusion_pipeline.simulate.people import pick

Array = np.ndarray

OCCUPATIONS = ("manufacturing", "sales", "clerical", "professional", "other")
_OCCUPATION_CUTS, _OTHER = (-0.9, 0.0, 0.35), 0.03
WAYS = (
    "none", "walk", "bicycle", "car", "suv", "van", "pickup", "motorcycle", "bus", "commuter rail", "subway", "taxi",
)  # fmt: skip
_WITH_VEHICLE = np.array([5.0, 2.0, 0.5, 52.0, 21.0, 4.5, 10.0, 0.3, 1.8, 0.7, 1.2, 0.3])
_WITHOUT = np.array([6.0, 22.0, 3.5, 22.0, 2.0, 1.0, 1.0, 0.3, 22.0, 3.0, 13.0, 4.0])


def draw_occupations(schooling: Array, rng: np.random.Generator) -> Array:
    """Draw what workers do, positions in `OCCUPATIONS`: the longer at school, the likelier a profession.

    Parameters
    ----------
    schooling : (n,) index of `People`
    """
    usual = np.digitize(schooling + 0.7 * rng.normal(size=len(schooling)), _OCCUPATION_CUTS)
    return np.where(rng.random(len(schooling)) < _OTHER, len(OCCUPATIONS) - 1, usual)


def draw_ways(has_vehicle: Array, rng: np.random.Generator) -> Array:
    """Draw how workers get to work, positions in `WAYS`; none: they work at home.

    Parameters
    ----------
    has_vehicle : (n,) whether the household has any
    """
    return pick(rng, np.where(has_vehicle[:, None], _WITH_VEHICLE, _WITHOUT))
