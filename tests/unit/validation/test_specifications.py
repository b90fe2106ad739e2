"""Specifications of every table of the graph: met by what they describe, and failed where a table strays."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from fusion_pipeline.harmonize import pair_harmonies
from fusion_pipeline.raw import ResolvedFile, as_table
from fusion_pipeline.registry import load_registry
from fusion_pipeline.storage.layout import Layout
from fusion_pipeline.storage.tables import categorical, write_table
from fusion_pipeline.surveys.codebook import load_codebook
from fusion_pipeline.validation import specifications
from fusion_pipeline.validation.expectations import ColumnSpec, TableSpec, validate

PAIR = "RECS_2015__ACS_2013"
ROWS = 60
# Columns that the raw files are declared to lack, as the partial files of the registry do.
ABSENT = ("BEDROOMS", "SCALEB")


def conforming(spec: TableSpec) -> pa.Table:
    """Make up a table that is as specified: levels and numbers in turn, unique in the last column of the key."""
    return pa.table({column.name: _values(column, column.name in spec.key[-1:]) for column in spec.columns})


def _values(column: ColumnSpec, unique: bool) -> pa.Array:
    turn = np.arange(ROWS)
    if column.levels is None and column.holds in ("category", "text"):
        texts = [f"{number:05d}" for number in turn]
        return categorical(turn, texts) if column.holds == "category" else pa.array(texts)
    if column.levels is not None:
        return categorical(turn % len(column.levels), column.levels)
    low = 0.0 if column.minimum is None else column.minimum
    span = ROWS if unique or column.maximum is None else int(min(column.maximum - low, ROWS)) + 1
    return pa.array(low + turn % span)


def record(*files: tuple[str, tuple[str, ...]]) -> pa.Table:
    return as_table([ResolvedFile(role, Path(role), 1, "0" * 64, "mirror", absent) for role, absent in files])


@pytest.fixture(scope="module")
def layout(tmp_path_factory) -> Layout:
    """A store with a made-up table of every kind that specifications look up."""
    layout = Layout(tmp_path_factory.mktemp("store"))
    write_table(layout.table(("survey", "raw"), "RECS_2015"), record(("households", ABSENT)))
    write_table(layout.table(("acs", "raw"), "2013"), record(("households", ()), ("persons", ())))
    relationships = record(("tracts", ()), ("zcta10", ()), ("urban10", ()), ("climate", ()))
    write_table(layout.table(("geography", "raw"), "puma10"), relationships)
    for asset, partition, specify in (
        (("survey", "households"), "RECS_2015", specifications.survey_households),
        (("survey", "persons"), "RECS_2015", specifications.survey_persons),
        (("acs", "households"), "2013", specifications.acs_households),
        (("acs", "persons"), "2013", specifications.acs_persons),
        (("geography", "concordance"), "puma10", specifications.concordance),
    ):
        write_table(layout.table(asset, partition), conforming(specify(layout, partition)))
    return layout


SPECIFY = {
    "survey/households": lambda layout: specifications.survey_households(layout, "RECS_2015"),
    "survey/dictionary": lambda layout: specifications.survey_dictionary(layout, "RECS_2015"),
    "acs/households": lambda layout: specifications.acs_households(layout, "2013"),
    "acs/persons": lambda layout: specifications.acs_persons(layout, "2013"),
    "geography/concordance": lambda layout: specifications.concordance(layout, "puma10"),
    "geography/predictors": lambda layout: specifications.acs_summaries(layout, "2013"),
    "spatial/summaries": lambda layout: specifications.spatial_summaries(layout, "irs_puma10"),
    "fusion/harmonized donor": lambda layout: specifications.harmonized(layout, PAIR)["donor"],
    "fusion/harmonized recipient": lambda layout: specifications.harmonized(layout, PAIR)["recipient"],
    "fusion/located donor": lambda layout: specifications.located(layout, PAIR)["donor"],
    "fusion/located recipient": lambda layout: specifications.located(layout, PAIR)["recipient"],
    "fusion/prepared donor": lambda layout: specifications.prepared(layout, PAIR)["donor"],
    "fusion/prepared recipient": lambda layout: specifications.prepared(layout, PAIR)["recipient"],
}


def failures(table: pa.Table, spec: TableSpec) -> set[tuple[str, str]]:
    return {(f.aspect, f.expectation) for f in validate(table, spec) if not f.passed}


def put(table: pa.Table, name: str, row: int, value: object) -> pa.Table:
    values = table[name].to_pylist()
    values[row] = value
    if pa.types.is_dictionary(table.schema.field(name).type):
        values = pa.array(values).dictionary_encode()
    return table.set_column(table.column_names.index(name), name, [values])


@pytest.mark.parametrize("kind", SPECIFY)
def test_faults_fail_the_right_aspect_and_nothing_else(layout, kind) -> None:
    spec = SPECIFY[kind](layout)
    sound = conforming(spec)
    others = [column for column in spec.columns if column.name not in spec.key]
    damaged = sound.append_column("surplus", [list(range(ROWS))])
    expected = {("schema", "expect_table_columns_to_match_set")}

    for name in spec.key:
        damaged = put(damaged, name, 1, sound[name][0].as_py())
    single = len(spec.key) == 1
    unique = (
        f"column_values_to_be_unique {spec.key[0]}"
        if single
        else f"compound_columns_to_be_unique {[*spec.key]}"
    )
    expected.add(("schema", f"expect_{unique}"))
    if coded := [c.name for c in others if c.levels]:
        damaged = put(damaged, coded[-1], 2, "Made up")
        expected.add(("values", f"expect_column_values_to_be_in_set {coded[-1]}"))
    if bounded := [c for c in others if c.minimum is not None]:
        damaged = put(damaged, bounded[-1].name, 3, math.nextafter(bounded[-1].minimum, -math.inf))
        expected.add(("values", f"expect_column_values_to_be_between {bounded[-1].name}"))
    required = [c.name for c in others if not c.nullable]
    damaged = put(damaged, required[-1], 4, None)
    expected.add(("values", f"expect_column_values_to_not_be_null {required[-1]}"))

    # Nothing else fails: the made-up table is otherwise as specified.
    assert failures(damaged, spec) == expected


def test_every_kind_but_the_dictionary_has_levels_and_ranges(layout) -> None:
    without = {
        kind
        for kind, specify in SPECIFY.items()
        if not any(c.levels for c in specify(layout).columns)
        or not any(c.minimum is not None for c in specify(layout).columns)
    }
    assert without == {"survey/dictionary"}


def test_variables_of_absent_raw_columns_are_not_expected(layout) -> None:
    names = {column.name for column in SPECIFY["survey/households"](layout).columns}
    # `insec` is derived from SCALEB among others.
    assert not {"bedrooms", "scaleb", "insec"} & names
    assert {"noheat", "noac", "scalee", "rep_1", "rep_96"} <= names


def test_levels_are_those_of_the_codebook_and_missing_answers_only_where_it_has_codes_for_them(
    layout,
) -> None:
    codebook = load_codebook("recs_2015")
    columns = {column.name: column for column in SPECIFY["survey/households"](layout).columns}
    for name, variable in codebook.households.variables.items():
        if name in columns:
            assert columns[name].levels == (variable.labels or None)
            assert columns[name].nullable == bool(codebook.missing(variable))
    assert not columns["weight"].nullable


def test_ranges_are_those_of_the_codebook_widened_by_what_special_codes_stand_for(layout) -> None:
    recs = {column.name: column for column in SPECIFY["survey/households"](layout).columns}
    assert (recs["totrooms"].minimum, recs["totrooms"].maximum) == (1, 60)
    acs = {column.name: column for column in SPECIFY["acs/households"](layout).columns}
    entry = load_codebook("acs_2013").households.variables
    skipped_as_zero = [
        name for name, v in entry.items()
        if v.range and v.range.low and v.range.low > 0 and v.not_applicable == "0" and not v.adjust
    ]  # fmt: skip
    assert all(acs[name].minimum == 0 for name in skipped_as_zero)
    # Dollars of the survey year are not what the raw range is about.
    adjusted = [name for name, variable in entry.items() if variable.adjust]
    assert adjusted
    assert all(acs[name].minimum is None and acs[name].maximum is None for name in adjusted)


def test_harmonized_predictors_are_those_that_both_sides_can_give(layout) -> None:
    entry = load_registry().pair(PAIR)
    (harmony,) = pair_harmonies(entry, load_registry()).values()
    donor, recipient = (SPECIFY[f"fusion/harmonized {side}"](layout) for side in ("donor", "recipient"))
    predictors = [[c for c in spec.columns if "__" in c.name] for spec in (donor, recipient)]
    names = [[c.name for c in side] for side in predictors]
    assert names[0] == names[1]
    assert set(harmony.entries) - set(names[0]) == {"bedrooms__bdsp"}
    assert all(c.nullable for c in predictors[0])
    assert not any(c.nullable for c in predictors[1])
    for column in predictors[0]:
        entry = harmony.entries[column.name]
        groups = tuple(map(str, entry.groups)) if entry.is_categorical else None
        assert column.levels == groups


def test_a_state_that_the_donor_discloses_is_one_column(layout) -> None:
    located = specifications.located(layout, PAIR)["donor"]
    disclosing = specifications._with_columns(
        replace(located, columns=(ColumnSpec("state", nullable=True), ColumnSpec("hid"))),
        [ColumnSpec("state"), ColumnSpec("puma10")],
    )
    assert disclosing.columns == (ColumnSpec("hid"), ColumnSpec("state"), ColumnSpec("puma10"))


def test_located_tables_add_a_place_that_everybody_has(layout) -> None:
    for side, added in (("donor", {"state", "puma10"}), ("recipient", {"recs_division"})):
        before, after = (SPECIFY[f"fusion/{stage} {side}"](layout) for stage in ("harmonized", "located"))
        extra = [c for c in after.columns if c.name not in {b.name for b in before.columns}]
        assert {c.name for c in extra} == added
        assert not any(c.nullable for c in extra)
