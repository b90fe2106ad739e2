"""Checks of implicates on disk: each finds its fault, names the implicate, and finds nothing in sound ones."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from fusion_pipeline.errors import StorageError
from fusion_pipeline.fusion.specification import FusionPlan, FusionStep
from fusion_pipeline.storage.layout import Layout
from fusion_pipeline.storage.tables import TableRef, categorical, write_table
from fusion_pipeline.validation.implicates import (
    CHECKS,
    check_implicates,
    data_card,
    digest,
    incomplete,
)

LEVELS = ["None", "Room", "Central"]
PLAN = FusionPlan(
    (
        FusionStep(("gas",), ("income",)),
        FusionStep(("cooling",), ("income",)),
        FusionStep(("televisions",), ("income",)),
        FusionStep(("price_bill",), ("income",), universe="gas"),
    ),
    products={"bill": ("price_bill", "gas")},
    internal=("price_bill",),
)


def labels(*values: str) -> pa.DictionaryArray:
    return categorical(np.array([LEVELS.index(v) if v else -1 for v in values]), LEVELS)


def implicate(**columns) -> pa.Table:
    return pa.table(
        {
            "hid": [11, 12, 13],
            "gas": [0.0, 2.5, 2.5],
            "cooling": labels("None", "Room", "Room"),
            "televisions": pa.array([1, 2, 3], pa.int64()),
            # A product of a price and a quantity of two donors: no donor has it.
            "bill": [0.0, 77.7, 33.3],
            **columns,
        }
    )


@pytest.fixture
def pair(tmp_path):
    donor, recipient = tmp_path / "donor.parquet", tmp_path / "recipient.parquet"
    columns = {
        "gas": [0.0, 2.5, 9.0, 4.0],
        "cooling": labels("None", "Room", "Room", "None"),
        # The implicate may hold the same numbers in another width.
        "televisions": pa.array([1, 2, 3, 4], pa.int8()),
        "price_bill": [0.0, 1.0, 2.0, 3.0],
    }
    write_table(donor, pa.table(columns))
    write_table(recipient, pa.table({"hid": [11, 12, 13], "income": [1, 2, 3]}))
    return TableRef(recipient), TableRef(donor)


def test_a_broken_rule_is_found_and_counted(pair, store) -> None:
    plan = replace(PLAN, rules=("televisions <= income", "gas >= 1 if income > 1"))
    files = store(implicate(), implicate(televisions=pa.array([2, 2, 4])))
    assert (
        check_implicates(files, *pair, plan)["rules"]
        == "implicate=02: 2 values break `televisions <= income`"
    )


@pytest.fixture
def store(tmp_path):
    layout = Layout(tmp_path)

    def write(*tables: pa.Table) -> list[Path]:
        files = [layout.implicate("A__B", number) for number in range(1, len(tables) + 1)]
        for file, table in zip(files, tables, strict=True):
            write_table(file, table)
        return files

    return write


def test_sound_implicates_pass_every_check(pair, store) -> None:
    assert check_implicates(store(implicate(), implicate()), *pair, PLAN) == dict.fromkeys(CHECKS, "")


FAULTS = {
    "other households": (implicate(hid=[11, 12, 14]), "complete", "implicate=02: other households"),
    "another order": (implicate(hid=[12, 11, 13]), "complete", "implicate=02: other households"),
    "a household twice": (
        pa.concat_tables([implicate(), implicate().slice(2)]), "complete", "implicate=02: other households",
    ),
    "a household missing": (implicate().slice(0, 2), "complete", "implicate=02: other households"),
    "a variable missing": (
        implicate().drop_columns(["gas", "bill"]), "complete", "implicate=02: lacks ['gas', 'bill']",
    ),
    "null number": (implicate(bill=[0.0, None, 1.0]), "no_missing", "implicate=02: 1 of bill"),
    "number that is none": (implicate(bill=[0.0, np.nan, 1.0]), "no_missing", "implicate=02: 1 of bill"),
    "infinite number": (implicate(bill=[0.0, np.inf, 1.0]), "no_missing", "implicate=02: 1 of bill"),
    "value no donor has": (
        implicate(gas=[0.1, 2.5, 2.6]), "within_support", "implicate=02: 2 values of gas no donor has",
    ),
    "level no donor has": (
        implicate(cooling=labels("None", "Central", "None")),
        "within_support",
        "implicate=02: 1 values of cooling no donor has",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_is_found_by_its_check_and_names_the_implicate(pair, store, fault) -> None:
    damaged, check, text = FAULTS[fault]
    found = check_implicates(store(implicate(), damaged, implicate()), *pair, PLAN)
    assert found == {**dict.fromkeys(CHECKS, ""), check: text}


def test_null_of_a_drawn_variable_is_missing(pair, store) -> None:
    found = check_implicates(store(implicate(cooling=labels("None", "", "Room"))), *pair, PLAN)
    assert found == {**dict.fromkeys(CHECKS, ""), "no_missing": "implicate=01: 1 of cooling"}


def test_faults_of_several_implicates_are_all_named(pair, store) -> None:
    found = check_implicates(store(implicate(gas=[5.0] * 3), implicate(gas=[0.0, 0.0, 6.0])), *pair, PLAN)
    assert found["within_support"] == (
        "implicate=01: 3 values of gas no donor has; implicate=02: 1 values of gas no donor has"
    )


def test_data_card_counts_rows_and_bytes_and_hashes_the_files(store) -> None:
    files = store(implicate(), implicate().slice(0, 2))
    card = data_card(files)
    assert card["implicate"].tolist() == [1, 2]
    assert card["rows"].tolist() == [3, 2]
    assert card["bytes"].tolist() == [file.stat().st_size for file in files]
    assert card["sha256"].tolist() == [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
    assert incomplete(card, 3) == "implicates [2] do not have 3 rows"
    assert incomplete(card.iloc[:1], 3) == ""


def test_lost_implicate_is_named_with_the_remedy(store) -> None:
    files = store(implicate(), implicate())
    files[1].unlink()
    with pytest.raises(StorageError, match=r"implicate=02.*is missing\. Materialize its chunk"):
        data_card(files)


def test_data_version_follows_content_and_order(store) -> None:
    card = data_card(store(implicate(), implicate(gas=[0.0, 9.0, 9.0])))
    assert digest(card) == digest(card.copy())
    assert len({digest(card), digest(card.iloc[::-1]), digest(card.iloc[:1])}) == 3
