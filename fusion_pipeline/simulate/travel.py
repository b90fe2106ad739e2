"""Travel of the simulated households: vehicles, trips, fuel, and what they think of the cost of travel.

Belongs here: the model. Does not belong here: the codes of a survey (`nhts.py`), the households (`population.py`).

All coefficients are the simulation's own; they aim at the levels of NHTS 2017 (1.9 vehicles a household, 11,000 miles a
vehicle, 41 % who call travel a financial burden).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fusion_pipeline.simulate.people import pick
from fusion_pipeline.simulate.place import Places
from fusion_pipeline.simulate.population import Households

Array = np.ndarray

VEHICLE_TYPES = ("automobile", "van", "suv", "pickup", "truck", "rv", "motorcycle", "other")
FUELS = ("gas", "diesel", "alternative", "other")
_TYPE_SHARES = np.array([0.50, 0.07, 0.22, 0.16, 0.004, 0.006, 0.035, 0.005])
_MILES_PER_GALLON = np.array([26.0, 21.0, 21.0, 18.0, 10.0, 9.0, 45.0, 20.0])
_PURPOSE_SHARES = np.array([0.34, 0.12, 0.03, 0.015, 0.18, 0.14, 0.07, 0.08, 0.025])
LIKERT_CUTS = {
    "place": (-1.6, -0.69, 0.16, 1.2),
    "price": (-1.2, -0.49, 0.02, 0.83),
    "ptrans": (-0.37, 0.28, 0.93, 1.52),
    "walk2save": (-0.40, 0.30, 0.95, 1.55),
    "bike2save": (-0.22, 0.45, 1.15, 1.75),
}
"""Cuts of the standardised index between strongly disagree, disagree, neither, agree, strongly agree."""


@dataclass(frozen=True)
class Vehicles:
    """Vehicles, household by household; arrays are (sum of vehicles,)."""

    household: Array
    order: Array
    """1, 2, ... within the household."""
    kind: Array
    """Position in `VEHICLE_TYPES`."""
    fuel: Array
    """Position in `FUELS`."""
    plugs_in: Array
    age: Array
    miles: Array
    """A year."""
    gallons: Array
    """A year, gasoline-equivalent."""


@dataclass(frozen=True)
class Trips:
    """Trips of the travel day, person by person; arrays are (number of trips,)."""

    person: Array
    """Row among the household's people."""
    order: Array
    """1, 2, ... of the person."""
    purpose: Array
    """0 home, 1 work, 2 school, 3 medical, 4 shopping, 5 social, 6 care, 7 meals, 8 other."""
    mode: Array
    """0 walk, 1 bicycle, 2 car, 3 bus, 4 taxi, 5 other."""
    miles: Array
    minutes: Array


@dataclass(frozen=True)
class Travel:
    """What households drive and think."""

    vehicles: Vehicles
    trips: Trips
    price_of_fuel: Array
    """(n,) dollars a gallon."""
    answers: dict[str, Array]
    """Likert items (n,), 0 strongly disagree to 4 strongly agree."""
    cost: Array
    """(n,) dollars for fuel a year."""

    @property
    def travel_insecure(self) -> Array:
        """Whether households strongly agree that they walk or cycle to save."""
        return (self.answers["walk2save"] == 4) | (self.answers["bike2save"] == 4)


def draw_travel(places: Places, homes: Households, rng: np.random.Generator) -> Travel:
    """Draw travel given the households and their places.

    Notes
    -----
    Miles of a vehicle are log-normal: log miles = 9.37 + 0.10 w + 0.10 r - 0.035 age - 0.08 density + 0.10 log income
    - 0.12 (k - 1) + 0.6 z, with w workers, r rural, k the vehicle's number. An opinion is the standardised sum of log
    fuel cost less log income, children, age and density, plus noise, cut at `LIKERT_CUTS`.
    """
    n = len(homes)
    density = places.density[homes.place]
    wealth = np.log(np.maximum(homes.income, 3000) / 55_000)
    price = 2.3 + 0.12 * places.income[homes.place] + 0.05 * rng.normal(size=n)
    vehicles = _vehicles(homes, density, wealth, rng)
    cost = np.bincount(vehicles.household, vehicles.gallons, minlength=n) * price
    burden = 0.35 * (np.log1p(cost / 500) - 1.75) - 0.45 * wealth + 0.08 * homes.children
    head = homes.of_reference("age")
    urbanity = 0.25 * density + 0.15 * (homes.urban == 0)
    mean = {
        "place": burden,
        "price": burden + 0.1 * (homes.urban == 2),
        "ptrans": 0.35 * urbanity - 0.3 * wealth - 0.6 * (homes.vehicles > 0) + 0.5,
        "walk2save": 0.2 * urbanity - 0.25 * wealth - 0.004 * (head - 50) - 0.4 * (homes.vehicles > 0) + 0.35,
        "bike2save": 0.1 * urbanity - 0.15 * wealth - 0.010 * (head - 50) - 0.2 * (homes.vehicles > 0) + 0.2,
    }
    common = rng.normal(size=n)
    answers = {
        name: np.digitize(index + 0.4 * common + 0.75 * rng.normal(size=n), LIKERT_CUTS[name])
        for name, index in mean.items()
    }
    return Travel(vehicles, _trips(homes, density, rng), price, answers, cost)


def _vehicles(homes: Households, density: Array, wealth: Array, rng: np.random.Generator) -> Vehicles:
    household, order = _numbered(homes.vehicles)
    m = len(household)
    rural = homes.urban[household] == 2
    shares = np.repeat(_TYPE_SHARES[None, :], m, axis=0)
    shares[:, 3] *= np.where(rural, 1.8, 0.8)
    shares[:, 1] *= 1 + 0.5 * homes.children[household]
    kind = pick(rng, shares)
    alternative = 0.025 * np.exp(0.6 * wealth[household] + 0.2 * density[household])
    diesel = np.where(np.isin(kind, (3, 4, 5)), 0.12, 0.012)
    fuel = pick(
        rng, np.stack([1 - alternative - diesel, diesel, alternative, np.full(m, 0.001)], axis=1).clip(0)
    )
    age = np.clip(np.round(rng.gamma(2.0, 4.6, m) * np.exp(-0.15 * wealth[household]) + 1), 1, 40).astype(int)
    workers = np.bincount(homes.people.household, homes.people.hours > 0, minlength=len(homes))
    log_miles = (
        9.37
        + 0.10 * workers[household]
        + 0.10 * rural
        - 0.035 * age
        - 0.08 * density[household]
        + 0.10 * wealth[household]
        - 0.12 * (order - 1)
        + 0.6 * rng.normal(size=m)
    )
    miles = np.minimum(np.round(np.exp(log_miles)), 200_000)
    miles = np.where(kind == 6, np.round(0.2 * miles), miles)
    economy = _MILES_PER_GALLON[kind] * np.where(fuel == 2, 1.7, 1.0) * np.exp(0.12 * rng.normal(size=m))
    plugs_in = (fuel == 2) & (rng.random(m) < 0.2)
    return Vehicles(household, order, kind, fuel, plugs_in, age, miles, np.round(miles / economy, 1))


def _trips(homes: Households, density: Array, rng: np.random.Generator) -> Trips:
    people = homes.people
    active = people.age >= 5
    rate = (2.6 + 0.8 * (people.hours > 0) + 0.25 * (homes.vehicles[people.household] > 0)) * active
    person, order = _numbered(np.minimum(rng.poisson(rate), 50))
    t = len(person)
    household = people.household[person]
    shares = np.repeat(_PURPOSE_SHARES[None, :], t, axis=0)
    shares[:, 1] *= people.hours[person] > 0
    shares[:, 2] *= np.where(people.age[person] < 18, 6.0, 0.2)
    purpose = pick(rng, shares)
    urban = np.exp(0.5 * density[household])
    carless = homes.vehicles[household] == 0
    mode = pick(
        rng,
        np.stack(
            [
                0.10 * urban * np.where(carless, 4, 1),
                np.full(t, 0.01),
                np.where(carless, 0.15, 0.86),
                0.025 * urban * np.where(carless, 5, 1),
                0.006 * urban,
                np.full(t, 0.01),
            ],
            axis=1,
        ),
    )
    speed = np.array([3, 9, 28, 13, 20, 40])[mode]
    miles = np.round(np.exp(1.35 + np.array([-2, -0.8, 0, 0.2, 0, 1.2])[mode] + rng.normal(size=t)), 2)
    minutes = np.clip(np.round(4 + 60 * miles / speed), 1, 1200)
    return Trips(person, order, purpose, mode, np.minimum(miles, 5000), minutes)


def _numbered(counts: Array) -> tuple[Array, Array]:
    """Repeat each row as often as it counts, and number the repetitions from 1."""
    row = np.repeat(np.arange(len(counts)), counts)
    return row, np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts) + 1
