"""How harmonies are written: one file a donor survey, every harmony once, for ranges of vintages.

Belongs here: the schema of `harmonies/<SURVEY>.yaml`, overlays, and what a harmony is for one pair of vintages.
Does not belong here: reading the files (`loading.py`), the harmony that results (`definitions.py`).

`docs/harmonies.md` is the guide to the notation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from fusion_pipeline.harmonize.definitions import (
    Aggregator,
    Entry,
    HarmonySet,
    Interval,
    KnownDefect,
    Side,
)
from fusion_pipeline.harmonize.vintages import Vintages, covers, is_range

Role = Literal["donor", "recipient"]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Pair(_Model):
    """What a definition is asked for: two vintages and a set."""

    donor: str
    recipient: str
    set: HarmonySet = "current"


class Condition(_Model):
    """Where something holds: everything that is named has to fit, what is not named does not matter."""

    donor: Vintages | None = None
    recipient: Vintages | None = None
    set: HarmonySet | None = None

    def holds(self, pair: Pair) -> bool:
        """Whether a pair fits."""
        return (
            (self.donor is None or covers(self.donor, pair.donor))
            and (self.recipient is None or covers(self.recipient, pair.recipient))
            and self.set in (None, pair.set)
        )


class SideDocument(_Model):
    """A variable, its table, how persons become their household, and an expression in its place.

    Written as the name of a household variable, or as a mapping.
    """

    household: str | None = None
    person: str | None = None
    agg: Aggregator | dict[Literal["count"], str] | None = None
    expr: str | dict[str, str | dict[str, str]] | None = None
    """An expression, or one for each donor vintage and, below it, each recipient vintage."""

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"household": value}
        if isinstance(value, Mapping) and isinstance(value.get("expr"), Mapping):
            table = {
                str(donor): {str(k): v for k, v in inner.items()} if isinstance(inner, Mapping) else inner
                for donor, inner in value["expr"].items()
            }
            return {**value, "expr": table}
        return value

    @model_validator(mode="after")
    def _one_variable(self) -> SideDocument:
        if (self.household is None) == (self.person is None):
            raise ValueError("name one variable: household: NAME or person: NAME")
        return self

    def expression(self, pair: Pair) -> str | None:
        """What to evaluate for a pair; None: the variable itself."""
        found: Any = self.expr
        for vintage in (pair.donor, pair.recipient):
            if isinstance(found, dict):
                found = next((v for k, v in found.items() if covers([k], vintage)), None)
        return found

    def side(self, pair: Pair, **groups: Any) -> Side:
        """Resolve it for a pair."""
        agg: Aggregator | None
        agg, count = ("count", self.agg["count"]) if isinstance(self.agg, dict) else (self.agg, None)
        return Side(
            var=str(self.person or self.household),
            level="person" if self.person else "household",
            agg=agg,
            count=count,
            expr=self.expression(pair),
            **groups,
        )


def _as_tuple(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else [value]


Conditions = Annotated[tuple[Condition, ...], BeforeValidator(_as_tuple)]
"""One condition or several, of which one has to hold."""
_ALWAYS = (Condition(),)


class GroupDocument(_Model):
    """What belongs to one group on either side, see `assignment`, and for which pairs there is such a group."""

    when: Conditions = Field(default=_ALWAYS, alias="for")
    donor: Any = None
    recipient: Any = None


class Overlay(_Model):
    """What differs for some pairs. A group's side replaces that side; a group that is null is taken away."""

    when: Conditions = Field(alias="for")
    why: str
    ordered: bool | None = None
    donor: SideDocument | None = None
    recipient: SideDocument | None = None
    groups: dict[str, GroupDocument | None] = {}


class EntryDocument(_Model):
    """One harmony as written: donor and recipient stated once, groups named, and what differs."""

    about: str | None = None
    when: Conditions = Field(default=_ALWAYS, alias="for")
    ordered: bool | None = None
    donor: SideDocument
    recipient: SideDocument
    groups: dict[str, GroupDocument] = {}
    overlays: tuple[Overlay, ...] = ()

    @model_validator(mode="after")
    def _groups_have_different_meanings(self) -> EntryDocument:
        plain: dict[str, str] = {}
        for name in self.groups:
            key = "".join(c for c in name.casefold() if c.isalnum() or c in "+-<>")
            if key in plain:
                raise ValueError(f"groups {plain[key]!r} and {name!r} have one meaning; join them")
            plain[key] = name
        return self

    def holds(self, pair: Pair) -> bool:
        """Whether the harmony exists for a pair."""
        return _any_holds(self.when, pair)

    def resolve(self, pair: Pair, shared: Shared) -> Entry:
        """Lay the overlays on and number the groups that exist for a pair.

        Raises
        ------
        ValueError
            If what results is no harmony: an empty group, a level in two groups, no aggregator.
        """
        ordered, sides = self.ordered, {"donor": self.donor, "recipient": self.recipient}
        groups: dict[str, GroupDocument] = dict(self.groups)
        for overlay in self.overlays:
            if not _any_holds(overlay.when, pair):
                continue
            ordered = ordered if overlay.ordered is None else overlay.ordered
            sides |= {r: s for r, s in (("donor", overlay.donor), ("recipient", overlay.recipient)) if s}
            for name, group in overlay.groups.items():
                if group is None:
                    groups.pop(name, None)
                else:
                    before = groups.get(name, GroupDocument())
                    groups[name] = before.model_copy(update=group.model_dump(exclude_unset=True))
        groups = {name: group for name, group in groups.items() if _any_holds(group.when, pair)}
        parts: dict[str, dict[str, list[str | Interval]]] = {}
        for role, vintage in (("donor", pair.donor), ("recipient", pair.recipient)):
            side = sides[role]
            recodes = shared.get(str(side.person or side.household), {}) if role == "recipient" else {}
            parts[role] = {n: assignment(getattr(g, role), vintage, recodes) for n, g in groups.items()}
        # A group without levels on either side does not exist in these vintages.
        names = [n for n in groups if parts["donor"][n] or parts["recipient"][n]]
        return Entry(
            ordered=ordered if names else None,
            names=tuple(names),
            donor=sides["donor"].side(pair, **_groups(parts["donor"], names)),
            recipient=sides["recipient"].side(pair, **_groups(parts["recipient"], names)),
        )


Shared = dict[str, dict[str, Any]]
"""Variable of the recipient -> name -> levels that several surveys put into one group."""


class DefectDocument(KnownDefect):
    """A known defect of a harmony, and the pairs that have it."""

    when: Conditions = Field(default=_ALWAYS, alias="for")


class Document(_Model):
    """A harmony file: all harmonies of a donor survey with a recipient survey."""

    donor: str
    recipient: str
    sets: dict[HarmonySet, dict[str, Vintages]]
    """Set -> donor vintage -> recipient vintages that it is harmonized with."""
    harmonies: dict[str, EntryDocument]
    defects: tuple[DefectDocument, ...] = ()
    """Of published definitions that are kept as they were; what is our own is corrected."""

    def defects_of(self, pair: Pair) -> tuple[KnownDefect, ...]:
        """Give the known defects of the harmonies of a pair."""
        return tuple(d for d in self.defects if _any_holds(d.when, pair))

    @field_validator("defects")
    @classmethod
    def _are_of_the_paper(cls, defects: tuple[DefectDocument, ...]) -> tuple[DefectDocument, ...]:
        if ours := [d.harmony for d in defects if any(condition.set != "paper" for condition in d.when)]:
            raise ValueError(f"defects of {ours[0]} are not limited to the set paper: correct the harmony")
        return defects

    @field_validator("sets", mode="before")
    @classmethod
    def _text_keys(cls, value: dict[str, dict[Any, Any]]) -> dict[str, dict[str, Any]]:
        return {
            name: {str(key): ranges for key, ranges in content.items()} for name, content in value.items()
        }


def assignment(written: Any, vintage: str, shared: Mapping[str, Any]) -> list[str | Interval]:
    """Levels and intervals that a group holds in a vintage.

    Parameters
    ----------
    written : as in the file
        A level; an interval `{from: low, below: high}`, of which one may be missing; `{shared: name}`; a list of
        these; or `{range of vintages: any of these}`.
    vintage : of this side's survey
    shared : the variable's shared recodes

    Raises
    ------
    ValueError
        If it is none of these.
    """
    match written:
        case None:
            return []
        case str():
            return [written]
        case list():
            return [part for item in written for part in assignment(item, vintage, shared)]
        case {"shared": name} if len(written) == 1:
            if name not in shared:
                raise ValueError(
                    f"there is no shared group {name!r} for this variable (known: {', '.join(shared)})"
                )
            return assignment(shared[name], vintage, shared)
        case dict() if written and set(written) <= {"from", "below"}:
            return [(written.get("from"), written.get("below"))]
        case dict() if written and all(is_range(key) for key in written):
            return [
                part
                for key, item in written.items()
                if covers([str(key)], vintage)
                for part in assignment(item, vintage, shared)
            ]
    raise ValueError(
        f"{written!r} is no level, interval {{from: .., below: ..}}, {{shared: name}} or {{vintages: ..}}; "
        "a level that looks like a number needs quotes"
    )


def _any_holds(conditions: tuple[Condition, ...], pair: Pair) -> bool:
    return any(condition.holds(pair) for condition in conditions)


def _groups(parts: Mapping[str, list[str | Interval]], names: list[str]) -> dict[str, Any]:
    numbered = {position: tuple(parts[name]) for position, name in enumerate(names, 1) if parts[name]}
    kinds = {isinstance(part, str) for group in numbered.values() for part in group}
    if len(kinds) == 2:
        raise ValueError("one side has levels in one group and intervals in another")
    return {"map" if kinds == {True} else "bins": numbered} if numbered else {}
