"""Places of the simulated world: 51 states, their PUMAs, counties and tracts, climate and prices.

Belongs here: everything that is true of a place before anybody lives there. Does not belong here: households
(`population.py`), the official files that describe places (`spatial.py`).

State names, FIPS codes, regions and divisions are facts and come from `geography`; sizes, degree days, fuel shares and
prices in `made_up_levels.csv` are round figures that give the simulated world plausible levels. They are not estimates.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from fusion_pipeline.geography.concordance import AREAS, areas, states
from fusion_pipeline.randomness import stream

Array = np.ndarray

HOUSEHOLDS = 117_500_000
"""Occupied housing units of the simulated world."""
PUMA_SIZE = 450
"""Aimed-at thousand households of a PUMA: about 250 PUMAs, so that a sample of 20,000 has 80 in each."""
URBAN_TYPES = ("U", "C", "R")
FUELS = ("el", "ng", "lp", "fo")
IECC = ("1A-2A", "2B", "3A", "3B-4B", "3C", "4A", "4C", "5A", "5B-5C", "6A-6B", "7A-7B-7AK-8AK")
BUILDING_AMERICA = ("Cold/Very Cold", "Hot-Dry/Mixed-Dry", "Hot-Humid", "Marine", "Mixed-Humid")
ZONES = (
    ("2", "A", "Hot-Humid"),
    ("2", "B", "Hot-Dry"),
    ("3", "A", "Mixed-Humid"),
    ("3", "B", "Hot-Dry"),
    ("3", "C", "Marine"),
    ("4", "A", "Mixed-Humid"),
    ("4", "C", "Marine"),
    ("5", "A", "Cold"),
    ("5", "B", "Cold"),
    ("6", "A", "Cold"),
    ("7", "N/A", "Very Cold"),
)
"""Number and moisture regime of a zone in each group of `IECC`, and its Building America zone."""
_IECC_TO_BA = np.array([2, 1, 4, 1, 3, 4, 3, 0, 0, 0, 0])
_DRY = ("AZ", "CA", "CO", "ID", "MT", "NM", "NV", "UT", "WY")
_MARINE = ("CA", "OR", "WA")


@dataclass(frozen=True)
class Places:
    """PUMAs; every array is (P,) unless said otherwise, in order of state FIPS code and PUMA code."""

    states: pd.DataFrame
    """51 rows of `load_states`, with `price_<fuel>` in dollars per million Btu."""
    state: Array
    """Row of `states`."""
    fips: Array
    """Two-digit state code."""
    puma: Array
    """Five-digit code, unique within its state only."""
    households: Array
    """Occupied housing units."""
    urban: Array
    """(P, 3) shares of urbanized area, urban cluster and rural."""
    density: Array
    """Standardised urbanity."""
    hdd: Array
    cdd: Array
    iecc: Array
    """Position in `IECC`."""
    income: Array
    """Effect on log income."""
    schooling: Array
    """Effect on the schooling index."""
    age_of_stock: Array
    """Mean year of construction, less 1975."""
    gas: Array
    """Share of housing units with utility gas in the street."""
    oil: Array
    hispanic: Array
    black: Array
    asian: Array
    price: Array
    """(P, 4) dollars per thousand Btu of electricity, gas, propane, fuel oil."""
    habit: Array
    """Effect on log electricity that no survey variable shows."""
    hardship: Array
    """Effect on energy insecurity that no survey variable shows."""

    def __len__(self) -> int:
        return len(self.state)

    @property
    def building_america(self) -> Array:
        """Building America climate zone: position in `BUILDING_AMERICA`."""
        return _IECC_TO_BA[self.iecc]

    @property
    def recs_division(self) -> Array:
        """RECS division, 1 to 10."""
        return self.states["recs_division"].to_numpy()[self.state]


def load_states() -> pd.DataFrame:
    """Give the 51 states in order of FIPS code: `fips`, `usps`, `name`, codes of their areas, and made-up levels."""
    facts = [
        {
            "fips": state.fips,
            "usps": state.usps,
            "name": state.name,
            **{kind: 1 + areas(kind).index(getattr(state, kind)) for kind in AREAS},
        }
        for state in states().values()
    ]
    levels = pd.read_csv(Path(__file__).with_name("made_up_levels.csv"), dtype={"fips": str})
    return pd.DataFrame(facts).merge(levels, on="fips", validate="one_to_one")


def build_places(seed: int) -> Places:
    """Draw the PUMAs of the world that belongs to a seed."""
    states = load_states()
    rng = stream(seed, "simulate", "prices")
    states["price_el"] = states["electricity_price"].astype(float)
    for fuel, level in {"ng": 10.0, "lp": 23.0, "fo": 19.0}.items():
        states[f"price_{fuel}"] = np.round(level * np.exp(rng.normal(0, 0.12, len(states))), 2)
    count = np.clip(np.round(states["households"].to_numpy() / PUMA_SIZE).astype(int), 2, 12)
    state = np.repeat(np.arange(len(states)), count)
    rng = stream(seed, "simulate", "places")

    def normal(scale: float = 1.0) -> Array:
        return rng.normal(0, scale, len(state))

    def at_state(column: str) -> Array:
        return states[column].to_numpy(dtype=float)[state]

    size = np.exp(normal(0.35)) * at_state("households") / count[state]
    density = normal()
    rural = _logistic(-1.5 - 1.1 * density + normal(0.3))
    cluster = (1 - rural) * _logistic(-2.0 - 0.8 * density)
    north = np.clip(normal(), -2, 2)
    hdd = np.maximum(at_state("hdd") * (1 + 0.10 * north), 0)
    cdd = np.maximum(at_state("cdd") * (1 - 0.15 * north), 0)
    income = 0.08 * density + normal(0.17)
    price = np.stack([at_state(f"price_{f}") for f in FUELS], axis=1) / 1000
    price[:, 0] *= np.exp(normal(0.06))
    # Climate zones are those of counties (`tracts.py`): two PUMAs each.
    county = 100 * state + np.concatenate([np.arange(n) for n in count]) // 2
    minority = np.exp(0.4 * density + normal(0.35))
    return Places(
        states=states,
        state=state,
        fips=states["fips"].to_numpy(dtype=str)[state],
        puma=_puma_codes(count),
        households=size / size.sum() * HOUSEHOLDS,
        urban=np.stack([1 - cluster - rural, cluster, rural], axis=1),
        density=density,
        hdd=hdd,
        cdd=cdd,
        iecc=_climate_zone(
            states["usps"].to_numpy()[state], _of_county(hdd, county), _of_county(cdd, county)
        ),
        income=income,
        schooling=1.3 * income + normal(0.12),
        age_of_stock=normal(6) - 4 * density + 4 * (at_state("region") >= 3),
        gas=_share(at_state("gas") / 100, 0.5 * density + normal(0.4)),
        oil=_share(at_state("oil") / 100, normal(0.3)),
        hispanic=np.minimum(at_state("hispanic") / 100 * minority, 0.85),
        black=np.minimum(at_state("black") / 100 * minority, 0.75),
        asian=np.minimum(at_state("asian") / 100 * minority, 0.5),
        price=price,
        habit=normal(0.06),
        hardship=normal(0.15),
    )


def _puma_codes(count: Array) -> Array:
    """Give the codes 00100, 00200, ...; every third is split off its neighbour as 00301 is off 00300."""
    position = np.concatenate([np.arange(n) for n in count])
    numbers = (position + 1) * 100 + np.where(position % 3 == 2, 1, 0)
    return np.array([f"{number:05d}" for number in numbers])


def _climate_zone(usps: Array, hdd: Array, cdd: Array) -> Array:
    marine = np.isin(usps, _MARINE) & (cdd < 900)
    dry = np.isin(usps, _DRY)
    zone = np.select(
        [(hdd < 2100) & (cdd > 2200), hdd < 3600, hdd < 5400, hdd < 7200, hdd < 9000],
        [2, 3, 4, 5, 6],
        default=7,
    )
    names = np.select(
        [zone == 2, zone == 3, zone == 4, zone == 5, zone == 6],
        [
            np.where(dry, "2B", "1A-2A"),
            np.where(marine, "3C", np.where(dry, "3B-4B", "3A")),
            np.where(marine, "4C", np.where(dry, "3B-4B", "4A")),
            np.where(marine | dry, "5B-5C", "5A"),
            "6A-6B",
        ],
        default="7A-7B-7AK-8AK",
    )
    return np.array([IECC.index(name) for name in names])


def _of_county(values: Array, county: Array) -> Array:
    """Give every PUMA the mean of its county."""
    _, same = np.unique(county, return_inverse=True)
    return (np.bincount(same, weights=values) / np.bincount(same))[same]


def _logistic(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def _share(level: Array, shift: Array) -> Array:
    """Move a share on the logit scale; a share of zero stays zero."""
    odds = level / np.maximum(1 - level, 1e-9) * np.exp(shift)
    return odds / (1 + odds)
