"""Toy surveys A (donor) and B (recipient), and the harmonies between them.

Belongs here: the few households that several areas of the suite harmonize. Tests about one oddity add it themselves.
"""

import numpy as np
import pyarrow as pa
import yaml

from fusion_pipeline.harmonize import Harmony
from fusion_pipeline.storage.tables import TableRef, categorical, write_table

HARMONY = Harmony.model_validate(
    yaml.safe_load("""
name: A__B
set: current
donor: {survey: A, vintage: "2015"}
recipient: {survey: B, vintage: "2015"}
harmonies:
  rooms__rmsp:
    kind: numeric
    donor: {var: rooms, level: household}
    recipient: {var: rmsp, level: household}
  desktop__laptop:
    kind: categorical_binned
    ordered: true
    donor: {var: desktop, level: household, expr: desktop + tablets, bins: {1: [[null, 1]], 2: [[1, null]]}}
    recipient: {var: laptop, level: household, map: {1: ["No"], 2: ["Yes"]}}
  fuel__hfl:
    kind: categorical
    ordered: false
    donor: {var: fuel, level: household, map: {1: [Gas], 2: [Oil, Kerosene], 3: [None]}}
    recipient: {var: hfl, level: household, map: {1: [Utility gas], 2: [Fuel oil], 3: [No fuel]}}
  sex__sexp:
    kind: categorical
    ordered: false
    donor: {var: sex, level: household, map: {1: [Female], 2: [Male]}}
    recipient: {var: sexp, level: person, agg: reference, map: {1: [Female], 2: [Male]}}
  adults__agep:
    kind: indicator_sum
    donor: {var: adults, level: household}
    recipient: {var: agep, level: person, agg: sum, bins: {0: [[null, 18]], 1: [[18, null]]}}
""")
)


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


def toy_harmony(*names):
    """The toy harmony, or some of its entries."""
    return HARMONY.model_copy(update={"entries": {name: HARMONY.entries[name] for name in names}})


def store(path, **columns) -> TableRef:
    """Write a table and give its handle."""
    write_table(path, pa.table(columns))
    return TableRef(path)
