"""Codebooks: what the columns of a survey's raw files mean, as validated data.

Belongs here: the schema of `codebooks/*.yaml` as a whole, what it says across kinds of records, and its loading.
Kinds of records are in `respondents.py`, variables in `variables.py`. Does not belong here: reading raw files
(`reading.py`) or applying a codebook to them (`coding.py`, `ingest.py`).

Every scalar of a codebook is text: `No` and `01` mean what they look like. A blank cell is the code "".
Codes are compared as numbers where they are whole numbers, so `01`, `1` and `1.0` are one code. A code may be
a range, both ends included: `3..`, `..5`, `1..19`. A codebook may extend another: variables are merged field
by field, a field such as `levels` is replaced whole, and a variable set to null is dropped. A code list too long
for a codebook is a file, `codebooks/codes/<name>.csv` (code, label), and `levels` is its name.

Sources: the publishers' codebooks (named in each file), and the labels of fusionData's processed variables,
which the harmonies use.
"""

from __future__ import annotations

import csv
from collections.abc import Collection, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from fusion_pipeline.errors import RegistryError, choose_among
from fusion_pipeline.surveys.panel import Panel
from fusion_pipeline.surveys.respondents import NUMBERS_OF_EVERY_RECORD, Respondent
from fusion_pipeline.surveys.variables import Entry, Name, Text, Variable, canonical, is_whole

FOLDER = Path(__file__).parents[1] / "codebooks"
CODES = FOLDER / "codes"


class Codebook(Entry):
    """All of one survey vintage."""

    survey: Text
    vintage: Text
    year: int
    source: Text
    """The publisher's codebook."""
    quote: str = Field(default='"', min_length=1, max_length=1)
    """Character that texts stand in."""
    missing_codes: tuple[str, ...] = ()
    """Codes of a missing answer, unless a variable says otherwise."""
    not_applicable_codes: tuple[str, ...] = ()
    """Codes of a valid skip, unless a variable says otherwise."""
    households: Respondent
    persons: Respondent | None = None
    records: dict[Name, Respondent] = Field(default_factory=dict)
    """Other records of households, such as vehicles and trips, by the role of their file."""
    panel: Panel | None = None
    """Of a pooled donor: how the interviews of its survey-years make one record."""

    @property
    def kinds(self) -> dict[str, Respondent]:
        """Every kind of record by name, which is the role of its file in the registry."""
        persons = {} if self.persons is None else {"persons": self.persons}
        return {"households": self.households, **persons, **self.records}

    @property
    def roles(self) -> tuple[str, ...]:
        """Roles of all files that the codebook can read."""
        replicates = self.households.replicates
        return (*self.kinds, *([replicates.file] if replicates and replicates.file else []))

    def respondent(self, name: str) -> Respondent:
        """Look a kind of record up.

        Raises
        ------
        RegistryError
            If the survey has no such records.
        """
        if name not in self.kinds:
            raise RegistryError(
                f"codebook {self.survey} {self.vintage}",
                f"has no {name}.",
                f"Ask for one of: {', '.join(self.kinds)}.",
            )
        return self.kinds[name]

    def raw_columns(self, role: str) -> tuple[str, ...]:
        """Every raw column that is read of a file, by its role."""
        replicates = self.households.replicates
        if replicates is not None and role == replicates.file:
            return (self.households.id.hid, *replicates.columns)
        return self.kinds[role].raw_columns if role in self.kinds else ()

    def sources(self, kind: str, variable: str) -> tuple[tuple[str, str], ...]:
        """Name the files (by role) and raw columns behind a variable of a kind of record."""
        entry = self.respondent(kind)
        if variable in entry.id.columns:
            return ((kind, entry.id.columns[variable]),)
        if variable in NUMBERS_OF_EVERY_RECORD:
            return ()
        if variable in entry.derived:
            found = [s for name in entry.parts(variable) for s in self.sources(kind, name)]
        elif variable in entry.predicted:
            found = [
                s for name in entry.predicted[variable].parts(entry.asked) for s in self.sources(kind, name)
            ]
        elif variable in entry.summaries:
            summary = entry.summaries[variable]
            child = self.respondent(summary.of)
            found = [(summary.of, child.id.hid)]
            found += [s for name in summary.uses(child.columns) for s in self.sources(summary.of, name)]
        else:
            own = entry.variables[variable]
            adjustment = entry.adjustments[own.adjust] if own.adjust else None
            found = [(kind, raw) for raw in own.columns]
            found += [(kind, adjustment.raw)] if adjustment and adjustment.published is None else []
        return tuple(dict.fromkeys(found))

    def left_out(self, kind: str, absent: Mapping[str, Collection[str]]) -> dict[str, str]:
        """Say which variables of a kind of record cannot be made from the files there are, and for want of what.

        Parameters
        ----------
        kind : such as "households"
        absent : role of every file there is, to the raw columns it lacks

        Returns
        -------
        Variable, or `rep_1`, ... -> the absent raw columns, or `file <role>`, apart by commas; of replicate weights
        the first.
        """
        entry = self.respondent(kind)
        lacking = {role: {column.lower() for column in columns} for role, columns in absent.items()}
        needs = {name: self.sources(kind, name) for name in entry.everything}
        if replicates := entry.replicates:
            role = replicates.file or kind
            behind = tuple((role, raw) for raw in replicates.columns)
            needs |= {f"rep_{number}": behind for number in range(1, replicates.count + 1)}
        found: dict[str, str] = {}
        for name, sources in needs.items():
            wanting: dict[str, None] = {}
            for role, raw in sources:
                if role not in lacking:
                    wanting[f"file {role}"] = None
                elif raw.lower() in lacking[role]:
                    wanting[raw if role == kind else f"{role}.{raw}"] = None
            if wanting:
                found[name] = ", ".join(wanting) if name in entry.everything else next(iter(wanting))
        return found

    def missing(self, variable: Variable) -> tuple[str, ...]:
        """Codes of a missing answer to this variable."""
        return self.missing_codes if variable.missing_codes is None else variable.missing_codes

    def skips(self, variable: Variable) -> tuple[str, ...]:
        """Codes of a valid skip of this variable; none unless it says what stands for them."""
        if variable.not_applicable is None:
            return ()
        return (
            self.not_applicable_codes
            if variable.not_applicable_codes is None
            else variable.not_applicable_codes
        )

    @field_validator("households")
    @classmethod
    def _households_stand_alone(cls, households: Respondent) -> Respondent:
        if households.weight is None:
            raise ValueError("households need a weight")
        if households.expect or households.counted_by or households.outside != "drop":
            raise ValueError("outside, expect and counted_by belong to the other kinds of records")
        return households

    @field_validator("persons")
    @classmethod
    def _persons_have_an_identifier(cls, persons: Respondent | None) -> Respondent | None:
        if persons is not None and persons.id.pid is None:
            raise ValueError("persons need id.pid")
        return persons

    @model_validator(mode="after")
    def _kinds_fit_together(self) -> Codebook:
        if clash := [role for role in self.roles if self.roles.count(role) > 1]:
            raise ValueError(f"{clash[0]} names two files")
        for kind, entry in self.kinds.items():
            if kind == "households":
                continue
            if entry.summaries or (entry.replicates and entry.replicates.file):
                raise ValueError(
                    f"{kind}: only households have summaries, or replicate weights in another file"
                )
            counter = self.households.variables.get(entry.counted_by or "")
            if entry.counted_by and (counter is None or counter.categorical):
                raise ValueError(f"{kind}.counted_by: {entry.counted_by} is no number of households")
            if entry.expect == "reference person" and entry.id.pid is None:
                raise ValueError(f"{kind}.expect: a reference person is known by its pid")
        for name, summary in self.households.summaries.items():
            if summary.of not in self.kinds or summary.of == "households":
                raise ValueError(f"summaries.{name}.of: there are no {summary.of}")
            try:
                summary.uses(self.kinds[summary.of].columns)
            except ValueError as error:
                raise ValueError(f"summaries.{name}: {error}") from error
        return self

    @model_validator(mode="after")
    def _pool_is_declared(self) -> Codebook:
        if any(
            entry.predicted for kind, entry in self.kinds.items() if kind != "households" or not self.panel
        ):
            raise ValueError("predicted variables belong to the households of a panel")
        if self.panel is not None:
            if self.panel.flows not in {s.of for s in self.households.summaries.values()}:
                raise ValueError(f"panel.flows: households have no summaries of {self.panel.flows}")
            numbers = [name for name, labels in self.households.asked.items() if not labels]
            if unknown := set(self.panel.alike) - set(numbers):
                raise ValueError(f"panel.alike: {sorted(unknown)} are no numbers of households")
        return self

    @model_validator(mode="after")
    def _codes_are_unambiguous(self) -> Codebook:
        for entry in self.kinds.values():
            for name, variable in entry.variables.items():
                groups = [self.missing(variable), self.skips(variable), variable.levels, variable.values]
                codes = [canonical(code) for group in groups for code in group]
                if words := [code for code in variable.values if not is_whole(code)]:
                    raise ValueError(f"variables.{name}: code {words[0]!r} is no whole number")
                if twice := sorted({code for code in codes if codes.count(code) > 1}):
                    raise ValueError(f"variables.{name}: code {twice[0]!r} is given two meanings")
        return self


def load_codebook(name: str, folder: Path = FOLDER) -> Codebook:
    """Read and validate a codebook, with those it extends.

    Parameters
    ----------
    name : str
        File name without `.yaml`.
    folder : Path
        Where to look first; extended codebooks may also be the project's own.

    Raises
    ------
    RegistryError
        Naming the file and the entry that contradicts the schema.
    """
    # The project's own never change while a process lives, and every step asks for several.
    return _own(name) if folder == FOLDER else _validated(name, folder)


@cache
def _own(name: str) -> Codebook:
    return _validated(name, FOLDER)


def _validated(name: str, folder: Path) -> Codebook:
    content = _load(name, folder, ())
    _open_code_lists(content, f"codebooks/{name}.yaml")
    try:
        return Codebook.model_validate(content)
    except ValidationError as error:
        entries = "\n".join(f"{'.'.join(str(part) for part in e['loc'])}: {e['msg']}" for e in error.errors())
        raise RegistryError(
            f"codebooks/{name}.yaml", f"does not fit its schema.\n{entries}\n", "Correct the entries."
        ) from error


def _load(name: str, folder: Path, seen: tuple[str, ...]) -> dict[str, Any]:
    where = f"codebooks/{name}.yaml"
    path = next((p for p in (folder / f"{name}.yaml", FOLDER / f"{name}.yaml") if p.is_file()), None)
    if path is None:
        known = sorted(p.stem for p in FOLDER.glob("*.yaml"))
        raise RegistryError(where, "does not exist.", choose_among(name, known))
    if name in seen:
        raise RegistryError(where, f"extends itself through {', '.join(seen)}.", "Break the circle.")
    try:
        content = _TextLoader(path.read_text(encoding="utf-8")).get_single_data()
    except yaml.YAMLError as error:
        raise RegistryError(where, f"is not YAML ({error}).", "Correct it.") from error
    if not isinstance(content, dict):
        raise RegistryError(where, "is not a mapping.", "Write the fields of the schema.")
    base = content.pop("extends", None)
    return content if base is None else _merge(_load(base, folder, (*seen, name)), content)


def _open_code_lists(content: Mapping[str, Any], where: str) -> None:
    """Replace names of code lists by the lists."""
    records = content.get("records")
    parts = [*content.values(), *(records.values() if isinstance(records, Mapping) else ())]
    respondents = [part for part in parts if isinstance(part, Mapping)]
    for variables in (
        part["variables"] for part in respondents if isinstance(part.get("variables"), Mapping)
    ):
        for name, variable in variables.items():
            if isinstance(variable, dict) and isinstance(listed := variable.get("levels"), str):
                variables[name] = variable | {"levels": _code_list(listed, where)}


@cache
def _code_list(name: str, where: str) -> dict[str, str]:
    path = CODES / f"{name}.csv"
    if not path.is_file():
        raise RegistryError(
            where, f"names the code list {name}, and there is no {path.name}.", "Correct the name."
        )
    with path.open(encoding="utf-8", newline="") as file:
        return {row["code"]: row["label"] for row in csv.DictReader(file)}


def _merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        if value is None:
            merged.pop(key, None)
        elif (
            isinstance(value, Mapping)
            and isinstance(base.get(key), Mapping)
            and key not in ("levels", "values")
        ):
            merged[key] = _merge(base[key], value)
        else:
            merged[key] = value
    return merged


class _TextLoader(yaml.CSafeLoader):
    """YAML in which every scalar but null is text, and a key given twice is an error."""

    yaml_implicit_resolvers = {  # noqa: RUF012
        first: [(tag, pattern) for tag, pattern in resolvers if tag.rpartition(":")[2] in ("null", "merge")]
        for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if key.tag.rpartition(":")[2] != "merge"]
        if twice := [key for key in keys if keys.count(key) > 1]:
            raise yaml.constructor.ConstructorError(
                None, None, f"key {twice[0]} is given twice", node.start_mark
            )
        return super().construct_mapping(node, deep)
