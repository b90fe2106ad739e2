"""Codebooks: what the columns of a survey's raw file mean, as validated data.

Belongs here: the schema of `codebooks/*.yaml` and their loading. Does not belong here: reading raw files
(`reading.py`) or applying a codebook to them (`coding.py`, `ingest.py`).

Every scalar of a codebook is text: `No` and `01` mean what they look like. A blank cell is the code "". Codes
are compared as numbers where they are whole numbers, so `01`, `1` and `1.0` are one code. A code may be a range,
both ends included: `3..`, `..5`, `1..19`. A codebook may extend another: variables are merged field by field, a
field such as `levels` is replaced whole, and a variable set to null is dropped.

Sources: the publishers' codebooks (named in each file) and the processed variables' labels of fusionData, which
the harmonies use.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)

from fusion_pipeline.errors import RegistryError
from fusion_pipeline.surveys.derive import check_expression

FOLDER = Path(__file__).parents[1] / "codebooks"
RESERVED = ("hid", "pid", "year", "weight")

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]
Text = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]
Ratio = Annotated[float, BeforeValidator(lambda text: float(Fraction(text)))]
RespondentName = Literal["households", "persons"]
_WHOLE = re.compile(r"^[+-]?\d+(\.0*)?$")


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Span(_Model):
    """A range of numbers, both ends included; None is unbounded."""

    low: float | None
    high: float | None

    @classmethod
    def parse(cls, text: str) -> Span | None:
        """Read `3..`, `..5` or `1..19`; None if the text is no range."""
        low, dots, high = text.partition("..")
        if not dots:
            return None
        return cls(low=float(low) if low.strip() else None, high=float(high) if high.strip() else None)

    def __str__(self) -> str:
        """Write the range as a codebook does."""
        return "..".join("" if end is None else f"{end:g}" for end in (self.low, self.high))


SpanText = Annotated[Span, BeforeValidator(lambda text: Span.parse(text) if isinstance(text, str) else text)]


class Variable(_Model):
    """One variable of the processed survey, made from one raw column."""

    raw: Text
    """Raw column; its case does not matter."""
    description: Text
    universe: Text | None = None
    """Whom the question is put to; everybody if unset."""
    unit: Text | None = None
    type: Literal["integer", "number", "factor", "ordered", "place"]
    """A `place` is a zero-padded area code whose levels are those that occur."""
    levels: dict[str, Text] = Field(default_factory=dict)
    """Label of each code, in the order of the levels; several codes may share a label."""
    width: int | None = Field(default=None, ge=1)
    """Digits of a `place`."""
    not_applicable: Text | None = None
    """Label (then the first level, unless listed) or number that stands for a valid skip."""
    not_applicable_codes: tuple[str, ...] | None = None
    """Codes of a valid skip, where the survey's default does not hold."""
    missing_codes: tuple[str, ...] | None = None
    """Codes of a missing answer, where the survey's default does not hold."""
    values: dict[str, float] = Field(default_factory=dict)
    """Codes among the numbers, and the number that each means."""
    range: SpanText | None = None
    """Numbers that the raw column may hold, special codes aside."""
    adjust: Name | None = None
    """Adjustment that turns the raw amount into dollars of the survey year."""

    @property
    def categorical(self) -> bool:
        """Whether the values are labels."""
        return self.type in ("factor", "ordered", "place")

    @property
    def labels(self) -> tuple[str, ...]:
        """All levels in order; empty for numbers and places."""
        if self.type not in ("factor", "ordered"):
            return ()
        listed = tuple(dict.fromkeys(self.levels.values()))
        skip = self.not_applicable
        return listed if skip is None or skip in listed else (skip, *listed)

    @model_validator(mode="after")
    def _fields_fit_the_type(self) -> Variable:
        coded = self.type in ("factor", "ordered")
        if coded != bool(self.levels):
            raise ValueError(f"type {self.type} {'needs' if coded else 'takes no'} levels")
        if (self.type == "place") != (self.width is not None):
            raise ValueError("width belongs to type place, and to no other")
        if self.categorical and (self.values or self.range or self.adjust or self.unit):
            raise ValueError("values, range, adjust and unit belong to numbers")
        if not self.categorical and self.not_applicable is not None:
            float(self.not_applicable)
        return self


class Derived(_Model):
    """A variable computed from others of the same respondent."""

    description: Text
    universe: Text | None = None
    unit: Text | None = None
    type: Literal["number", "factor"]
    expression: Text
    """See `derive.py`."""
    levels: dict[Literal["true", "false"], Text] = Field(default_factory=dict)
    """Labels of what the expression gives, in the order of the levels."""

    @property
    def labels(self) -> tuple[str, ...]:
        """All levels in order; empty for numbers."""
        return tuple(self.levels.values())

    @model_validator(mode="after")
    def _factors_have_two_levels(self) -> Derived:
        if len(self.levels) != (2 if self.type == "factor" else 0):
            raise ValueError("a factor needs the levels true and false, a number none")
        return self


class Identifier(_Model):
    """Raw columns of the keys."""

    hid: Text
    pid: Text | None = None
    letters: dict[str, str] = Field(default_factory=dict)
    """Letters inside an otherwise numeric household key, and the digits that replace them."""


class Replicates(_Model):
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


class Adjustment(_Model):
    """Factor column that amounts are multiplied by."""

    raw: Text
    divisor: float = Field(gt=0)


class Respondent(_Model):
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
        return tuple({name.lower(): name for name in reversed(columns)}.values())[::-1]

    def needs(self, variable: str) -> tuple[str, ...]:
        """Raw columns behind a variable, derived or not."""
        if variable in self.derived:
            sources = check_expression(self.derived[variable].expression, self._levels())
            return tuple(column for source in sources for column in self.needs(source))
        entry = self.variables[variable]
        return (entry.raw, *([self.adjustments[entry.adjust].raw] if entry.adjust else []))

    def _levels(self) -> dict[str, tuple[str, ...]]:
        return {name: variable.labels for name, variable in self.variables.items()}

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
                check_expression(derived.expression, self._levels())
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from error
        return self


class Codebook(_Model):
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
            raise RegistryError(f"codebook {self.survey} {self.vintage}", f"has no {name}.", "Ask for households.")
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
    def _codes_mean_one_thing(self) -> Codebook:
        for respondent in (self.households, self.persons):
            for name, variable in (respondent.variables if respondent else {}).items():
                groups = [self.missing(variable), self.skips(variable), variable.levels, variable.values]
                codes = [canonical(code) for group in groups for code in group]
                if twice := sorted({code for code in codes if codes.count(code) > 1}):
                    raise ValueError(f"variables.{name}: code {twice[0]!r} is given two meanings")
        return self


def canonical(code: str) -> str:
    """Write whole numbers one way (`01`, `1.0` and ` 1` are `1`); other text is only stripped."""
    code = code.strip()
    return str(int(float(code))) if _WHOLE.match(code) else code


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
    try:
        return Codebook.model_validate(content)
    except ValidationError as error:
        entries = "\n".join(
            f"{'.'.join(str(part) for part in e['loc'])}: {e['msg']}" for e in error.errors()
        )
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


def _merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(base.get(key), Mapping) and key not in ("levels", "values"):
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
            raise yaml.constructor.ConstructorError(None, None, f"key {twice[0]} is given twice", node.start_mark)
        return super().construct_mapping(node, deep)
