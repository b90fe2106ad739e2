"""Households of the simulated world and the people in them, as they are, before any survey asks.

Belongs here: characteristics, in natural units (years, dollars, counts), and their dependence on each other
and on the place. Does not belong here: energy (`energy.py`), the codes of a survey (`acs.py`, `recs.py`).

All coefficients are the simulation's own; they aim at plausible national levels, not at any estimate.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fusion_pipeline.simulate.people import People, draw_origin, draw_people, pick
from fusion_pipeline.simulate.place import Places

Array = np.ndarray

HEAT_FUELS = ("gas", "propane", "electricity", "oil", "coal", "wood", "solar", "other", "none")
MAX_CHILDREN, MAX_OTHERS = 6, 4
GENERATIONS = 46
"""Years from which on a child is taken for a grandchild."""
MOST_SECURITY = 30_000
"""Dollars of Social Security a year; what the retired have beyond it and their pension are interest and dividends."""
SUBFAMILY = 0.09
"""Share of grown relatives who are a family of their own within the household."""


@dataclass(frozen=True)
class Households:
    """Occupied housing units; arrays are (n,)."""

    place: Array
    urban: Array
    """Position in `URBAN_TYPES`."""
    size: Array
    children: Array
    couple: Array
    """0 none, 1 married, 2 unmarried partners."""
    relatives: Array
    """Whether anybody but the reference person is a relative."""
    income: Array
    tenure: Array
    """0 mortgage, 1 owned clear, 2 rented, 3 without rent."""
    dwelling: Array
    """0 mobile home, 1 detached, 2 attached; of units 3: 2, 4: 3-4, 5: 5-9, 6: 10-19, 7: 20-49, 8: 50 or more."""
    built: Array
    """Year."""
    moved: Array
    """Years since the reference person moved in."""
    rooms: Array
    bedrooms: Array
    area: Array
    """Square feet."""
    fuel: Array
    """Main heating fuel, position in `HEAT_FUELS`."""
    uses_gas: Array
    uses_propane: Array
    electricity_payer: Array
    gas_payer: Array
    """Both: 0 the household, 1 in the rent, 2 with the electricity, 3 not used."""
    vehicles: Array
    internet: Array
    computers: Array
    tablets: Array
    refrigerators: Array
    stoves: Array
    food_stamps: Array
    value: Array
    """Dollars, were it sold."""
    rent: Array
    """Dollars a month, were it let."""
    people: People

    def __len__(self) -> int:
        return len(self.place)

    def of_reference(self, column: str) -> Array:
        """Return a person's column for the reference persons, (n,)."""
        return getattr(self.people, column)[self.people.order == 1]

    @property
    def grandparents(self) -> Array:
        """Whether the reference person brings up children far younger, and none of their parents is there, (n,)."""
        people = self.people
        child = people.age < 18
        parent = (people.relation == 2) & ~child
        far = child & (self.of_reference("age")[people.household] - people.age >= GENERATIONS)
        return self._some(far) & ~self._some(parent)

    @property
    def grown_relatives(self) -> Array:
        """Number of grown children and other relatives, who may be families of their own, (n,)."""
        people = self.people
        grown = np.isin(people.relation, (2, 10)) & (people.age >= 18)
        return np.bincount(people.household, grown, minlength=len(self)).astype(int)

    def _some(self, who: Array) -> Array:
        return np.bincount(self.people.household, who, minlength=len(self)) > 0


def draw_households(
    places: Places, place: Array, urban: Array, year: int, rng: np.random.Generator
) -> Households:
    """Draw the households of given places and urban types.

    Parameters
    ----------
    place : (n,) rows of `places`.
    urban : (n,) positions in `URBAN_TYPES`.
    year : int
        Year of the survey: nothing is built later.
    """
    n = len(place)

    def chance(logit: Array | float) -> Array:
        return rng.random(n) < 1 / (1 + np.exp(-np.broadcast_to(logit, n)))

    rural = urban == 2
    age = np.floor(18 + 74 * rng.beta(2.0, 2.3, n)).astype(int)
    hispanic, race = draw_origin(places, place, age, rng)
    schooling = (
        places.schooling[place]
        + 0.45 * (race == 3)
        - 0.30 * (race == 1)
        - 0.65 * hispanic
        - 0.006 * np.abs(age - 40)
        + rng.normal(0.1, 1, n)
    )
    married = chance(0.5 - 0.0016 * (age - 52) ** 2 + 0.35 * schooling - 0.8 * (race == 1))
    couple = np.where(married, 1, np.where(chance(-1.9 - 0.03 * (age - 35)), 2, 0))
    fertile = np.exp(-((age - 37) ** 2) / 130)
    children = np.minimum(
        rng.poisson(fertile * np.where(couple > 0, 2.2, 0.9) * (1 + 0.3 * hispanic)), MAX_CHILDREN
    )
    others = np.minimum(rng.poisson(np.where(couple > 0, 0.40, 0.46) * (1 + 0.7 * hispanic)), MAX_OTHERS)
    size = 1 + (couple > 0) + children + others
    people = draw_people(age, hispanic, race, schooling, couple, children, others, rng)

    hours = np.bincount(people.household, people.hours, minlength=n)
    head_hours = people.hours[people.order == 1]
    income = np.exp(
        10.04
        + places.income[place]
        + 0.30 * schooling
        + 0.40 * np.log1p(hours / 20)
        + 0.25 * (head_hours >= 35)
        + 0.18 * (age >= 62)
        + 0.10 * (couple == 1)
        + 0.012 * np.minimum(np.maximum(age - 25, 0), 25)
        + rng.normal(0, 0.56, n)
    )
    income = np.where(rng.random(n) < 0.008, 0, np.where(rng.random(n) < 0.001, -0.1 * income, income))
    wealth = np.log(np.maximum(income, 3000) / 55_000)
    owner = chance(
        0.15 + 0.95 * wealth + 0.045 * (age - 48) + 0.7 * married + 0.5 * rural - 0.5 * (race == 1)
    )
    clear = chance(-0.9 + 0.07 * (age - 55))
    tenure = np.where(owner, np.where(clear, 1, 0), np.where(rng.random(n) < 0.05, 3, 2))
    dwelling = _dwelling(owner, urban, places.density[place], wealth, size, rng)
    single = (dwelling == 1) | (dwelling == 2)
    built = 1973 + places.age_of_stock[place] + 5 * wealth + 6 * (dwelling == 0) + rng.normal(0, 22, n)
    # What would be built after the survey is mirrored into the years before it.
    built = np.clip(np.floor(np.where(built >= year + 1, 2 * (year + 1) - built, built)), 1890, year).astype(
        int
    )
    moved = np.minimum(
        rng.exponential(np.where(owner, 0.33 * (age - 16), 0.11 * (age - 14))), np.maximum(age - 18, 1)
    )
    moved = np.minimum(moved, year - built + 0.5)
    rooms = np.clip(
        np.round(4.3 + 1.6 * single + 0.7 * owner + 0.6 * wealth + 0.28 * (size - 2) + rng.normal(0, 1.1, n)),
        1,
        16,
    ).astype(int)
    bedrooms = np.clip(np.round(0.52 * rooms - 0.2 + rng.normal(0, 0.45, n)), 0, np.minimum(rooms, 8)).astype(
        int
    )
    area = np.exp(6.35 + 0.145 * rooms + 0.25 * single + 0.12 * wealth + rng.normal(0, 0.25, n))

    served = rng.random(n) < np.minimum(1.35 * places.gas[place], 0.97) * np.where(rural, 0.5, 1.0)
    fuel = _heating_fuel(places, place, rural, dwelling, served, rng)
    uses_gas = (fuel == 0) | (served & chance(0.4))
    uses_propane = (fuel == 1) | (~uses_gas & chance(np.where(rural, -2.0, -3.6)))
    flat = dwelling >= 3
    included = ~owner & chance(np.where(flat, -1.4, -2.9))
    electricity_payer = np.where(included, 1, np.where(rng.random(n) < 0.006, 3, 0))
    gas_included = included | (~owner & flat & chance(-0.9))
    combined = chance(-1.9)
    gas_payer = np.where(uses_gas, np.where(gas_included, 1, np.where(combined, 2, 0)), 3)

    online = chance(1.6 + 0.9 * wealth + 0.5 * schooling - 0.045 * (age - 48))
    computers = np.minimum(
        rng.poisson(np.exp(0.05 + 0.35 * wealth + 0.2 * schooling + 0.5 * online - 0.008 * (age - 50))), 9
    )
    tablets = np.minimum(rng.poisson(np.exp(-0.35 + 0.3 * wealth + 0.45 * online - 0.014 * (age - 50))), 7)
    value = np.exp(
        11.35
        + 2.2 * places.income[place]
        + 0.25 * places.density[place]
        + 0.16 * rooms
        + 0.25 * wealth
        + rng.normal(0, 0.4, n)
    )
    rent = np.exp(6.72 + 1.2 * places.income[place] + 0.06 * rooms + 0.22 * wealth + rng.normal(0, 0.3, n))
    return Households(
        place=place,
        urban=urban,
        size=size,
        children=children,
        couple=couple,
        relatives=np.bincount(people.household, np.isin(people.relation, (1, 2, 6, 10)), minlength=n) > 0,
        income=income,
        tenure=tenure,
        dwelling=dwelling,
        built=built,
        moved=moved,
        rooms=rooms,
        bedrooms=bedrooms,
        area=area,
        fuel=fuel,
        uses_gas=uses_gas,
        uses_propane=uses_propane,
        electricity_payer=electricity_payer,
        gas_payer=gas_payer,
        vehicles=_vehicles(wealth, size, places.density[place], rng),
        internet=online,
        computers=computers,
        tablets=tablets,
        refrigerators=np.where(
            rng.random(n) < 0.003,
            0,
            1 + np.minimum(rng.poisson(np.exp(-1.4 + 0.4 * owner + 0.25 * wealth)), 5),
        ),
        stoves=(rng.random(n) < 0.985).astype(int),
        food_stamps=chance(-2.6 - 1.3 * wealth + 0.3 * children),
        value=value,
        rent=rent,
        people=people,
    )


def _dwelling(
    owner: Array, urban: Array, density: Array, wealth: Array, size: Array, rng: np.random.Generator
) -> Array:
    rural, town = urban == 2, urban == 1
    flats = np.exp(0.45 * density - 0.25 * wealth - 0.22 * (size - 2) - 1.6 * rural - 0.4 * town)
    owned = np.stack(
        [
            np.exp(-2.9 - 1.1 * wealth + 1.4 * rural + 0.6 * town),
            np.exp(1.5 + 0.3 * wealth),
            np.exp(-0.75 + 0.3 * density - 0.8 * rural),
            *(share * flats for share in (0.10, 0.06, 0.06, 0.06, 0.05, 0.10)),
        ],
        axis=1,
    )
    rented = np.stack(
        [
            np.exp(-1.7 - 0.6 * wealth + 1.3 * rural + 0.5 * town),
            np.exp(0.55 + 0.2 * wealth + 0.15 * (size - 2) + 0.4 * rural),
            np.exp(-1.0 + 0.15 * density - 0.5 * rural),
            *(share * flats for share in (0.60, 0.68, 0.75, 0.78, 0.65, 1.05)),
        ],
        axis=1,
    )
    return pick(rng, np.where(owner[:, None], owned, rented))


def _heating_fuel(
    places: Places, place: Array, rural: Array, dwelling: Array, served: Array, rng: np.random.Generator
) -> Array:
    n = len(place)
    cold = places.hdd[place] / 5000
    oil = places.oil[place] * np.where(served, 0.35, 1.6)
    weights = np.stack(
        [
            np.where(served, 4.5, 0.0),
            np.where(served, 0.01, np.where(rural, 0.42, 0.05)) * np.minimum(cold + 0.2, 1.2),
            0.45 + 0.55 * (dwelling >= 4) + 0.5 * (dwelling == 0) + 1.2 * np.maximum(1 - cold, 0),
            2.4 * oil,
            np.full(n, 0.003),
            np.where(rural, 0.22, 0.01) * np.minimum(cold, 1.4),
            np.full(n, 0.001),
            np.full(n, 0.012),
            np.where(cold < 0.25, 0.45, 0.006),
        ],
        axis=1,
    )
    return pick(rng, weights)


def _vehicles(wealth: Array, size: Array, density: Array, rng: np.random.Generator) -> Array:
    some = rng.random(len(size)) < 1 / (1 + np.exp(-(2.6 + 1.1 * wealth - 0.45 * density)))
    more = rng.poisson(np.exp(-0.35 + 0.3 * wealth + 0.18 * (size - 2) - 0.08 * density))
    return np.where(some, 1 + np.minimum(more, 5), 0)
