"""What every table of the graph must look like, read from the codebooks, the harmonies and the registry.

Belongs here: `TableSpec`s by asset and partition. Does not belong here: their evaluation (`expectations.py`).
A specification never looks at the table it judges: what was left out by name upstream (columns that a raw
file is declared to lack, skipped harmonies) is worked out from the declarations.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import pyarrow as pa

from fusion_pipeline.geography import building
from fusion_pipeline.geography.concordance import AREAS, states
from fusion_pipeline.geography.predictors import MARK
from fusion_pipeline.geography.pumas import puma_column
from fusion_pipeline.geography.summaries import load_summaries
from fusion_pipeline.harmonize import Entry, Harmony, Side, pair_harmonies
from fusion_pipeline.harmonize.pairs import poolable
from fusion_pipeline.preparation import price_name
from fusion_pipeline.raw import ResolvedFile, from_table
from fusion_pipeline.registry import FusionPair, Pool, SurveyVintage, load_registry
from fusion_pipeline.storage.layout import Layout
from fusion_pipeline.storage.tables import TableRef
from fusion_pipeline.surveys import dictionary
from fusion_pipeline.surveys.codebook import load_codebook
from fusion_pipeline.surveys.variables import Variable
from fusion_pipeline.validation.expectations import ColumnSpec, Kind, TableSpec

_FIPS = tuple(sorted(states()))


def survey_households(layout: Layout, partition: str) -> TableSpec:
    """Standardized households of a donor survey-year."""
    vintage = load_registry().surveys[partition]
    return _microdata(vintage, "households", _absent(layout, ("survey", "raw"), partition))


def survey_persons(layout: Layout, partition: str) -> TableSpec:
    """Standardized persons of a donor survey-year; the keys alone if there is no person file."""
    return _persons(load_registry().surveys[partition], _absent(layout, ("survey", "raw"), partition))


def survey_dictionary(layout: Layout, partition: str) -> TableSpec:
    """Dictionary of a survey-year, pool or ACS year."""
    optional = {
        "raw",
        "universe",
        "unit",
        "values",
        "n_imputed",
        "n_outside",
        "weighted_mean",
        "mode",
        "mode_share",
    }
    columns = [
        ColumnSpec(
            f.name, nullable=f.name in optional, kind="text" if pa.types.is_string(f.type) else "number"
        )
        for f in dictionary.SCHEMA
    ]
    return TableSpec(tuple(columns), key=("record", "variable"))


def pool_households(layout: Layout, partition: str) -> TableSpec:
    """Households of a pooled donor."""
    pool = load_registry().pools[partition]
    return _microdata(pool, "households", _absent_of_pool(layout, pool))


def pool_persons(layout: Layout, partition: str) -> TableSpec:
    """Persons of a pooled donor."""
    pool = load_registry().pools[partition]
    return _microdata(pool, "persons", _absent_of_pool(layout, pool))


def acs_households(layout: Layout, partition: str) -> TableSpec:
    """Standardized households of an ACS year."""
    vintage = load_registry().recipients[partition]
    return _microdata(vintage, "households", _absent(layout, ("acs", "raw"), partition))


def acs_persons(layout: Layout, partition: str) -> TableSpec:
    """Standardized persons of an ACS year; the keys alone if the households came without them."""
    return _persons(load_registry().recipients[partition], _absent(layout, ("acs", "raw"), partition))


def concordance(layout: Layout, partition: str) -> TableSpec:
    """Concordance of a PUMA definition."""
    files = {file.role: file for file in _files(layout, ("geography", "raw"), partition)}
    whole = bool(files["tracts"].absent)
    needed = {"state", partition, "weight", *AREAS}
    columns = [
        ColumnSpec(name, levels, nullable=name not in needed, kind=_kind_of_place(name))
        if name != "weight"
        else ColumnSpec(name, minimum=0)
        for name, levels in building.expected_columns(files, partition, whole=whole).items()
    ]
    pieces = ("tract", "zcta", "other_tract", "ur12", "ur20", "cbsa20")
    key = tuple(c.name for c in columns if c.name in ("state", partition, *pieces))
    return TableSpec(tuple(columns), key, minimum_rows=len(_FIPS))


def acs_summaries(layout: Layout, partition: str) -> TableSpec:
    """The ACS households of a year summarized by PUMA."""
    available = set(TableRef(layout.table(("acs", "households"), partition)).columns)
    summaries = [f"acs{MARK}{s.name}" for s in load_summaries() if s.of_columns(available)]
    place = _place(partition)
    columns = (
        *place,
        ColumnSpec("weight", minimum=0),
        *(ColumnSpec(name, minimum=0, nullable=True) for name in summaries),
    )
    return TableSpec(columns, key=tuple(column.name for column in place), minimum_rows=len(_FIPS))


def spatial_summaries(layout: Layout, partition: str) -> TableSpec:
    """A spatial dataset by PUMA of one definition."""
    name, pumas = load_registry().summaries[partition]
    dataset = load_registry().spatial[name]
    columns = (
        ColumnSpec("vintage", dataset.vintages),
        ColumnSpec("state", _FIPS),
        ColumnSpec(pumas, kind="category"),
        ColumnSpec("weight", minimum=0),
        *(ColumnSpec(f"{name}{MARK}{v.name}", nullable=True, kind="number") for v in dataset.every_variable),
    )
    return TableSpec(columns, key=("vintage", "state", pumas), minimum_rows=0)


def harmonized(layout: Layout, partition: str) -> dict[str, TableSpec]:
    """Donor and recipient with the predictors they have in common."""
    pair = load_registry().pair(partition)
    harmonies = pair_harmonies(pair, load_registry())
    entries = _common(layout, pair, harmonies)
    places = _locations(layout, pair, nullable=True)
    donor = (*_donor_keys(pair), *places, *_predictors(entries, nullable=True))
    recipient = (
        ColumnSpec("year", kind="number"),
        ColumnSpec("hid", kind="number"),
        ColumnSpec("weight", minimum=0),
        *_place(pair.recipient),
        *_predictors(entries, nullable=False),
    )
    return {"donor": TableSpec(donor, ("survey", "hid")), "recipient": TableSpec(recipient, ("hid",))}


def located(layout: Layout, partition: str) -> dict[str, TableSpec]:
    """As harmonized, with a PUMA for every donor and the location columns for every recipient."""
    pair = load_registry().pair(partition)
    before = harmonized(layout, partition)
    return {
        "donor": _with_columns(before["donor"], _place(pair.recipient)),
        "recipient": _with_columns(before["recipient"], _locations(layout, pair, nullable=False)),
    }


def prepared(layout: Layout, partition: str) -> dict[str, TableSpec]:
    """What is trained on and fused onto: predictors, which donors may lack, and fusion variables, never missing.

    Which spatial predictors are there, the data decide (`usable_predictors`).
    """
    pair = load_registry().pair(partition)
    before = located(layout, partition)
    spatial = tuple(ColumnSpec(n, minimum=0, maximum=1, nullable=True) for n in _spatial(layout, pair))
    predictors = {
        side: [_finite(c) for c in spec.columns if "__" in c.name or c.name in pair.locations]
        for side, spec in before.items()
    }
    # Donors of zero weight would be left out of training.
    weight = ColumnSpec("weight", minimum=sys.float_info.min, maximum=sys.float_info.max)
    keys = [weight if column.name == "weight" else column for column in _donor_keys(pair)]
    donor = (*keys, *predictors["donor"], *_fused(layout, pair))
    recipient = [c for c in before["recipient"].columns if c.name in ("year", "hid")]
    return {
        "donor": TableSpec(donor, ("survey", "hid"), optional=spatial),
        "recipient": TableSpec((*recipient, *predictors["recipient"]), ("hid",), optional=spatial),
    }


def _fused(layout: Layout, pair: FusionPair) -> list[ColumnSpec]:
    """Fusion variables that every donor can give, expenditures, and their prices."""
    registry = load_registry()
    tables = {donor: layout.table(registry.donor_asset(donor, "households"), donor) for donor in pair.donors}
    there = set.intersection(*(set(TableRef(path).columns) for path in tables.values()))
    entries = [load_codebook(registry.codebook(donor)).households.everything for donor in pair.donors]
    names = [name for name in pair.variables if name in there]
    levels = {n: tuple(dict.fromkeys(label for e in entries for label in e[n].labels)) for n in names}
    prices = [price_name(p.expenditure) for p in pair.prices if {p.expenditure, p.quantity} <= set(names)]
    columns = [_numbers_or(levels.get(name, ()), name) for name in (*names, *prices)]
    return [_finite(column) for column in columns]


def _spatial(layout: Layout, pair: FusionPair) -> list[str]:
    """Every spatial predictor that there may be, from the ACS by PUMA and from the datasets."""
    acs = TableRef(layout.table(("acs", "households"), pair.recipient)).columns
    datasets = load_registry().spatial.items()
    return [
        *(f"acs{MARK}{summary.name}" for summary in load_summaries() if summary.of_columns(set(acs))),
        *(f"{name}{MARK}{v.name}" for name, dataset in datasets for v in dataset.every_variable),
    ]


def _finite(column: ColumnSpec) -> ColumnSpec:
    """Refuse infinite numbers, which are in no other way out of bounds."""
    if column.holds != "number" or column.minimum is not None or column.maximum is not None:
        return column
    return replace(column, minimum=-sys.float_info.max, maximum=sys.float_info.max)


def _numbers_or(labels: tuple[str, ...], name: str, *, nullable: bool = False) -> ColumnSpec:
    """Specify a category of these labels; without any, numbers."""
    return ColumnSpec(name, labels or None, nullable=nullable, kind="category" if labels else "number")


def _with_columns(table: TableSpec, columns: Sequence[ColumnSpec]) -> TableSpec:
    """Add columns to a table; one that it has, such as a state that the donor discloses, is now what is given here."""
    names = {column.name for column in columns}
    kept = (column for column in table.columns if column.name not in names)
    return replace(table, columns=(*kept, *columns))


def _kind_of_place(column: str) -> Kind:
    return "text" if column in building.TEXTS else "category"


def _place(acs_year: str) -> tuple[ColumnSpec, ColumnSpec]:
    """State, and the PUMA in the definition of an ACS year."""
    locations = load_codebook(load_registry().recipients[acs_year].codebook).households.locations
    puma = puma_column(locations, f"ACS {acs_year}")
    return ColumnSpec("state", levels=_FIPS), ColumnSpec(puma, kind="category")


def _persons(vintage: SurveyVintage, absent: Mapping[str, Collection[str]]) -> TableSpec:
    if load_codebook(vintage.codebook).persons is None or "persons" not in absent:
        keys = tuple(ColumnSpec(key, kind="number") for key in ("hid", "pid", "year", "weight"))
        return TableSpec(keys, minimum_rows=0)
    return _microdata(vintage, "persons", absent)


def _microdata(vintage: SurveyVintage | Pool, kind: str, absent: Mapping[str, Collection[str]]) -> TableSpec:
    codebook = load_codebook(vintage.codebook)
    entry = codebook.respondent(kind)
    left_out = codebook.left_out(kind, absent)
    columns = [ColumnSpec(key, kind="number") for key in ("hid", "rid") if key in entry.id.columns]
    if entry.id.pid:
        columns.append(ColumnSpec("pid", minimum=1))
    columns.append(ColumnSpec("year", minimum=codebook.year, maximum=codebook.year))
    columns.append(ColumnSpec("weight", minimum=0))
    for name in entry.everything:
        if name in left_out:
            continue
        if name not in entry.variables:
            labels = entry.everything[name].labels
            columns.append(_numbers_or(labels, name, nullable=True))
            continue
        variable = entry.variables[name]
        low, high = _bounds(variable)
        columns.append(
            ColumnSpec(
                name,
                variable.labels or None,
                low,
                high,
                nullable=bool(codebook.missing(variable)),
                kind="category" if variable.categorical else "number",
            )
        )
    if entry.replicates and "rep_1" not in left_out:
        columns += [ColumnSpec(f"rep_{r}", kind="number") for r in range(1, entry.replicates.count + 1)]
    return TableSpec(tuple(columns), key=tuple(entry.id.columns))


def _bounds(variable: Variable) -> tuple[float | None, float | None]:
    """Range of the published numbers: the raw one, widened by what special codes stand for."""
    if variable.range is None or variable.adjust:
        return None, None
    skip = [float(variable.not_applicable)] if variable.not_applicable is not None else []
    special = [*variable.values.values(), *skip]
    low, high = variable.range.low, variable.range.high
    return (
        None if low is None else min([low, *special]),
        None if high is None else max([high, *special]),
    )


def _absent(layout: Layout, asset: tuple[str, str], partition: str) -> dict[str, list[str]]:
    """Raw columns that each file of a survey-year lacks, by role; a file that is not there is not listed."""
    absent: dict[str, list[str]] = {}
    for file in _files(layout, asset, partition):
        absent.setdefault(file.role, []).extend(file.absent)
    return absent


def _absent_of_pool(layout: Layout, pool: Pool) -> dict[str, list[str]]:
    """Raw columns that a file of any of its survey-years lacks; a file counts if all of them have it."""
    years = [_absent(layout, ("survey", "raw"), year) for year in pool.years]
    roles = set.intersection(*(set(year) for year in years))
    return {role: [column for year in years for column in year[role]] for role in roles}


def _files(layout: Layout, asset: tuple[str, str], partition: str) -> list[ResolvedFile]:
    return from_table(TableRef(layout.table(asset, partition)).read())


def _common(layout: Layout, pair: FusionPair, harmonies: Mapping[str, Harmony]) -> dict[str, Entry]:
    """Harmonies that every survey-year of the donor and the recipient have the columns for."""
    recipient = {
        "household": set(TableRef(layout.table(("acs", "households"), pair.recipient)).columns),
        "person": set(TableRef(layout.table(("acs", "persons"), pair.recipient)).columns),
    }
    registry = load_registry()
    donors = {
        donor: {
            "household": set(
                TableRef(layout.table(registry.donor_asset(donor, "households"), donor)).columns
            ),
            "person": set(TableRef(layout.table(registry.donor_asset(donor, "persons"), donor)).columns),
        }
        for donor in pair.donors
    }

    def given(side: Side, tables: Mapping[str, set[str]]) -> bool:
        return set(side.columns) <= tables.get(side.level, set())

    entries, _ = poolable(harmonies)
    return {
        name: entry
        for name, entry in entries.items()
        if given(entry.recipient, recipient)
        and all(given(harmonies[d].entries[name].donor, donors[d]) for d in pair.donors)
    }


def _predictors(entries: Mapping[str, Entry], *, nullable: bool) -> list[ColumnSpec]:
    return [
        ColumnSpec(
            name,
            levels=tuple(map(str, entry.groups)) if entry.is_categorical else None,
            nullable=nullable,
            kind="category" if entry.is_categorical else "number",
        )
        for name, entry in entries.items()
    ]


def _donor_keys(pair: FusionPair) -> tuple[ColumnSpec, ...]:
    hid = ColumnSpec("hid", kind="number")
    return ColumnSpec("survey", levels=pair.donors), hid, ColumnSpec("weight", minimum=0)


def _locations(layout: Layout, pair: FusionPair, *, nullable: bool) -> list[ColumnSpec]:
    places = TableRef(layout.table(("geography", "concordance"), load_registry().pumas_of(pair.recipient)))
    return [ColumnSpec(name, tuple(places.levels(name)), nullable=nullable) for name in pair.locations]
