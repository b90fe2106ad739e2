"""Codebooks: what the columns of a survey's raw file mean, as validated data.

Belongs here: the schema of `codebooks/*.yaml`, variables apart (`variables.py`), and their loading. Does not
belong here: reading raw files (`reading.py`) or applying a codebook to them (`coding.py`, `ingest.py`).

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
from collections.abc import Iterable, Mapping
from fractions import Fraction
from functools import cache
from itertools import takewhile
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BeforeValidator, Field, ValidationError, field_validator, model_validator

from fusion_pipeline.errors import RegistryError
from fusion_pipeline.surveys.derive import check_expression, expression_kind
from fusion_pipeline.surveys.variables import (
    Derived,
    Entry,
    Name,
    SpanText,
    Text,
    Variable,
    canonical,
    is_whole,
)

FOLDER = Path(__file__).parents[1] / "codebooks"
CODES = FOLDER / "codes"
RESERVED = ("hid", "pid", "year", "weight")
NUMBERS_OF_EVERY_RECORD = ("year",)
"""Reserved columns that an expression may name."""

Ratio = Annotated[float, BeforeValidator(lambda text: float(Fraction(text)))]
RespondentName = Literal["households", "persons"]


class Identifier(Entry):
    """Raw columns of the keys."""

    hid: Text
    pid: Text | None = None
    letters: dict[str, str] = Field(default_factory=dict)
    """Letters inside an otherwise numeric household key, and the digits that replace them."""


class Replicates(Entry):
    """Replicate weights, and the variance they are made for: scale x sum of squared deviations."""

    raw: Text
    """Column name with {} for the number, from 1."""
    count: int = Field(ge=2)
    method: Text
    scale: Ratio = Field(gt=0)

    @property
    def columns(self) -> tuple[str, ...]:
        """Raw columns in order."""
        return tuple(self.raw.format(number) for number in range(1, self.count + 1))


class Adjustment(Entry):
    """Factor column that amounts are multiplied by."""

    raw: Text
    divisor: float = Field(gt=0)
    published: float | None = None
    """The one factor of the vintage, as the publisher's codebook prints it; stands in for a column that is absent."""


class Respondent(Entry):
    """One kind of record: households or persons."""

    id: Identifier
    weight: Text
    replicates: Replicates | None = None
    keep: dict[Text, SpanText] = Field(default_factory=dict)
    """Rows are kept where each of these raw columns is in its range."""
    adjustments: dict[Name, Adjustment] = Field(default_factory=dict)
    locations: tuple[Name, ...] = ()
    """Variables that disclose where the household lives, named as the concordance names them."""
    variables: dict[Name, Variable] = Field(min_length=1)
    derived: dict[Name, Derived] = Field(default_factory=dict)

    @property
    def required(self) -> tuple[str, ...]:
        """Raw columns that no file may lack: keys, weight and those that decide which rows are kept."""
        keys = (self.id.hid, self.id.pid, self.weight, *self.keep)
        return tuple(dict.fromkeys(name for name in keys if name))

    @property
    def raw_columns(self) -> tuple[str, ...]:
        """Every raw column that is read, once."""
        columns = [*self.required, *(self.replicates.columns if self.replicates else ())]
        columns += [adjustment.raw for adjustment in self.adjustments.values()]
        columns += [variable.raw for variable in self.variables.values()]
        return tuple(spellings(columns).values())

    @property
    def everything(self) -> dict[str, Variable | Derived]:
        """Variables and derived variables by name."""
        return {**self.variables, **self.derived}

    def needs(self, variable: str) -> tuple[str, ...]:
        """Raw columns behind a variable, derived or not."""
        if variable in self.derived:
            return tuple(column for source in self.sources(variable) for column in self.needs(source))
        if variable in NUMBERS_OF_EVERY_RECORD:
            return ()
        entry = self.variables[variable]
        adjustment = self.adjustments[entry.adjust] if entry.adjust else None
        return (entry.raw, *([adjustment.raw] if adjustment and adjustment.published is None else []))

    def sources(self, derived: str) -> tuple[str, ...]:
        """Variables that a derived variable's expressions name."""
        found = [check_expression(text, self._levels(derived)) for text in self.derived[derived].expressions]
        return tuple(dict.fromkeys(name for names in found for name in names))

    def never_predicts(self, variable: str) -> frozenset[str]:
        """Variables that must not predict a variable where it is missing: those it is derived from, and those
        declared."""
        if variable not in self.derived:
            return frozenset()
        sources = self.sources(variable)
        deeper = (self.never_predicts(source) for source in sources)
        return frozenset({*sources, *self.derived[variable].imputed_without}.union(*deeper))

    def _levels(self, before: str | None = None) -> dict[str, tuple[str, ...]]:
        """Levels of the variables that an expression may name: all, and the derived ones before it."""
        earlier = list(takewhile(lambda name: name != before, self.derived))
        known = {name: variable.labels for name, variable in self.variables.items()}
        known |= {name: self.derived[name].labels for name in earlier}
        return known | dict.fromkeys(NUMBERS_OF_EVERY_RECORD, ())

    @model_validator(mode="after")
    def _references_exist(self) -> Respondent:
        names = [*self.variables, *self.derived]
        if clash := [n for n in names if n in RESERVED or n.startswith("rep_") or names.count(n) > 1]:
            raise ValueError(f"{clash[0]} is a reserved name, or is used twice")
        for name, variable in self.variables.items():
            if variable.adjust and variable.adjust not in self.adjustments:
                raise ValueError(f"{name}: there is no adjustment {variable.adjust}")
        if unknown := set(self.locations) - set(self.variables):
            raise ValueError(f"locations: {sorted(unknown)} are not among the variables")
        for name, derived in self.derived.items():
            try:
                kinds = {expression_kind(text, self._levels(name)) for text in derived.expressions}
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from error
            if kinds != {"number" if derived.type == "number" else "boolean"}:
                raise ValueError(f"{name}: a {derived.type} cannot be made of this expression")
            if unknown := set(derived.imputed_without) - set(names):
                raise ValueError(f"{name}: imputed_without names {sorted(unknown)}, which do not exist")
        return self


class Codebook(Entry):
    """All of one survey vintage."""

    survey: Text
    vintage: Text
    year: int
    source: Text
    """The publisher's codebook."""
    missing_codes: tuple[str, ...] = ()
    """Codes of a missing answer, unless a variable says otherwise."""
    not_applicable_codes: tuple[str, ...] = ()
    """Codes of a valid skip, unless a variable says otherwise."""
    households: Respondent
    persons: Respondent | None = None

    def respondent(self, name: RespondentName) -> Respondent:
        """Look up households or persons.

        Raises
        ------
        RegistryError
            If the survey has no such records.
        """
        found = self.households if name == "households" else self.persons
        if found is None:
            raise RegistryError(
                f"codebook {self.survey} {self.vintage}", f"has no {name}.", "Ask for households."
            )
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

    @field_validator("persons")
    @classmethod
    def _persons_have_an_identifier(cls, persons: Respondent | None) -> Respondent | None:
        if persons is not None and persons.id.pid is None:
            raise ValueError("persons need id.pid")
        return persons

    @model_validator(mode="after")
    def _codes_are_unambiguous(self) -> Codebook:
        for respondent in (self.households, self.persons):
            for name, variable in (respondent.variables if respondent else {}).items():
                groups = [self.missing(variable), self.skips(variable), variable.levels, variable.values]
                codes = [canonical(code) for group in groups for code in group]
                if not variable.categorical and (words := [c for c in codes if c and not is_whole(c)]):
                    raise ValueError(f"variables.{name}: code {words[0]!r} is no whole number")
                if twice := sorted({code for code in codes if codes.count(code) > 1}):
                    raise ValueError(f"variables.{name}: code {twice[0]!r} is given two meanings")
        return self


def spellings(columns: Iterable[str]) -> dict[str, str]:
    """Name each raw column once, as first spelt, by its lower-case name."""
    named: dict[str, str] = {}
    for column in columns:
        named.setdefault(column.lower(), column)
    return named


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
        raise RegistryError(where, "does not exist.", f"Choose one of: {', '.join(known)}.")
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
    respondents = [part for part in content.values() if isinstance(part, Mapping)]
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


class _TextLoader(yaml.SafeLoader):
    """YAML in which every scalar but null is text, and a key given twice is an error."""

    yaml_implicit_resolvers = {  # noqa: RUF012
        first: [(tag, pattern) for tag, pattern in resolvers if tag.rpartition(":")[2] in ("null", "merge")]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if key.tag.rpartition(":")[2] != "merge"]
        if twice := [key for key in keys if keys.count(key) > 1]:
            raise yaml.constructor.ConstructorError(
                None, None, f"key {twice[0]} is given twice", node.start_mark
            )
        return super().construct_mapping(node, deep)
