"""What follows from the simulated household and its people, whichever survey asks."""

from __future__ import annotations

import numpy as np

from fusion_pipeline.randomness import stream
from fusion_pipeline.simulate.place import build_places
from fusion_pipeline.simulate.population import draw_households
from fusion_pipeline.simulate.work import OCCUPATIONS, WAYS, draw_occupations, draw_ways

ROWS = 4_000


def test_more_schooling_makes_a_profession_likelier() -> None:
    low, high = (draw_occupations(np.full(ROWS, x), stream(1, "test", "work")) for x in (-1.0, 1.0))
    assert set(np.unique(np.append(low, high))) == set(range(len(OCCUPATIONS)))
    professional = OCCUPATIONS.index("professional")
    assert (high == professional).mean() > 3 * (low == professional).mean()


def test_those_without_a_vehicle_ride_and_walk() -> None:
    own, none = (draw_ways(np.full(ROWS, has), stream(1, "test", "work")) for has in (True, False))
    for way in ("bus", "subway", "walk"):
        assert (none == WAYS.index(way)).mean() > 3 * (own == WAYS.index(way)).mean()
    assert (own == WAYS.index("car")).mean() > (none == WAYS.index("car")).mean()


def test_some_grandparents_bring_up_children_and_no_parent_of_theirs_is_there() -> None:
    places, rng = build_places(1), stream(1, "test", "households")
    homes = draw_households(places, rng.integers(0, len(places.fips), ROWS), np.zeros(ROWS, int), 2019, rng)
    people, chosen = homes.people, homes.grandparents
    assert 0.002 < chosen.mean() < 0.06
    within = chosen[people.household]
    assert not (within & (people.relation == 2) & (people.age >= 18)).any()
    assert (np.bincount(people.household, people.age < 18, minlength=ROWS)[chosen] > 0).all()
    assert (homes.grown_relatives < homes.size).all()
