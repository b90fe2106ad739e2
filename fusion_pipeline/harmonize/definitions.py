"""What a harmony is: the schema of `harmonies/<set>/<name>.yaml`, validated when loaded.

Belongs here: the data model and the rules a harmony file has to keep. Does not belong here: applying a
harmony to a table (`tables.py`).
"""

from __future__ import annotations

import ast
from itertools import pairwise
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from fusion_pipeline.errors import RegistryError

FOLDER = Path(__file__).parents[1] / "harmonies"
HarmonySet = Literal["current", "paper"]
Aggregator = Literal["reference", "sum", "min", "max", "mean", "median"]
Interval = tuple[float | None, float | None]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Side(_Model):
    """The donor's or the recipient's half of a harmony."""

    var: str
    level: Literal["household", "person"]
    agg: Aggregator | None = None
    """How persons become their household; required for a person variable, not allowed for a household's."""
    expr: str | None = None
    """Evaluated instead of taking the column `var`, see `surveys.derive`."""
    map: dict[int, tuple[str, ...]] | None = None
    """Group -> levels."""
    bins: dict[int, tuple[Interval, ...]] | None = None
    """Group -> half-open intervals `[low, high)`; None is unbounded."""

    @property
    def groups(self) -> list[int]:
        """Group numbers this side can give, ascending; none for a number."""
        return sorted(self.map or self.bins or {})

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns it is made from."""
        return expression_names(self.expr) if self.expr else (self.var,)

    @model_validator(mode="after")
    def _consistent(self) -> Side:
        if (self.level == "person") != (self.agg is not None):
            raise ValueError(f"{self.var}: agg has to be declared for a person variable, and only for one")
        if self.map is not None and self.bins is not None:
            raise ValueError(f"{self.var}: has both map and bins")
        if self.map is not None and self.expr is not None:
            raise ValueError(f"{self.var}: expr gives a number, which needs bins instead of map")
        if not self.columns:
            raise ValueError(f"{self.var}: expr {self.expr!r} names no variable")
        levels = [level for group in (self.map or {}).values() for level in group]
        if repeated := sorted({level for level in levels if levels.count(level) > 1}):
            raise ValueError(f"{self.var}: level {repeated[0]!r} is in two groups")
        intervals = bin_edges(self.bins or {})
        for low, high, group in intervals:
            if not low < high:
                raise ValueError(f"{self.var}: interval [{low}, {high}) of group {group} is empty")
        for (_, high, first), (low, _, second) in pairwise(intervals):
            if low < high:
                raise ValueError(f"{self.var}: intervals of groups {first} and {second} overlap at {low}")
        return self


class Entry(_Model):
    """One harmony: a pair of variables and their common levels."""

    kind: Literal["numeric", "categorical", "categorical_binned", "indicator_sum"]
    ordered: bool | None = None
    """Whether the order of the groups means anything; categorical kinds only."""
    donor: Side
    recipient: Side

    @property
    def is_categorical(self) -> bool:
        """Whether the harmonized predictor is categorical; else it is a number."""
        return self.kind in ("categorical", "categorical_binned")

    @property
    def groups(self) -> list[int]:
        """Groups of a categorical predictor, the same on both sides: its levels."""
        return self.donor.groups

    @model_validator(mode="after")
    def _consistent(self) -> Entry:
        sides = (self.donor, self.recipient)
        if self.is_categorical != (self.ordered is not None):
            raise ValueError("ordered has to be declared for a categorical harmony, and only for one")
        if self.is_categorical:
            if any(not side.groups for side in sides):
                raise ValueError("a categorical harmony needs map or bins on both sides")
            if self.donor.groups != self.recipient.groups:
                raise ValueError(f"the sides differ in groups: {self.donor.groups}, {self.recipient.groups}")
            if self.groups != list(range(1, len(self.groups) + 1)):
                raise ValueError(f"groups have to be 1, 2, ...; they are {self.groups}")
            if (self.kind == "categorical_binned") != any(side.bins for side in sides):
                raise ValueError("kind is categorical_binned when a side has bins, and only then")
            allowed = ("reference", "min", "max") if self.ordered else ("reference",)
            for side in sides:
                if side.agg is not None and side.agg not in allowed:
                    raise ValueError(f"{side.var}: agg {side.agg} is not one of {', '.join(allowed)}")
        elif self.kind == "numeric" and any(side.groups for side in sides):
            raise ValueError("a numeric harmony has neither map nor bins")
        elif self.kind == "indicator_sum" and (
            self.donor.groups or self.recipient.agg != "sum" or self.recipient.groups != [0, 1]
        ):
            raise ValueError(
                "an indicator_sum has a number as donor and a person variable with groups 0 and 1, agg sum"
            )
        return self


class Survey(_Model):
    """A survey and its vintage."""

    survey: str
    vintage: str


class Harmony(_Model):
    """All harmonies of a donor survey and a recipient, by the name of their predictor."""

    name: str
    set: HarmonySet
    donor: Survey
    recipient: Survey
    entries: dict[str, Entry] = Field(alias="harmonies", min_length=1)

    @property
    def file(self) -> str:
        """Path inside the project, for messages."""
        return f"fusion_pipeline/harmonies/{self.set}/{self.name}.yaml"

    @model_validator(mode="after")
    def _names_say_the_pair(self) -> Harmony:
        for name, entry in self.entries.items():
            if name != (expected := f"{entry.donor.var}__{entry.recipient.var}"):
                raise ValueError(f"harmonies.{name} should be named {expected}")
        return self


def load_harmony(name: str, harmony_set: HarmonySet = "current", folder: Path = FOLDER) -> Harmony:
    """Read and validate the harmonies of a pair.

    Parameters
    ----------
    name : str
        Such as ``RECS_2015__ACS_2015``.
    harmony_set : {"current", "paper"}
        The latest definitions, or those behind the paper's published data.
    folder : Path
        Where the sets lie.

    Returns
    -------
    Harmony, whose `entries` maps the name of a harmonized predictor to its definition.

    Raises
    ------
    RegistryError
        If there is no such file, or it contradicts the schema; the message names the entry.
    """
    path = folder / harmony_set / f"{name}.yaml"
    if not path.is_file():
        known = sorted(p.stem for p in path.parent.glob("*.yaml"))
        raise RegistryError(
            f"harmony {name}",
            f"is not in the set {harmony_set!r} (it has {', '.join(known) or 'none'}).",
            f"Add {path.name} there, or choose another.",
        )
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        return Harmony.model_validate({"name": name, "set": harmony_set, **content})
    except (ValidationError, yaml.YAMLError, TypeError) as error:
        raise RegistryError(
            f"harmonies/{harmony_set}/{path.name}", f"does not fit its schema.\n{error}", "Correct the entry."
        ) from error


def expression_names(expression: str) -> tuple[str, ...]:
    """Names of the variables in an expression, in order of appearance.

    Raises
    ------
    ValueError
        If it does not parse.
    """
    try:
        tree = ast.parse(expression, mode="eval")
    except SyntaxError as error:
        raise ValueError(f"{expression!r} is not an expression ({error.msg})") from error
    functions = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    names = (node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and id(node) not in functions)
    return tuple(dict.fromkeys(names))


def bin_edges(bins: dict[int, tuple[Interval, ...]]) -> list[tuple[float, float, int]]:
    """Every interval as (low, high, group), ascending, with infinite ends for unbounded ones."""
    return sorted(
        (float("-inf") if low is None else low, float("inf") if high is None else high, group)
        for group, intervals in bins.items()
        for low, high in intervals
    )
