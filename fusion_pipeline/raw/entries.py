"""Entries of the registry for raw files: what the publisher calls them, and what a mirror may hold in their place.

Belongs here: the schema of a file's entry. Does not belong here: finding the file (`raw/resolving.py`), the rest of the
registry (`registry.py`, `geography/datasets.py`).
"""

from __future__ import annotations

from collections.abc import Collection
from fnmatch import fnmatchcase
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

Key = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]+$")]
Role = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class Model(BaseModel):
    """Unknown fields are errors, and entries do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class FoldedFlag(Model):
    """A column of codes that belongs into the cells of another, as files of another year have it."""

    flag: str
    """Raw column of the codes."""
    amount: str
    """Its code where the cell holds an amount, which stays; a blank one leaves the cell as it is, too."""


class Excerpt(Model):
    """The records of a file that are wanted of it, and how its columns become those of the file they stand in for.

    The records of one year in a five-year ACS file, for example: their key begins with the year, their weights
    represent a fifth of the households, and who pays for energy is told in columns that files before 2018 have not.
    """

    begins: dict[str, str] = Field(min_length=1)
    """Raw column: the text with which its cells begin in the records wanted."""
    times: dict[str, int] = {}
    """Pattern of raw columns: factor of their whole numbers."""
    fold: dict[str, FoldedFlag] = {}
    """Raw column of amounts: the flag whose other codes take the place of the amount."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Raw columns that it needs beside those it changes."""
        return (*self.begins, *(folded.flag for folded in self.fold.values()))

    @property
    def sentence(self) -> str:
        """Say which records are wanted."""
        return " and ".join(f"{column} begins with {text}" for column, text in self.begins.items())


class Part(Model):
    """One file of an alternative that is split, say by state."""

    path: str
    """Relative to the mirror folder."""
    size: int | None = Field(default=None, ge=0)
    """Bytes of the file as it lies there."""
    sha256: Sha256 | None = None
    """Of the file as it lies there."""
    states: tuple[Key, ...] = ()
    """State FIPS codes covered; empty: all."""


class Alternative(Model):
    """Other files in which a mirror folder may hold a raw file, perhaps only part of it."""

    path: str | None = None
    """Of one file; relative to the mirror folder."""
    size: int | None = Field(default=None, ge=0)
    sha256: Sha256 | None = None
    states: tuple[Key, ...] = ()
    parts: tuple[Part, ...] = ()
    """In place of `path`: several files. A mirror may hold any of them; the states of those it has count."""
    absent: tuple[str, ...] = ()
    """Raw columns that the official file has and these have not."""
    only: tuple[str, ...] = ()
    """Raw columns that these have (`BRRWT*`: all that begin so), where they lack most of the official one's; empty: all
    but `absent`."""
    excerpt: Excerpt | None = None
    """Which of these files' records are meant, where they hold others too."""
    without: tuple[Role, ...] = ()
    """Roles of the survey's other files that did not come with these: taken from the mirror or left out."""

    @property
    def files(self) -> tuple[Part, ...]:
        """The parts, or the one file."""
        return self.parts or (
            Part(path=self.path or "", size=self.size, sha256=self.sha256, states=self.states),
        )

    @model_validator(mode="after")
    def _one_file_or_parts(self) -> Alternative:
        if bool(self.path) == bool(self.parts) or (self.parts and (self.size or self.sha256 or self.states)):
            raise ValueError(
                "an alternative is one path with size, sha256 and states, or parts that have them"
            )
        return self

    def lacks(self, columns: Collection[str]) -> tuple[str, ...]:
        """Name those of the columns read of the official file that these have not."""
        here = [name.lower() for name in self.only]
        missing = [c for c in columns if here and not any(fnmatchcase(c.lower(), name) for name in here)]
        return (*self.absent, *missing)


class RawFile(Model):
    """A raw file as its publisher names it."""

    name: Annotated[str, Field(pattern=r"^[^/.][^/]*$")]
    url: Annotated[str, Field(pattern=r"^https?://")]
    size: int | None = Field(default=None, ge=0)
    """Bytes that the publisher's file has: looked at before it is digested, and when it was downloaded."""
    sha256: Sha256 | None = None
    member: str = "*.csv"
    """Which members of a zip archive hold the records: patterns apart by `;`. Several roles may share an archive."""
    alternatives: tuple[Alternative, ...] = ()
    by_hand: bool = False
    """Its address shows it in a form that has to be turned into the file by hand: it is never downloaded."""
    optional: bool = False
    """Of geography: what needs it is left out by name where neither mirror nor cache has it; `fusion fetch` gets it."""
