"""The households of the ACS 2024 extract of 17 states, as one frame: what known-truth validation reads.

Answers of persons become answers of households: of the reference person, sums, means, or whether anyone has it. Columns
and codes: data dictionary of the ACS PUMS 2024.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

STATES = ("04", "08", "10", "11", "13", "15", "25", "27", "34", "40", "41", "44", "47", "50", "53", "55",
          "56")  # fmt: skip
HOUSING = ["SERIALNO", "STATE", "PUMA", "WGTP", "TEN", "VALP", "RNTP", "HINCP", "MV", "RMSP", "YRBLT", "BLD", "HHT",
           "HHL", "NP"]  # fmt: skip
PERSONS = ["SERIALNO", "SPORDER", "AGEP", "SEX", "RAC1P", "HISP", "CIT", "SCHL", "MAR", "ESR", "WKHP", "JWMNP",
           "JWTRNS", "WAGP", "HICOV", "DIS", "PUBCOV", "COW"]  # fmt: skip
PREDICTORS = ("size", "children", "workers", "hours", "age", "female", "race", "hispanic", "citizen", "education",
              "employment", "household_type", "language", "tenure", "building", "state", "metro")  # fmt: skip
PROXIES = ("rooms", "income", "property_value", "commute_minutes", "rent", "wages", "year_built", "transit",
           "uninsured", "disability", "moved", "years_there", "other_income", "home_worker", "public_insurance",
           "self_employed")  # fmt: skip
TRANSIT = range(2, 7)
"""JWTRNS: bus, subway or elevated rail, long-distance train or commuter rail, light rail, ferry."""
WORKS_AT_HOME = 11
SELF_EMPLOYED = (6, 7)
"""COW: own business, not incorporated or incorporated."""
YEARS_THERE = {1: 0.5, 2: 1.5, 3: 3.0, 4: 7.0, 5: 14.5, 6: 24.5, 7: 35.0}
"""MV: middle of each class, in years."""
METRO = 0.5


def read_households(folder: Path, crosswalk: Path, states: Sequence[str] = STATES) -> pd.DataFrame:
    """Read occupied households.

    Parameters
    ----------
    folder : of `psam_hNN.csv.gz` and `psam_pNN.csv.gz`
    crosswalk : parquet of the share of each PUMA in a core-based statistical area; `metro` is whether half of it is
    states : FIPS codes

    Returns
    -------
    pd.DataFrame
        `area` (state and PUMA), `state`, `metro`, `weight`, `age_group`, predictors and proxies. Amounts are zero
        where they do not apply: property value of renters, rent of owners, commute where nobody travels to work.
    """
    inside = pd.read_parquet(crosswalk)
    inside = inside[inside["cbsa_code"].notna()].groupby(["state_fips", "puma"])["share"].sum()
    parts = [_state(folder, state) for state in states]
    frame = pd.concat(parts, ignore_index=True)
    keys = pd.MultiIndex.from_arrays([frame["state"], frame["area"].str[2:]])
    frame["metro"] = inside.reindex(keys).fillna(0).to_numpy() >= METRO
    for name in ("race", "employment", "household_type", "language", "tenure", "building"):
        frame[name] = pd.Categorical(frame[name].astype(int).astype(str))
    frame["state"] = pd.Categorical(frame["state"])
    frame["age_group"] = pd.cut(
        frame["age"], [0, 44, 64, 200], labels=["below 45", "45 to 64", "65 and over"]
    )
    return frame


def _state(folder: Path, state: str) -> pd.DataFrame:
    text = {"SERIALNO": str, "PUMA": str}
    homes = pd.read_csv(folder / f"psam_h{state}.csv.gz", usecols=HOUSING, dtype=text)
    homes = homes[(homes["WGTP"] > 0) & (homes["NP"] > 0)].set_index("SERIALNO")
    people = pd.read_csv(folder / f"psam_p{state}.csv.gz", usecols=PERSONS, dtype=text)
    people = people[people["SERIALNO"].isin(homes.index)]
    head = people[people["SPORDER"] == 1].set_index("SERIALNO").reindex(homes.index)
    by_home = people.assign(
        child=people["AGEP"] < 18,
        works=people["ESR"].isin([1, 2, 4, 5]),
        transit=people["JWTRNS"].isin(TRANSIT),
        uninsured=people["HICOV"] == 2,
        disability=people["DIS"] == 1,
        home_worker=people["JWTRNS"] == WORKS_AT_HOME,
        public_insurance=people["PUBCOV"] == 1,
        self_employed=people["COW"].isin(SELF_EMPLOYED),
    ).groupby("SERIALNO")
    total = by_home[["child", "works", "WKHP", "WAGP"]].sum().reindex(homes.index)
    yes = ["transit", "uninsured", "disability", "home_worker", "public_insurance", "self_employed"]
    anyone = by_home[yes].any().reindex(homes.index)
    return pd.DataFrame(
        {
            "area": state + homes["PUMA"].str.zfill(5),
            "state": state,
            "weight": homes["WGTP"].astype(float),
            "size": homes["NP"].astype(float),
            "children": total["child"].astype(float),
            "workers": total["works"].astype(float),
            "hours": total["WKHP"].astype(float),
            "age": head["AGEP"].astype(float),
            "female": head["SEX"] == 2,
            "race": np.where(head["RAC1P"].isin([3, 4, 5, 7]), 3, head["RAC1P"]),
            "hispanic": head["HISP"] > 1,
            "citizen": head["CIT"] < 5,
            "education": head["SCHL"].fillna(0).astype(float),
            "employment": head["ESR"].fillna(0),
            "household_type": homes["HHT"],
            "language": homes["HHL"],
            "tenure": homes["TEN"],
            "building": homes["BLD"],
            "rooms": homes["RMSP"].astype(float),
            "income": homes["HINCP"].astype(float),
            "property_value": homes["VALP"].fillna(0.0),
            "commute_minutes": by_home["JWMNP"].mean().reindex(homes.index).fillna(0.0),
            "rent": homes["RNTP"].fillna(0.0),
            "wages": total["WAGP"].astype(float),
            "year_built": homes["YRBLT"].astype(float),
            "moved": homes["MV"] == 1,
            "years_there": homes["MV"].map(YEARS_THERE),
            "other_income": homes["HINCP"] - total["WAGP"],
            **{name: anyone[name] for name in yes},
        }
    ).reset_index(drop=True)
