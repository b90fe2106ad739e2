"""Everyone in some PUMAs of the simulated world, in tracts and block groups: small areas whose truth is known.

Belongs here: where in its PUMA each household lives, published tables of these areas, a sample with replicate weights,
and implicates drawn from the truth's own distribution. Does not belong here: tracts (`tracts.py`), households
(`population.py`), what they use (`energy.py`).

Neighbourhoods differ in what tables count (tenure, income, age of homes ...) and, by `own`, in what no table shows.
The implicates are those of a perfect model of households: what they get wrong in small areas, downscaling does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa

from fusion_pipeline.randomness import stream
from fusion_pipeline.simulate.energy import draw_energy
from fusion_pipeline.simulate.place import Places, build_places
from fusion_pipeline.simulate.population import Households, draw_households
from fusion_pipeline.simulate.sampling import successive_difference
from fusion_pipeline.simulate.tracts import build_tracts
from fusion_pipeline.storage.tables import categorical

Array = np.ndarray

YEAR = 2015
LEVELS = {
    "tenure": ("Mortgage", "Owned", "Rented"),
    "income": ("below 25,000", "25,000 to 49,999", "50,000 to 99,999", "100,000 or more"),
    "size": ("1", "2", "3", "4 or more"),
    "dwelling": ("Mobile home", "Detached", "Attached", "Flat"),
    "built": ("before 1960", "1960 to 1979", "1980 to 1999", "since 2000"),
    "fuel": ("Gas", "Electricity", "Other"),
}
"""Tables like those of the ACS on tenure, income, persons, units in structure, year built and heating fuel."""
AREAS = ("tract", "block_group")
OUTCOMES = ("btuel", "dollars", "insec", "area")
Z90 = 1.6448536269514722
_PARTS = 4
"""Block groups of a tract at most."""


@dataclass(frozen=True)
class SmallAreas:
    """A sample and tables as a user has them, and the truth."""

    households: pd.DataFrame
    """The sample: `hid`, `state`, `puma10`, `weight`, `rep_1` to `rep_80`, and what tables count as categories."""
    fused: pa.Table
    """Implicates of `OUTCOMES` for the sample."""
    everyone: pd.DataFrame
    """All households: `puma` (row of `Places`), `state`, `puma10`, `tract`, `block_group`, variables and outcomes."""
    seed: int

    def tables(
        self, area: str, variables: Sequence[str] = tuple(LEVELS), sampled: float | None = None
    ) -> pd.DataFrame:
        """Count the households of each area.

        Parameters
        ----------
        area : "tract" or "block_group"
        variables : which tables
        sampled : share of households that a survey asked; the counts are then its estimates and `moe` their margins
            of error at 90 % (simple random sampling within areas, sizes known). Without it counts are true.
        """
        place = ["state", "puma10", area]
        frame, weight = self.everyone, np.ones(len(self.everyone))
        if sampled is not None:
            asked = stream(self.seed, "small areas", "tables").random(len(frame)) < sampled
            size = frame.groupby(area)[area].transform("size")[asked]
            frame = frame[asked]
            weight = (size / frame.groupby(area)[area].transform("size")).to_numpy()
        parts = []
        for variable in variables:
            keyed = frame[[*place, variable]].assign(count=weight)
            counts = keyed.groupby([*place, variable], observed=False)["count"].sum()
            counts = counts[counts.groupby(place).transform("sum") > 0].rename_axis([*place, "level"])
            parts.append(
                counts.reset_index().assign(variable=variable, level=lambda t: t["level"].astype(str))
            )
        table = pd.concat(parts, ignore_index=True)
        if sampled is not None:
            total = table.groupby(["variable", area])["count"].transform("sum")
            share = table["count"] / total
            # A share of 0 or 1 is published with a margin above zero: half a household more or less.
            held = np.clip(share, 0.5 / (total * sampled + 1), 1 - 0.5 / (total * sampled + 1))
            table["moe"] = (
                Z90 * total * np.sqrt((1 - sampled) * held * (1 - held) / (total * sampled).clip(1))
            )
        return table[[*place, "variable", "level", "count", *(["moe"] if "moe" in table else [])]]

    def truth(self, area: str) -> pd.DataFrame:
        """Mean of each outcome by area, and `households`; indexed by area."""
        grouped = self.everyone.groupby(area)
        return grouped[list(OUTCOMES)].mean().assign(households=grouped.size())


def draw_small_areas(
    pumas: int,
    households: int,
    *,
    sample: float = 0.05,
    implicates: int = 5,
    own: float = 0.05,
    sorting: float = 0.5,
    seed: int = 1,
) -> SmallAreas:
    """Draw everyone in some PUMAs, and the sample that a survey finds.

    Parameters
    ----------
    pumas : how many, spread over the states
    households : of each
    sample : share that the survey asks
    own : standard deviation, over block groups, of the log of electricity use that no variable shows
    sorting : standard deviation, over tracts and again over block groups, of what households are drawn by
    seed : same arguments, same world
    """
    places = build_places(seed)
    chosen = np.linspace(0, len(places) - 1, pumas).astype(int)
    rng = stream(seed, "small areas", "households")
    place = np.repeat(chosen, households)
    urban = (rng.random(len(place))[:, None] >= np.cumsum(places.urban[place], axis=1)).sum(axis=1).clip(0, 2)
    homes = draw_households(places, place, urban, YEAR, rng)
    group, codes = _settled(places, homes, chosen, sorting, seed)
    habit = stream(seed, "small areas", "own").normal(0, own, len(codes))[group]
    everyone = pd.DataFrame(
        {
            "state": places.fips[place],
            "puma10": places.puma[place],
            "tract": codes["tract"].to_numpy()[group],
            "block_group": codes["block_group"].to_numpy()[group],
            **_variables(homes),
        }
    )
    everyone = everyone.assign(**_outcomes(places, homes, habit, stream(seed, "small areas", "truth")))
    asked = np.flatnonzero(stream(seed, "small areas", "sample").random(len(place)) < sample)
    found = everyone.iloc[asked][["state", "puma10", *LEVELS]].reset_index(drop=True)
    found.insert(0, "hid", asked + 1)
    count = found.groupby(["state", "puma10"])["hid"].transform("size")
    found["weight"] = households / count
    # In the order of places, as the ACS selects: neighbours share a row of the Hadamard matrix.
    factors = successive_difference(np.arange(len(found))) * found["weight"].to_numpy()[:, None]
    found = found.assign(**{f"rep_{r + 1}": factors[:, r] for r in range(factors.shape[1])})
    drawn = [_implicate(places, homes, asked, m, seed) for m in range(1, implicates + 1)]
    return SmallAreas(found, pa.concat_tables(drawn), everyone, seed)


def _settled(
    places: Places, homes: Households, chosen: Array, sorting: float, seed: int
) -> tuple[Array, pd.DataFrame]:
    """Choose each household's block group by what it is; give the codes of all block groups."""
    tracts = build_tracts(places, seed).frame
    rng = stream(seed, "small areas", "block groups")
    traits = np.stack(
        [
            np.log(np.maximum(homes.income, 3000)),
            homes.built,
            homes.size,
            homes.tenure >= 2,
            homes.dwelling >= 3,
            np.log(homes.area),
        ],
        axis=1,
    ).astype(np.float64)
    traits = (traits - traits.mean(axis=0)) / traits.std(axis=0)
    codes, group = [], np.empty(len(homes), dtype=np.int64)
    start = 0
    for puma in chosen:
        of_puma = tracts[(tracts["place"] == puma) & (tracts["units"] > 0)]
        parts = rng.integers(1, _PARTS + 1, len(of_puma))
        tract = np.repeat(np.arange(len(of_puma)), parts)
        share = np.exp(rng.normal(0, 0.5, len(tract)))
        size = of_puma["units"].to_numpy()[tract] * share / np.bincount(tract, share)[tract]
        pull = rng.normal(0, sorting, (len(of_puma), traits.shape[1]))[tract]
        pull += rng.normal(0, sorting, (len(tract), traits.shape[1]))
        mine = np.flatnonzero(homes.place == puma)
        # Gumbel noise added to log odds draws from them.
        odds = np.log(size) + traits[mine] @ pull.T - (pull**2).sum(axis=1) / 2
        group[mine] = start + (odds + rng.gumbel(size=odds.shape)).argmax(axis=1)
        number = np.arange(len(tract)) - np.repeat(np.cumsum(parts) - parts, parts) + 1
        code = of_puma["tract"].to_numpy()[tract]
        codes.append(pd.DataFrame({"tract": code, "block_group": code + number.astype(str).astype(object)}))
        start += len(tract)
    return group, pd.concat(codes, ignore_index=True)


def _variables(homes: Households) -> dict[str, pd.Categorical]:
    codes = {
        "tenure": np.minimum(homes.tenure, 2),
        "income": np.digitize(homes.income, (25_000, 50_000, 100_000)),
        "size": np.minimum(homes.size, 4) - 1,
        "dwelling": np.minimum(homes.dwelling, 3),
        "built": np.digitize(homes.built, (1960, 1980, 2000)),
        "fuel": np.select([homes.fuel == 0, homes.fuel == 2], [0, 1], 2),
    }
    return {
        name: pd.Categorical.from_codes(
            codes[name].astype(np.intp), pd.Index(list(LEVELS[name]), dtype="str")
        )
        for name in LEVELS
    }


def _outcomes(places: Places, homes: Households, habit: Array, rng: np.random.Generator) -> dict[str, Array]:
    energy = draw_energy(places, homes, rng)
    dollars = energy.dollarel + energy.dollarng + energy.dollarlp + energy.dollarfo
    return {
        "btuel": energy.btuel * np.exp(habit),
        "dollars": dollars + energy.dollarel * np.expm1(habit),
        "insec": energy.insec.astype(np.float64),
        "area": homes.area,
    }


def _implicate(places: Places, homes: Households, asked: Array, number: int, seed: int) -> pa.Table:
    drawn = _outcomes(places, homes, np.zeros(len(homes)), stream(seed, "small areas", "implicate", number))
    columns = {name: pa.array(drawn[name][asked]) for name in OUTCOMES if name != "insec"}
    columns["insec"] = categorical(np.where(drawn["insec"][asked] > 0, 0, 1), ("Yes", "No"))
    return pa.table({"implicate": np.full(len(asked), number, dtype=np.int16), "hid": asked + 1, **columns})
