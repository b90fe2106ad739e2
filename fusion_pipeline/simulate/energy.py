"""What households use, pay and go without: the outcomes that RECS observes, and their known expectations.

Belongs here: the truth. Does not belong here: how a survey asks (`recs.py`, `acs.py`).

Electricity is log-normal given everything else, so its conditional mean has the closed form
exp(mu + sigma^2 / 2). Other fuels are zero where the fuel is not used. Expenditure = quantity x the place's
price x log-normal noise. Insecurity follows a latent index of income, energy burden and place.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fusion_pipeline.simulate.people import pick
from fusion_pipeline.simulate.place import Places
from fusion_pipeline.simulate.population import Households

Array = np.ndarray

COOLING = ("none", "central", "individual", "both")
FREQUENCIES = (0, 3, 2, 1)
"""Codes of RECS by rising frequency: never, 1 or 2 months, some months, almost every month."""
SIGMA_ELECTRICITY, SIGMA_FUEL, SIGMA_PRICE = 0.36, 0.40, 0.10
BURDEN_ELASTICITY = 0.55


@dataclass(frozen=True)
class Energy:
    """Outcomes of one year; arrays are (n,), quantities in thousand Btu, expenditures in dollars."""

    cooling: Array
    """Position in `COOLING`."""
    btuel: Array
    btung: Array
    btulp: Array
    btufo: Array
    dollarel: Array
    dollarng: Array
    dollarlp: Array
    dollarfo: Array
    scalee: Array
    """Disconnection notices; below: forgone necessities, unhealthy temperature. Codes of `FREQUENCIES`."""
    scaleb: Array
    scaleg: Array
    noheatel: Array
    noheatng: Array
    noheatbulk: Array
    noheatbroke: Array
    noacel: Array
    noacbroke: Array
    mean_btuel: Array
    """E[btuel | place, everything else], closed form."""

    @property
    def insec(self) -> Array:
        """Any of the three insecurities."""
        return (self.scalee > 0) | (self.scaleb > 0) | (self.scaleg > 0)

    @property
    def noheat(self) -> Array:
        """Unable to heat for any of the four reasons."""
        return self.noheatel | self.noheatng | self.noheatbulk | self.noheatbroke

    @property
    def noac(self) -> Array:
        """Unable to cool for either reason."""
        return self.noacel | self.noacbroke


def draw_energy(places: Places, homes: Households, rng: np.random.Generator) -> Energy:
    """Draw a year of energy use, its cost and its hardships."""
    n, place = len(homes), homes.place
    hdd, cdd = places.hdd[place] / 1000, places.cdd[place] / 1000
    wealth = np.log(np.maximum(homes.income, 3000) / 55_000)
    area = np.log(homes.area / 1700)
    decade = (homes.built - 1975) / 10
    flat = homes.dwelling >= 3
    electric_heat = homes.fuel == 2

    cooling = pick(rng, _cooling_weights(cdd, wealth, decade, flat, homes.tenure >= 2))
    mu = log_electricity(
        places,
        place,
        homes.size,
        area,
        wealth,
        flat,
        homes.dwelling == 0,
        electric_heat,
        homes.uses_gas,
        cooling,
    )
    btuel = np.exp(mu + SIGMA_ELECTRICITY * rng.normal(size=n))

    leaky = 0.45 * area - 0.055 * decade - 0.35 * flat
    heat = np.log(np.maximum(hdd, 0.15)) * 0.75

    def fuel(used: Array, heats: Array, level: float, base: float) -> Array:
        mean = np.where(heats, level + heat + leaky, base) + 0.18 * np.log(homes.size)
        return np.where(used, np.exp(mean + SIGMA_FUEL * rng.normal(size=n)), 0.0)

    btung = fuel(homes.uses_gas, homes.fuel == 0, 9.83, 9.35)
    btulp = fuel(homes.uses_propane, homes.fuel == 1, 9.55, 8.25)
    btufo = fuel(homes.fuel == 3, homes.fuel == 3, 9.75, 9.0)
    quantity = np.stack([btuel, btung, btulp, btufo], axis=1)
    dollars = quantity * places.price[place] * np.exp(SIGMA_PRICE * rng.normal(size=(n, 4)))

    burden = np.log(np.maximum(dollars.sum(axis=1), 50) / np.maximum(homes.income, 3000) / 0.03)
    strain = (
        -0.50 * wealth
        + BURDEN_ELASTICITY * np.clip(burden, -3, 3) * 0.6
        + 0.22 * np.minimum(homes.children, 3)
        + 0.30 * (homes.tenure >= 2)
        + 0.35 * (homes.of_reference("race") == 1)
        + 0.15 * homes.of_reference("hispanic")
        - 0.012 * (homes.of_reference("age") - 50)
        + places.hardship[place]
    )
    latent = strain + 0.9 * rng.normal(size=n)

    def item(threshold: float) -> Array:
        answer = np.digitize(latent + 0.5 * rng.normal(size=n), threshold + np.array([0.0, 0.45, 1.25]))
        return np.asarray(FREQUENCIES)[answer]

    def trouble(logit: Array | float, exposed: Array) -> Array:
        return exposed & (rng.random(n) < 1 / (1 + np.exp(-(logit + 1.1 * latent))))

    oldness = np.clip(-0.12 * decade, -0.5, 0.6)
    return Energy(
        cooling=cooling,
        btuel=btuel,
        btung=btung,
        btulp=btulp,
        btufo=btufo,
        dollarel=dollars[:, 0],
        dollarng=dollars[:, 1],
        dollarlp=dollars[:, 2],
        dollarfo=dollars[:, 3],
        scalee=item(1.55),
        scaleb=item(1.20),
        scaleg=item(1.75),
        noheatel=trouble(-5.6, electric_heat),
        noheatng=trouble(-5.7, homes.fuel == 0),
        noheatbulk=trouble(-4.1, (homes.fuel == 1) | (homes.fuel == 3)),
        noheatbroke=trouble(-4.5 + oldness, homes.fuel != 8),
        noacel=trouble(-5.4, cooling > 0),
        noacbroke=trouble(-4.2 + oldness, cooling > 0),
        mean_btuel=np.exp(mu + SIGMA_ELECTRICITY**2 / 2),
    )


def log_electricity(
    places: Places,
    place: Array,
    size: Array,
    log_area: Array,
    wealth: Array,
    flat: Array,
    mobile: Array,
    electric_heat: Array,
    uses_gas: Array,
    cooling: Array,
) -> Array:
    """Return the conditional mean of log electricity (thousand Btu), (n,).

    Notes
    -----
    mu = 9.87 + 0.32 log size + 0.25 log(area / 1700) + 0.06 log(income / 55,000) - 0.18 [flat]
    + 0.08 [mobile] + [electric heat] (0.18 + 0.055 HDD / 1000) - 0.13 [gas] + c CDD / 1000
    + 0.06 [any cooling] + habit, where c is 0.115 for central cooling, 0.05 for room units and 0.125 for
    both; no survey variable shows the place's habit.
    """
    hdd, cdd = places.hdd[place] / 1000, places.cdd[place] / 1000
    return (
        9.87
        + 0.32 * np.log(size)
        + 0.25 * log_area
        + 0.06 * wealth
        - 0.18 * flat
        + 0.08 * mobile
        + electric_heat * (0.18 + 0.055 * hdd)
        - 0.13 * uses_gas
        + np.array([0.0, 0.115, 0.05, 0.125])[cooling] * cdd
        + 0.06 * (cooling > 0)
        + places.habit[place]
    )


def _cooling_weights(cdd: Array, wealth: Array, decade: Array, flat: Array, renter: Array) -> Array:
    """(n, 4) weights of `COOLING`."""
    warm = np.log(np.maximum(cdd, 0.02))
    central = np.exp(0.75 + 0.85 * warm + 0.30 * wealth + 0.22 * decade - 0.45 * flat - 0.25 * renter)
    rooms = np.exp(-0.45 + 0.15 * warm - 0.12 * decade + 0.25 * flat)
    both = 0.07 * central
    none = np.exp(-1.25 - 1.0 * warm - 0.12 * wealth)
    return np.stack([none, central, rooms, both], axis=1)
