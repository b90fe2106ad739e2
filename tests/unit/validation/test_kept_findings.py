"""Findings hold for the bytes and the expectations that they were made of, and for no others."""

from dataclasses import replace

import pytest

from fusion_pipeline.validation.expectations import ColumnSpec, TableSpec
from fusion_pipeline.validation.judging import Finding
from fusion_pipeline.validation.kept_findings import basis, recall, remember

FILES = {"survey/households/RECS_2015.parquet": "ab" * 32}
SPEC = TableSpec((ColumnSpec("fuel", levels=("gas", "oil")), ColumnSpec("use", minimum=0.0)), key=("hid",))
NOW = basis(FILES, {"donor": SPEC})
FOUND = {"donor": [Finding("schema", "unique hid", True, ""), Finding("values", "fuel in set", True, "all")]}


@pytest.fixture
def path(tmp_path):
    path = tmp_path / ".checks" / "survey" / "households" / "RECS_2015.json"
    remember(path, NOW, FOUND)
    return path


def test_what_was_found_is_told_again_for_the_same_tables(path) -> None:
    assert recall(path, basis(dict(FILES), {"donor": replace(SPEC)})) == FOUND


@pytest.mark.parametrize(
    "other",
    [
        basis({"survey/households/RECS_2015.parquet": "cd" * 32}, {"donor": SPEC}),
        basis(FILES, {"donor": replace(SPEC, minimum_rows=2)}),
        basis(
            FILES, {"donor": replace(SPEC, columns=(ColumnSpec("fuel", levels=("gas",)), SPEC.columns[1]))}
        ),
        basis(FILES, {"recipient": SPEC}),
        replace(NOW, version="other"),
    ],
    ids=["other bytes", "more rows wanted", "fewer levels allowed", "another table", "other code"],
)
def test_nothing_is_told_of_other_tables_or_expectations(path, other) -> None:
    assert recall(path, other) is None


def test_what_failed_is_not_kept_nor_what_was_found_before_it(path) -> None:
    remember(path, NOW, {"donor": [*FOUND["donor"], Finding("values", "use between", False, "3 below 0")]})
    assert recall(path, NOW) is None


def test_damaged_findings_count_as_none(path) -> None:
    path.write_text(path.read_text()[:40])
    assert recall(path, NOW) is None
    path.write_text("[]")
    assert recall(path, NOW) is None
