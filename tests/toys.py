"""Toy surveys A (donor) and B (recipient), and the harmonies between them.

Belongs here: the few households that several areas of the suite harmonize. Tests about one oddity add it themselves.
"""

import numpy as np
import pyarrow as pa
import yaml

from fusion_pipeline.harmonize import Harmony
from fusion_pipeline.harmonize.documents import Document, Pair
from fusion_pipeline.harmonize.loading import resolve
from fusion_pipeline.storage.tables import TableRef, categorical, write_table

DOCUMENT = Document.model_validate(
    yaml.safe_load("""
donor: A
recipient: B
sets: {current: {2015: 2015, 2016: 2015, 2017: 2015}}
harmonies:
  rooms__rmsp: {donor: rooms, recipient: rmsp}
  desktop__laptop:
    ordered: true
    donor: {household: desktop, expr: desktop + tablets}
    recipient: laptop
    groups:
      without: {donor: {below: 1}, recipient: "No"}
      with: {donor: {from: 1}, recipient: "Yes"}
  fuel__hfl:
    ordered: false
    donor: fuel
    recipient: hfl
    groups:
      gas: {donor: Gas, recipient: Utility gas}
      oil: {donor: [Oil, Kerosene], recipient: Fuel oil}
      none: {donor: None, recipient: No fuel}
  sex__sexp:
    ordered: false
    donor: sex
    recipient: {person: sexp, agg: reference}
    groups:
      female: {donor: Female, recipient: Female}
      male: {donor: Male, recipient: Male}
  adults__agep:
    donor: adults
    recipient: {person: agep, agg: {count: agep >= 18}}
""")
)
HARMONY = resolve(DOCUMENT, Pair(donor="2015", recipient="2015"))


def labels(values, levels):
    return categorical(np.array([-1 if v is None else levels.index(v) for v in values]), levels)


def donor_table():
    return pa.table(
        {
            "hid": pa.array([11, 12, 13, 14]),
            "weight": [1.0, 2.0, 3.0, 4.0],
            "division": labels(["East", "West", "East", None], ["East", "West"]),
            "rooms": pa.array([4, 5, None, 7], pa.int16()),
            "desktop": pa.array([0, 1, 0, 2], pa.int16()),
            "tablets": pa.array([0, 0, 3, None], pa.int16()),
            "fuel": labels(["Gas", "Kerosene", None, "Oil"], ["Gas", "Oil", "Kerosene", "None", "Unused"]),
            "sex": labels(["Female", "Male", "Male", "Female"], ["Female", "Male"]),
            "adults": pa.array([1, 2, 2, 3], pa.int16()),
        }
    )


def households():
    return pa.table(
        {
            "year": pa.array([2015, 2015, 2015], pa.int16()),
            "hid": pa.array([3, 1, 2]),
            "weight": [10.0, 20.0, 30.0],
            "state": labels(["10", "10", "24"], ["10", "24"]),
            "puma10": labels(["00101", "00102", "00101"], ["00101", "00102"]),
            "rmsp": pa.array([3, 4, 9], pa.int16()),
            "laptop": labels(["Yes", "No", "Yes"], ["No", "Yes"]),
            "hfl": labels(["Fuel oil", "No fuel", "Utility gas"], ["Utility gas", "Fuel oil", "No fuel"]),
        }
    )


def persons():
    return pa.table(
        {
            "hid": pa.array([1, 1, 2, 3, 3, 3, 99]),
            "pid": pa.array([2, 1, 1, 3, 1, 2, 1], pa.int16()),
            "sexp": labels(["Male", "Female", "Male", "Male", "Female", "Male", "Male"], ["Female", "Male"]),
            "agep": pa.array([17, 44, 80, 18, 50, 3, 30], pa.int16()),
        }
    )


def toy_harmony(*names, donor="2015") -> Harmony:
    """Some of the entries, for a vintage of the donor."""
    harmony = resolve(DOCUMENT, Pair(donor=donor, recipient="2015"))
    return harmony.model_copy(update={"entries": {name: harmony.entries[name] for name in names}})


def store(path, **columns) -> TableRef:
    """Write a table and give its handle."""
    write_table(path, pa.table(columns))
    return TableRef(path)
