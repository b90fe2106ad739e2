"""People of the simulated world: who lives in a household, their ages, origin, schooling and work.

Belongs here: what is true of persons. Does not belong here: dwellings and money (`population.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fusion_pipeline.simulate.place import Places

Array = np.ndarray

RACES = ("white", "black", "native", "asian", "pacific", "other", "multiple")
SCHOOLING_CUTS = (-1.45, -0.45, 0.42, 1.18)
"""Schooling index at which high school, some college, bachelor's and graduate degree begin."""


@dataclass(frozen=True)
class People:
    """Members of households, household by household, reference person first; arrays are (sum of size,)."""

    household: Array
    """Row of the household."""
    order: Array
    """1, 2, ... within the household."""
    relation: Array
    """RELP of the ACS: 0 reference person, 1 spouse, 2 child, 6 parent, 10 relative, 12 housemate,
    13 unmarried partner."""
    age: Array
    female: Array
    race: Array
    hispanic: Array
    schooling: Array
    """Schooling index, cut at `SCHOOLING_CUTS`; children's level follows from their age."""
    hours: Array
    """Usual hours worked a week; 0: not at work."""
    married: Array
    immigrant: Array


def draw_origin(places: Places, place: Array, age: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    young = np.exp(-0.012 * (age - 50))
    hispanic = rng.random(len(place)) < places.hispanic[place] * np.minimum(young, 1.15)
    black, asian = places.black[place], places.asian[place]
    pacific = np.where(places.fips[place] == "15", 0.08, 0.001)
    rest = np.full(len(place), 0.001)
    weights = np.stack(
        [
            np.maximum(0.97 - black - asian - pacific, 0.05),
            black,
            rest + 0.007,
            asian,
            pacific,
            rest,
            rest + 0.02,
        ],
        axis=1,
    )
    latino = np.array([0.64, 0.025, 0.012, 0.003, 0.001, 0.28, 0.04])
    return hispanic, pick(rng, np.where(hispanic[:, None], latino, weights))


def draw_people(
    age: Array,
    hispanic: Array,
    race: Array,
    schooling: Array,
    couple: Array,
    children: Array,
    others: Array,
    rng: np.random.Generator,
) -> People:
    partner = (couple > 0).astype(int)
    size = 1 + partner + children + others
    household = np.repeat(np.arange(len(size)), size)
    order = np.arange(len(household)) - np.repeat(np.cumsum(size) - size, size) + 1
    m = len(household)
    head_age = age[household]
    is_head, is_partner = order == 1, (order == 2) & (partner[household] == 1)
    position = order - 1 - partner[household]
    is_child = (position >= 1) & (position <= children[household])
    is_other = position > children[household]

    # Grown children of older reference persons, parents of younger ones, relatives and housemates.
    kind = rng.random(m)
    relation_of_other = np.select(
        [(kind < 0.55) & (head_age >= 42), (kind < 0.20) & (head_age < 60), kind < 0.78],
        [2, 6, 10],
        default=12,
    )
    relation = np.select(
        [is_head, is_partner, is_child],
        [0, np.where(couple[household] == 1, 1, 13), 2],
        default=relation_of_other,
    )
    other_age = np.select(
        [relation_of_other == 2, relation_of_other == 6],
        [
            np.maximum(head_age - 18 - rng.integers(2, 15, m), 18),
            np.minimum(head_age + rng.integers(18, 33, m), 95),
        ],
        default=np.clip(head_age + rng.normal(0, 10, m), 18, 92).astype(int),
    )
    person_age = np.select(
        [is_head, is_partner, is_child],
        [
            head_age,
            np.clip(head_age + rng.normal(0, 4, m), 18, 95).astype(int),
            np.floor(rng.random(m) * np.clip(head_age - 17, 1, 18)).astype(int),
        ],
        default=other_age,
    )
    head_female = rng.random(len(size)) < np.where(couple == 1, 0.42, 0.56)
    coin = rng.random(m) < 0.5
    same_sex = (rng.random(len(size)) < 0.01)[household]
    female = np.select(
        [is_head, is_partner], [head_female[household], head_female[household] == same_sex], coin
    )
    kin = is_head | (relation != 12)
    own_school = 0.55 * schooling[household] + rng.normal(0, 0.8, m)
    person_school = np.where(is_head, schooling[household], own_school)
    work = (
        1.1
        + 0.35 * person_school
        - 0.9 * (person_age < 22)
        - 2.2 * (person_age >= 63)
        - 1.3 * (person_age >= 70)
    )
    works = (person_age >= 18) & (rng.random(m) < 1 / (1 + np.exp(-work)))
    full = rng.random(m) < np.where(person_age >= 63, 0.6, 0.82)
    hours = np.where(
        full, np.clip(np.round(rng.normal(42, 6, m)), 35, 90), np.clip(np.round(rng.normal(22, 8, m)), 3, 34)
    )
    single_married = (rng.random(m) < 0.35) & (person_age >= 60)
    return People(
        household=household,
        order=order,
        relation=relation,
        age=person_age,
        female=female.astype(bool),
        race=np.where(kin & ~is_partner, race[household], np.where(rng.random(m) < 0.85, race[household], 0)),
        hispanic=np.where(
            kin & ~is_partner, hispanic[household], hispanic[household] & (rng.random(m) < 0.8)
        ),
        schooling=person_school,
        hours=np.where(works, hours, 0).astype(int),
        married=np.where(
            is_other, single_married & (relation == 6), (is_head | is_partner) & (couple[household] == 1)
        ),
        immigrant=rng.random(m)
        < np.where(race[household] == 3, 0.55, np.where(hispanic[household], 0.38, 0.04))
        * np.where(person_age < 18, 0.2, 1),
    )


def pick(rng: np.random.Generator, weights: Array) -> Array:
    """Draw one column per row with probability proportional to (n, k) weights."""
    cumulative = np.cumsum(weights, axis=1)
    return (rng.random(len(weights))[:, None] * cumulative[:, -1:] >= cumulative).sum(axis=1)
