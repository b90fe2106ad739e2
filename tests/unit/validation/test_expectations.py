"""Tables held against specifications: every kind of expectation can fail, and no finding shows a raw value."""

import numpy as np
import pyarrow as pa
import pytest

from fusion_pipeline.storage.tables import TableRef, categorical, write_table
from fusion_pipeline.validation import expectations
from fusion_pipeline.validation.expectations import ColumnSpec, TableSpec, validate

SPEC = TableSpec(
    (
        ColumnSpec("hid"),
        ColumnSpec("fuel", levels=("Gas", "Oil")),
        ColumnSpec("rooms", minimum=1, maximum=20),
        ColumnSpec("income", nullable=True),
    ),
    key=("hid",),
    minimum_rows=3,
)


def table(**columns) -> pa.Table:
    return pa.table(
        {
            "hid": [1, 2, 3],
            "fuel": categorical(np.array([0, 1, 0]), ["Gas", "Oil"]),
            "rooms": [1, 20, 5],
            "income": [None, 1.5, 2.5],
            **columns,
        }
    )


def failures(table: pa.Table, spec: TableSpec = SPEC) -> dict[tuple[str, str], str]:
    return {(f.aspect, f.expectation): f.detail for f in validate(table, spec) if not f.passed}


def test_table_as_specified_meets_every_expectation() -> None:
    findings = validate(table(), SPEC)
    assert [f for f in findings if not f.passed] == []
    # Columns, types, rows and key; no missing values in three columns; one set of levels, one range.
    assert [f.aspect for f in findings].count("schema") == 4
    assert [f.aspect for f in findings].count("values") == 5


BLUE = categorical(np.array([0, 1, 0]), ["Gas", "Sunshine"])
FAULTS = {
    "unknown level": (table(fuel=BLUE), "values", "expect_column_values_to_be_in_set fuel", "1 of 3 values"),
    "below the range": (table(rooms=[0, 5, 5]), "values", "expect_column_values_to_be_between rooms", "1 of 3 values"),
    "above the range": (
        table(rooms=[5, 21, 77]), "values", "expect_column_values_to_be_between rooms", "2 of 3 values",
    ),
    "missing value": (
        table(rooms=[5, None, 5]), "values", "expect_column_values_to_not_be_null rooms", "1 of 3 values",
    ),
    "not a number": (
        table(rooms=[5.0, np.nan, 5.0]), "values", "expect_column_values_to_not_be_null rooms", "1 of 3 values",
    ),
    "repeated key": (table(hid=[7, 8, 7]), "schema", "expect_column_values_to_be_unique hid", "2 of 3 values"),
    "too few rows": (table().slice(0, 2), "schema", "expect_table_row_count_to_be_between", "2"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_fails_its_expectation_and_no_other(fault) -> None:
    damaged, aspect, expectation, detail = FAULTS[fault]
    assert failures(damaged) == {(aspect, expectation): detail}


def test_key_of_several_columns_may_repeat_only_in_part() -> None:
    spec = TableSpec((ColumnSpec("hid"), ColumnSpec("pid")), key=("hid", "pid"))
    assert failures(pa.table({"hid": [1, 1, 2], "pid": [1, 2, 1]}), spec) == {}
    [((aspect, expectation), _)] = failures(pa.table({"hid": [1, 1, 1], "pid": [1, 2, 1]}), spec).items()
    assert aspect == "schema"
    assert expectation == "expect_compound_columns_to_be_unique ['hid', 'pid']"


def test_extra_column_fails_the_schema_by_name() -> None:
    [(key, detail)] = failures(table(surplus=[1, 2, 3])).items()
    assert key == ("schema", "expect_table_columns_to_match_set")
    assert "surplus" in detail


def test_missing_column_could_not_be_evaluated() -> None:
    found = failures(table().drop_columns(["fuel"]))
    assert ("schema", "expect_table_columns_to_match_set") in found
    for expectation in ("expect_column_values_to_not_be_null fuel", "expect_column_values_to_be_in_set fuel"):
        assert found["values", expectation] == "could not be evaluated (is the column there?)"


def test_column_of_another_type_could_not_be_evaluated() -> None:
    found = failures(table(rooms=["one", "two", "three"]))
    assert set(found) == {
        ("schema", "column_types"),
        ("values", "expect_column_values_to_be_between rooms"),
    }


@pytest.mark.parametrize(
    ("column", "kind", "told"),
    [
        (["Gas", "Oil", "Gas"], "category", "fuel: string, not category"),
        ([1.0, 2.0, 3.0], "text", "fuel: double, not text"),
        (categorical(np.array([0, 1, 0]), ["1", "2"]), "number", "not number"),
        ([True, False, True], "number", "fuel: bool, not number"),
    ],
)
def test_stored_type_must_be_the_one_declared_even_where_no_value_shows_it(column, kind, told) -> None:
    spec = TableSpec((ColumnSpec("fuel", kind=kind),))
    [(key, detail)] = failures(pa.table({"fuel": column}), spec).items()
    assert key == ("schema", "column_types")
    assert told in detail


def test_optional_column_may_be_missing_and_is_judged_if_it_is_there() -> None:
    spec = TableSpec((ColumnSpec("hid"),), optional=(ColumnSpec("rank", minimum=0, maximum=1),))
    assert failures(pa.table({"hid": [1, 2]}), spec) == {}
    assert failures(pa.table({"hid": [1, 2], "rank": [0.5, 1.0]}), spec) == {}
    found = failures(pa.table({"hid": [1, 2], "rank": [0.5, 1.5]}), spec)
    assert set(found) == {("values", "expect_column_values_to_be_between rank")}


def test_findings_show_no_raw_value() -> None:
    secret = 987_654_321
    damaged = table(
        hid=[secret, secret, 3],
        rooms=[secret, 5, None],
        income=[float(secret), 1.0, 2.0],
        fuel=categorical(np.array([0, 1, 0]), ["Gas", str(secret)]),
    )
    findings = validate(damaged, SPEC)
    assert sum(not f.passed for f in findings) == 4
    assert str(secret) not in repr(findings)


def test_a_file_is_read_in_groups_of_columns_and_only_where_it_has_expectations(
    tmp_path, monkeypatch
) -> None:
    weights = {f"rep_{r}": [1.0, 2.0, None if r == 4 else 3.0] for r in range(1, 6)}
    damaged = table(rooms=[0, 5, 5], hid=[7, 8, 7], **weights)
    spec = TableSpec((*SPEC.columns, *map(ColumnSpec, weights)), SPEC.key, SPEC.minimum_rows)
    write_table(tmp_path / "table.parquet", damaged)
    asked: list[list[str] | None] = []
    read = TableRef.read

    def noted(self, columns=None):
        asked.append(columns)
        return read(self, columns)

    monkeypatch.setattr(TableRef, "read", noted)
    monkeypatch.setattr(expectations, "CELLS", 6)
    found = failures(TableRef(tmp_path / "table.parquet"), spec)
    assert found == failures(damaged, spec)
    assert set(found) == {
        ("schema", "expect_column_values_to_be_unique hid"),
        ("values", "expect_column_values_to_be_between rooms"),
        ("values", "expect_column_values_to_not_be_null rep_4"),
    }
    assert max(len(columns) for columns in asked) == 2
    assert "income" not in {name for columns in asked for name in columns}


@pytest.mark.parametrize("count", [2, 6])
@pytest.mark.parametrize("fault", [None, 30.0, np.nan])
def test_columns_of_one_specification_are_judged_as_each_by_itself(count, fault) -> None:
    columns = {f"rep_{r}": [1.0, 2.0, 3.0] for r in range(count)}
    if fault is not None:
        columns["rep_1"] = [1.0, fault, 3.0]
    spec = TableSpec(tuple(ColumnSpec(name, minimum=0, maximum=20) for name in columns))
    found = {f.expectation: (f.passed, f.detail) for f in validate(pa.table(columns), spec)}
    for name in columns:
        of_null, of_range = (
            f"expect_column_values_to_{what} {name}" for what in ("not_be_null", "be_between")
        )
        bad = name == "rep_1" and fault is not None
        missing = bad and np.isnan(fault)
        assert found[of_null] == (not missing, f"{int(missing)} of 3 values")
        assert found[of_range][0] == (not bad or missing)


@pytest.mark.parametrize("count", [2, 6])
@pytest.mark.parametrize("fault", [None, "Perhaps", ""])
def test_answers_of_one_list_of_levels_are_judged_as_each_by_itself(count, fault) -> None:
    columns = {f"item_{r}": ["Yes", "No", "Yes"] for r in range(count)}
    if fault is not None:
        columns["item_1"] = ["Yes", fault or None, "Yes"]
    table = pa.table({name: pa.array(cells).dictionary_encode() for name, cells in columns.items()})
    spec = TableSpec(tuple(ColumnSpec(name, levels=("Yes", "No", "Unasked")) for name in columns))
    found = {f.expectation: (f.passed, f.detail) for f in validate(table, spec)}
    for name in columns:
        of_null, of_levels = (
            f"expect_column_values_to_{what} {name}" for what in ("not_be_null", "be_in_set")
        )
        bad = name == "item_1" and fault is not None
        assert found[of_null] == (not (bad and fault == ""), f"{int(bad and fault == '')} of 3 values")
        assert found[of_levels] == (
            not (bad and fault == "Perhaps"),
            f"{int(bad and fault != '')} of 3 values",
        )


def test_unknown_level_is_found_in_its_own_column_among_others_with_other_lists() -> None:
    columns = {"fuel": ["Gas", "Oil", "Coal"], "heated": ["No", "Yes", None], "rooms": ["One", "Gas", "Two"]}
    table = pa.table({name: pa.array(cells).dictionary_encode() for name, cells in columns.items()})
    lists = {"fuel": ("Coal", "Gas", "Oil"), "heated": ("Yes", "No"), "rooms": ("One", "Two")}
    spec = TableSpec(tuple(ColumnSpec(name, levels=lists[name], nullable=True) for name in columns))
    assert failures(table, spec) == {("values", "expect_column_values_to_be_in_set rooms"): "1 of 3 values"}


def test_ids_too_long_for_a_double_and_levels_that_are_no_text_are_judged_like_others() -> None:
    table = pa.table({"hid": [2**60 + 1, -1], "rooms": pa.array([3, 4]).dictionary_encode()})
    spec = TableSpec((ColumnSpec("hid", minimum=0), ColumnSpec("rooms", levels=("3", "4"))))
    found = failures(table, spec)
    assert found["values", "expect_column_values_to_be_between hid"] == "1 of 2 values"
    assert found["values", "expect_column_values_to_be_in_set rooms"] == "2 of 2 values"
