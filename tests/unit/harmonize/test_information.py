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
    kept = information_kept(table, HARMONY)
    assert kept["all__x"] == pytest.approx(1)
    assert kept["half__x"] == pytest.approx(np.log(2) / np.log(4))
    assert kept["amount__x"] == pytest.approx(np.log(2) / np.log(100), rel=1e-3)
    assert set(information_kept(table.drop_columns(["half"]), HARMONY)) == {"all__x", "amount__x"}
