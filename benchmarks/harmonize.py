"""Time harmonization and PUMA imputation at national size.

Command: `python benchmarks/harmonize.py [--survey RECS] [--recipients 1300000] [--donors 5686]`. It makes
tables in memory with the levels of the harmonies, harmonizes them, and imputes donor PUMAs from predictors
alone and given eight fusion variables too, with as many draws as a pair takes for so many donors. Values are
random, so nothing is learned from them. The largest donor survey is NHTS 2017: `--survey NHTS --donors
129696`, whose households disclose the state.
"""

from __future__ import annotations

import argparse

import numpy as np
import pyarrow as pa
from measure import calibrate, measured, table

from fusion_pipeline.geography.concordance import states
from fusion_pipeline.geography.puma_imputation import Evidence, draws_for, impute_puma
from fusion_pipeline.harmonize import (
    Harmony,
    Side,
    common,
    harmonize_donor,
    harmonize_recipient,
    load_harmonies,
)
from fusion_pipeline.storage.tables import categorical

RNG = np.random.default_rng(1)
SURVEYS = {"RECS": ("2015", "recs_division"), "NHTS": ("2017", "state")}
"""Vintage, and the location that households disclose."""


def main() -> None:
    """Run both parts and print the table and the distances."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--survey", choices=SURVEYS, default="RECS")
    parser.add_argument("--recipients", type=int, default=1_300_000)
    parser.add_argument("--donors", type=int, default=5_686)
    options = parser.parse_args()
    vintage, location = SURVEYS[options.survey]
    harmony, concordance = _made(load_harmonies(options.survey, vintage, "2015")), _concordance()
    households, persons = _recipients(harmony, concordance, options.recipients)
    donors = _donors(harmony, concordance, location, options.donors)
    keep = ("hid", "weight", location)
    with measured(f"harmonize {options.donors:,} donors") as donors_took:
        donor_side = harmonize_donor(donors, harmony, keep=keep)
    with measured(f"harmonize {options.recipients:,} recipients") as recipients_took:
        recipient_side = harmonize_recipient(households, persons, harmony)
    donor, recipient, _ = common(donor_side, recipient_side)

    def impute(evidence: Evidence | None) -> dict[str, object]:
        return impute_puma(
            donor,
            recipient,
            concordance,
            locations=[location],
            predictors=donor_side.predictors,
            seed=1,
            draws=draws_for(options.donors),
            evidence=evidence,
        ).report

    with measured("impute donor PUMAs from predictors") as alone_took:
        alone = impute(None)
    with measured("impute donor PUMAs from predictors and fusion variables") as informed_took:
        informed = impute(_evidence(concordance, options.donors))
    print(table([donors_took, recipients_took, alone_took, informed_took], calibrate()))
    print(f"\nFrom predictors: {alone}\n\nInformed: {informed}")


def _made(harmony: Harmony) -> Harmony:
    """Leave out what is computed from levels that a random table has not, and donors' persons, who are not made."""
    entries = {
        name: entry
        for name, entry in harmony.entries.items()
        if entry.donor.level == "household"
        and all(s.map is not None or s.columns == (s.var,) or s.count for s in (entry.donor, entry.recipient))
    }
    return harmony.model_copy(update={"entries": entries})


def _evidence(concordance: pa.Table, donors: int) -> Evidence:
    """Eight fusion variables, and a hundred spatial predictors of every PUMA."""
    places = concordance.select(["state", "puma10"])
    for number in range(100):
        places = places.append_column(f"made..{number}", pa.array(RNG.random(concordance.num_rows)))
    values = {f"amount_{number}": RNG.lognormal(size=donors) for number in range(4)}
    values |= {
        f"some_{number}": RNG.lognormal(size=donors) * (RNG.random(donors) < 0.4) for number in range(4)
    }
    return Evidence(pa.table(values), places)


def _concordance() -> pa.Table:
    """Forty-six PUMAs a state, in its RECS division."""
    fips = np.repeat(sorted(states()), 46)
    codes = np.tile([f"{i:05d}" for i in range(1, 47)], len(states()))
    division = [states()[code].recs_division for code in fips]
    return pa.table(
        {
            "state": _labels(fips),
            "puma10": _labels(codes),
            "weight": np.ones(len(fips)),
            "recs_division": _labels(division),
        }
    )


def _donors(harmony: Harmony, concordance: pa.Table, location: str, n: int) -> pa.Table:
    disclosed = concordance[location].take(pa.array(RNG.integers(0, concordance.num_rows, n)))
    columns = {"hid": np.arange(n), "weight": RNG.uniform(500, 50_000, n), location: disclosed}
    return pa.table(columns | _variables([e.donor for e in harmony.entries.values()], n))


def _recipients(harmony: Harmony, concordance: pa.Table, n: int) -> tuple[pa.Table, pa.Table]:
    rows = pa.array(RNG.integers(0, concordance.num_rows, n))
    sides = [e.recipient for e in harmony.entries.values()]
    households = {
        "year": np.full(n, 2015, dtype=np.int16),
        "hid": np.arange(n),
        "weight": RNG.uniform(1, 500, n),
        "state": concordance["state"].take(rows),
        "puma10": concordance["puma10"].take(rows),
    }
    sizes = RNG.integers(1, 5, n)
    hid = np.repeat(np.arange(n), sizes)
    pid = (np.arange(len(hid)) - np.repeat(np.cumsum(sizes) - sizes, sizes) + 1).astype(np.int16)
    of_household = _variables([s for s in sides if s.level == "household"], n)
    of_person = _variables([s for s in sides if s.level == "person"], len(hid))
    return pa.table(households | of_household), pa.table({"hid": hid, "pid": pid} | of_person)


def _variables(sides: list[Side], n: int) -> dict[str, pa.Array]:
    columns: dict[str, pa.Array] = {}
    for side in sides:
        if side.map is None:
            top = 150_000 if side.var == "hincp" else 9
            columns |= {name: pa.array(RNG.integers(0, top, n), pa.int32()) for name in side.columns}
        else:
            levels = [level for group in side.map.values() for level in group]
            columns[side.var] = categorical(RNG.integers(0, len(levels), n), levels)
    return columns


def _labels(values: object) -> pa.DictionaryArray:
    levels, codes = np.unique(np.asarray(values, dtype=object), return_inverse=True)
    return categorical(codes, levels.tolist())


if __name__ == "__main__":
    main()
