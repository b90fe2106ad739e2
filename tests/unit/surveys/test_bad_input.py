"""Whatever is wrong with a raw file of any registered survey: it is explained, or every row is accounted for.

Properties hold for every vintage of the registry. What each message says is proved in `test_ingest.py` and the files
of the single surveys.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from fusion_pipeline.errors import FusionError, IngestError
from fusion_pipeline.surveys.codebook import Codebook
from fusion_pipeline.surveys.variables import Span, Variable
from tests.raw_worlds import (
    DONORS,
    RECIPIENTS,
    REGISTRY,
    Ingested,
    RawTable,
    World,
    ingest_world,
    world,
    write_world,
)

Edit = Callable[[bytes], bytes]
Damage = Callable[[st.DataObject, World, str], None]


def ingested(
    of: World, tables: dict[str, RawTable] | None = None, edits: dict[str, Edit] | None = None
) -> Ingested:
    """Ingest a vintage's files, with some replaced and the bytes of some edited."""
    with TemporaryDirectory() as folder:
        files = write_world(Path(folder), {**of.tables, **(tables or {})})
        for role, edit in (edits or {}).items():
            files[role].write_bytes(edit(files[role].read_bytes()))
        return ingest_world(of.codebook, files)


@cache
def undamaged(key: str) -> Ingested:
    """What ingestion makes of a vintage's files as they should be."""
    return ingested(world(key))


def reconciled(of: World, found: Ingested, tables: dict[str, RawTable] | None = None) -> None:
    """Every row of every file that was read is in a table or counted with its reason."""
    tables = {**of.tables, **(tables or {})}
    report = found.report
    assert report.rows_read == len(tables["households"].rows)
    assert report.rows_read == report.rows_kept + sum(report.dropped.values())
    assert found.households.num_rows == report.rows_kept
    for role, relation in report.relations.items():
        kind = of.codebook.kinds.get(role)
        if kind is None or not kind.keep:
            assert relation.rows == len(tables[role].rows)
    if found.persons is not None:
        about, members = found.person_report, found.members
        assert about.rows_read == len(tables["persons"].rows) == about.rows_kept + sum(about.dropped.values())
        assert members.rows == about.rows_kept == found.persons.num_rows + members.outside


def explained(error: FusionError, *words: str) -> None:
    """The error says where, what and what to do, and names what was damaged."""
    assert error.where and error.what and error.remedy
    for word in words:
        assert word.lower() in f"{error.where} {error.what}".lower(), (word, str(error))


def same(found: Ingested, as_found: Ingested) -> bool:
    return found.households.equals(as_found.households) and (
        found.persons is None or found.persons.equals(as_found.persons)
    )


def variables(codebook: Codebook, role: str) -> list[Variable]:
    """What is read of a file, keys and columns that decide on the row aside."""
    if role not in codebook.kinds:
        return []
    kind = codebook.kinds[role]
    read = {name.lower() for name in read_columns(codebook, role)} - {name.lower() for name in kind.required}
    return [v for v in kind.variables.values() if v.raw.lower() in read]


def read_columns(codebook: Codebook, role: str) -> list[str]:
    """Raw columns that are read of a file: of vehicles and trips those alone that households learn from."""
    if role in ("households", "persons") or role not in codebook.kinds:
        return list(codebook.raw_columns(role))
    behind = [
        source for name in codebook.households.everything for source in codebook.sources("households", name)
    ]
    return list(
        dict.fromkeys([*codebook.kinds[role].required, *(raw for kind, raw in behind if kind == role)])
    )


def codes_of(codebook: Codebook, variable: Variable) -> dict[str, object]:
    """Every code that the codebook knows, and the answer it stands for."""
    codes = {code: label for code, label in variable.levels.items() if Span.parse(code) is None}
    codes |= dict.fromkeys(codebook.missing(variable))
    return codes | dict.fromkeys(codebook.skips(variable), variable.not_applicable)


# -- damages -----------------------------------------------------------------------------------------------------------


def some_row(data: st.DataObject, table: RawTable) -> int:
    return data.draw(st.integers(0, len(table.rows) - 1), label="row")


def drop_column(data: st.DataObject, of: World, role: str) -> None:
    """A column that is read is not there, or under another name."""
    table = of.tables[role]
    column = data.draw(st.sampled_from(read_columns(of.codebook, role)), label="column")
    at = table.position(column)
    new = data.draw(st.sampled_from([(), (f"{column}_R",)]), label="new name")
    rows = tuple(row if new else (*row[:at], *row[at + 1 :]) for row in table.rows)
    changed = {role: RawTable((*table.header[:at], *new, *table.header[at + 1 :]), rows)}
    with pytest.raises(IngestError) as told:
        ingested(of, changed)
    explained(told.value, f"{role}.csv", column)
    assert not new or "which may be meant" in told.value.what


def add_column(data: st.DataObject, of: World, role: str) -> None:
    """A column that nobody knows, anywhere, changes nothing."""
    table = of.tables[role]
    at = data.draw(st.integers(0, len(table.header)), label="position")
    rows = tuple((*row[:at], "?", *row[at:]) for row in table.rows)
    changed = {role: RawTable((*table.header[:at], "XTRA", *table.header[at:]), rows)}
    found = ingested(of, changed)
    reconciled(of, found, changed)
    assert same(found, undamaged(of.key))


def write_nonsense(data: st.DataObject, of: World, role: str) -> None:
    """Any text in any cell that is read."""
    table = of.tables[role]
    column = data.draw(st.sampled_from(read_columns(of.codebook, role)), label="column")
    plain = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=8)
    odd = st.sampled_from(
        ["²", "٣", "inf", "nan", "1e400", "1e30", "9" * 400, "-9" * 9, "0x10", "1_0", "--1", "1..2", "."]
    )
    text = data.draw(odd | plain, label="text")
    changed = {role: table.with_cell(some_row(data, table), column, text)}
    try:
        found = ingested(of, changed)
    except FusionError as error:
        explained(error, role)
    else:
        reconciled(of, found, changed)


def write_unknown(data: st.DataObject, of: World, role: str) -> None:
    """A code that no codebook has, or a word among numbers, is named; but not in rows that do not count."""
    table = of.tables[role]
    read = variables(of.codebook, role)
    column = (
        data.draw(st.sampled_from(read), label="variable").raw
        if read
        else read_columns(of.codebook, role)[-1]
    )
    changed = {role: table.with_cell(some_row(data, table), column, "twelve")}
    try:
        found = ingested(of, changed)
    except IngestError as error:
        # Of keys a message tells no text.
        told = "'twelve'" if read else ""
        explained(error, f"{role}.csv", column, told, "first: row" if role in of.codebook.kinds else "")
    else:
        assert same(found, undamaged(of.key)) and found.report.dropped


def blank_cell(data: st.DataObject, of: World, role: str) -> None:
    """A blank is an answer where the codebook says so, and named where it does not."""
    table, read = of.tables[role], variables(of.codebook, role)
    if not read:
        return
    variable = data.draw(st.sampled_from(read), label="variable")
    changed = {role: table.with_cell(some_row(data, table), variable.raw, "")}
    if variable.flag:
        changed = {role: changed[role].with_cell(some_row(data, table), variable.flag, "")}
    try:
        found = ingested(of, changed)
    except IngestError as error:
        explained(error, f"{role}.csv", variable.raw, "" if variable.flag else "blank")
    else:
        reconciled(of, found, changed)


def repeat_row(data: st.DataObject, of: World, role: str) -> None:
    """A key that occurs twice is named, where records have keys."""
    table = of.tables[role]
    changed = {role: RawTable(table.header, (*table.rows, table.rows[some_row(data, table)]))}
    try:
        found = ingested(of, changed)
    except IngestError as error:
        explained(error, role)
        assert (
            "share their key" in str(error) or "more than once" in str(error) or "more than one" in str(error)
        )
    else:
        reconciled(of, found, changed)
        assert of.codebook.kinds[role].repeats or found.report.dropped


def orphan(data: st.DataObject, of: World, role: str) -> None:
    """A record whose household is in no file is refused, or counted."""
    if role == "households":
        return
    table = of.tables[role]
    some = data.draw(st.booleans(), label="all of them")
    rows = range(len(table.rows)) if some else [some_row(data, table)]
    at = table.position(of.key_column(role))
    changed, known = table, {row[at] for row in table.rows}
    for row in rows:
        # A digit more in front: keys with letters or quotes keep theirs.
        keys = [re.sub(r"\d", rf"{digit}\g<0>", table.rows[row][at], count=1) for digit in "123456789"]
        changed = changed.with_cell(row, of.key_column(role), next(key for key in keys if key not in known))
    try:
        found = ingested(of, {role: changed})
    except IngestError as error:
        explained(error, role)
    else:
        reconciled(of, found, {role: changed})
        before, after = (i.report.relations.get(role) or i.members for i in (undamaged(of.key), found))
        # One whose household was dropped before is outside either way.
        assert after.outside > before.outside or before.outside


def drop_rows(data: st.DataObject, of: World, role: str) -> None:
    """A file of fewer records is a smaller survey, or one whose files do not belong together."""
    table = of.tables[role]
    keep = data.draw(st.sets(st.integers(0, len(table.rows) - 1), min_size=1), label="rows")
    changed = {role: RawTable(table.header, tuple(table.rows[i] for i in sorted(keep)))}
    try:
        found = ingested(of, changed)
    except IngestError as error:
        explained(error)
    else:
        reconciled(of, found, changed)


def garble(data: st.DataObject, of: World, role: str) -> None:
    """A cell in another encoding is found by its file and column."""
    table = of.tables[role]
    column = data.draw(st.sampled_from(read_columns(of.codebook, role)), label="column")
    changed = {role: table.with_cell(some_row(data, table), column, "@@")}
    with pytest.raises(IngestError) as told:
        ingested(of, changed, {role: lambda raw: raw.replace(b"@@", b"\xe9\xff")})
    explained(told.value, f"{role}.csv", column)


def empty(data: st.DataObject, of: World, role: str) -> None:
    """An empty file, or one with a header only, is said to be."""
    edit = data.draw(
        st.sampled_from([lambda raw: b"", lambda raw: b"\n\n", lambda raw: raw[: raw.index(b"\n") + 1]]),
        label="edit",
    )
    with pytest.raises(IngestError) as told:
        ingested(of, edits={role: edit})
    explained(told.value, f"{role}.csv")


def cut(data: st.DataObject, of: World, role: str) -> None:
    """A file that ends anywhere, or holds bytes of any other, is explained or read to its end."""
    raw = of.tables[role].as_csv()
    edit = data.draw(
        st.sampled_from(
            [
                lambda raw: raw.replace(b",", b";"),
                lambda raw: raw.replace(b"\n", b"\r\n"),
                lambda raw: raw.decode().encode("utf-16"),
                lambda raw: b"\xef\xbb\xbf" + raw,
                lambda raw: b"\x1f\x8b" + raw,
                lambda raw: raw.replace(b"1", b"\x00"),
                lambda raw: b'"' + raw,
            ]
        )
        | st.integers(1, len(raw) - 1).map(lambda end: lambda raw: raw[:end]),
        label="edit",
    )
    try:
        found = ingested(of, edits={role: edit})
    except FusionError as error:
        explained(error, role)
    else:
        assert found.report.rows_read == found.report.rows_kept + sum(found.report.dropped.values())


DAMAGES = [
    drop_column, add_column, write_nonsense, write_unknown, blank_cell,
    repeat_row, orphan, drop_rows, garble, empty, cut,
]  # fmt: skip


def latest(keys: tuple[str, ...]) -> list[str]:
    """Of every survey the vintage that was registered last."""
    years = {key: REGISTRY.survey_year(key) for key in keys}
    surveys = {years[key].survey: key for key in sorted(keys, key=lambda key: years[key].year)}
    return list(surveys.values())


LATEST = latest((*DONORS, *RECIPIENTS))


@pytest.mark.parametrize("key", LATEST)
@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_every_file_of_a_survey_with_every_damage(damage: Damage, key: str) -> None:
    of = world(key)
    for role in of.tables:
        once(damage, of, role)


def once(damage: Damage, of: World, role: str) -> None:
    """Damage a file in one way of many."""

    @settings(max_examples=1, phases=[Phase.generate], database=None)
    @given(data=st.data())
    def check(data: st.DataObject) -> None:
        damage(data, of, role)

    check()


@pytest.mark.parametrize("key", [key for key in (*DONORS, *RECIPIENTS) if key not in LATEST])
def test_damaged_file_is_explained_or_every_row_is_accounted_for(key: str) -> None:
    of = world(key)

    # Vintages of a survey share most of their layout: an example of each is many of all.
    @settings(max_examples=1, phases=[Phase.generate], database=None)
    @given(data=st.data())
    def check(data: st.DataObject) -> None:
        damage = data.draw(st.sampled_from(DAMAGES), label="damage")
        damage(data, of, data.draw(st.sampled_from(list(of.tables)), label="file"))

    check()


@pytest.mark.parametrize("key", [*DONORS, *RECIPIENTS])
def test_any_known_code_in_any_cell_is_the_answer_of_the_codebook(key: str) -> None:
    of = world(key)

    @settings(max_examples=1, phases=[Phase.generate])
    @given(data=st.data())
    def check(data: st.DataObject) -> None:
        tables, told = {}, {}
        for role in ("households", "persons"):
            if role not in of.tables:
                continue
            table = of.tables[role]
            coded = {
                name: v
                for name, v in of.codebook.kinds[role].variables.items()
                if v in variables(of.codebook, role) and v.labels and not v.flag
            }
            raws = [v.raw.lower() for v in coded.values()]
            read_twice = [v.raw.lower() for v in of.codebook.kinds[role].variables.values()]
            for name, variable in coded.items():
                if read_twice.count(variable.raw.lower()) > 1:
                    continue
                codes = codes_of(of.codebook, variable)
                code = data.draw(st.sampled_from(sorted(codes)), label=name)
                told[role, name] = codes[code]
                for row in range(len(table.rows)):
                    table = table.with_cell(row, variable.raw, code)
            assert raws
            tables[role] = table
        found = ingested(of, tables)
        reconciled(of, found, tables)
        for (role, name), answer in told.items():
            column = found.households if role == "households" else found.persons
            assert set(column[name].to_pylist()) == {answer}, name

    check()
