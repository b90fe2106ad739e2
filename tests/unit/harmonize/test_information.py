"""The share of information that a harmony keeps."""

import numpy as np
import pyarrow as pa
import pytest
import yaml

from fusion_pipeline.harmonize import information_kept
from fusion_pipeline.harmonize.documents import Document, Pair
from fusion_pipeline.harmonize.loading import resolve
from fusion_pipeline.storage.tables import categorical

HARMONY = resolve(
    Document.model_validate(
        yaml.safe_load("""
donor: A
recipient: B
sets: {current: {2015: 2015}}
harmonies:
  all__x:
    ordered: false
    donor: all
    recipient: x
    groups: {one: {donor: a, recipient: a}, two: {donor: b, recipient: b}}
  half__x:
    ordered: false
    donor: half
    recipient: x
    groups: {one: {donor: [a, b], recipient: a}, two: {donor: [c, d], recipient: b}}
  amount__x:
    ordered: true
    donor: amount
    recipient: x
    groups: {one: {donor: {below: 0}, recipient: a}, two: {donor: {from: 0}, recipient: b}}
""")
    ),
    Pair(donor="2015", recipient="2015"),
)

OF_PERSONS = resolve(
    Document.model_validate(
        yaml.safe_load("""
donor: A
recipient: B
sets: {current: {2015: 2015}}
harmonies:
  school__schl:
    ordered: false
    donor: {person: school, agg: reference}
    recipient: {person: schl, agg: reference}
    groups: {one: {donor: [a, b], recipient: [p, q]}, two: {donor: [c, d], recipient: r}}
  ability__tenure:
    ordered: true
    donor: {person: ability, agg: max}
    recipient: tenure
    groups:
      low: {donor: {below: 3}, recipient: k}
      middle: {donor: {from: 3, below: 7}, recipient: l}
      high: {donor: {from: 7}, recipient: m}
""")
    ),
    Pair(donor="2015", recipient="2015"),
)


def test_groups_of_equal_answers_keep_the_ratio_of_the_logarithms_of_their_numbers() -> None:
    turn = np.arange(4_000)
    table = pa.table(
        {
            "weight": np.full(4_000, 2.0),
            "all": categorical(turn % 2, ["a", "b"]),
            "half": categorical(turn % 4, ["a", "b", "c", "d"]),
            "amount": turn - 2_000,
        }
    )
    kept = information_kept(table, None, HARMONY, "donor")
    assert kept["all__x"] == pytest.approx(1)
    assert kept["half__x"] == pytest.approx(np.log(2) / np.log(4))
    assert kept["amount__x"] == pytest.approx(np.log(2) / np.log(100), rel=1e-3)
    without = information_kept(table.drop_columns(["half"]), None, HARMONY, "donor")
    assert set(without) == {"all__x", "amount__x"}


def test_persons_and_the_recipient_are_measured_where_answers_are_given() -> None:
    """By hand: 2, 3 and 4 equally frequent answers have log 2, log 3 and log 4."""
    donor = pa.table(
        {
            "hid": [1, 2, 3, 4, 1, 2, 3, 4],
            "pid": [1, 1, 1, 1, 2, 2, 2, 2],
            "weight": [1.0] * 8,
            # Members who are not the reference person have an answer without a group, which nobody asks for.
            "school": ["a", "b", "c", "d", "e", "e", "e", "e"],
            "ability": [1.0, 2, 3, 4, 5, 6, 7, 8],
        }
    )
    homes = pa.table({"hid": [1, 2, 3, 4], "weight": [1.0, 1, 1, 3]})
    kept = information_kept(homes, donor, OF_PERSONS, "donor")
    assert kept == {
        "school__schl": pytest.approx(np.log(2) / np.log(4)),
        # Three groups of 2, 4 and 2 of the eight persons: H = 1.5 log 2, of 3 log 2.
        "ability__tenure": pytest.approx(0.5),
    }
    recipient = pa.table(
        {
            "hid": [1, 2, 3],
            "pid": [1, 1, 1],
            "weight": [1.0, 1.0, 2.0],
            "schl": ["p", "q", "r"],
        }
    )
    tenures = pa.table({"weight": [1.0, 1, 2], "tenure": ["k", "l", "m"]})
    of_recipient = information_kept(tenures, recipient, OF_PERSONS, "recipient")
    # Shares 1/4, 1/4, 1/2 have H = 1.5 log 2; the first two together 1/2, 1/2: log 2.
    assert of_recipient == {
        "school__schl": pytest.approx(2 / 3),
        "ability__tenure": pytest.approx(1),
    }
    assert set(information_kept(tenures, None, OF_PERSONS, "recipient")) == {"ability__tenure"}
