"""Reading harmony files, and the harmonies of one pair of vintages from them.

Belongs here: files, what is asked for, and messages that say where it is wrong. Does not belong here: the schema
(`documents.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from fusion_pipeline.declared import UniqueKeys
from fusion_pipeline.errors import RegistryError
from fusion_pipeline.harmonize.definitions import Harmony, HarmonySet, Survey
from fusion_pipeline.harmonize.documents import Document, Pair, Shared
from fusion_pipeline.harmonize.vintages import covers

FOLDER = Path(__file__).parents[1] / "harmonies"
# Years of the recipient that a range without an end is tried for: those with PUMAs of 2010 or 2020.
YEARS = tuple(str(year) for year in range(2013, 2025))


def load_harmonies(
    donor_survey: str,
    donor_vintage: str,
    recipient_vintage: str,
    harmony_set: HarmonySet = "current",
    folder: Path = FOLDER,
) -> Harmony:
    """Give the harmonies of a donor survey-year with a recipient vintage.

    Parameters
    ----------
    donor_survey, donor_vintage : str
        Such as ``RECS`` and ``2015``.
    recipient_vintage : str
        Such as ``2015``, or ``2018_5yr``, which has the codes of 2018.
    harmony_set : {"current", "paper"}
        The latest definitions, or those behind the paper's published data.
    folder : Path
        Where the harmony files lie.

    Raises
    ------
    RegistryError
        If there is no such survey, vintage or set, or the file contradicts the schema; the message names the harmony.
    """
    document = load_document(donor_survey, folder)
    pair = Pair(donor=donor_vintage, recipient=recipient_vintage, set=harmony_set)
    return resolve(document, pair, load_shared(document.recipient, folder))


def resolve(document: Document, pair: Pair, shared: Shared | None = None) -> Harmony:
    """Give what a harmony file says for one pair of vintages.

    Raises
    ------
    RegistryError
        If it says nothing for them, or what it says is no harmony.
    """
    where = f"harmonies/{document.donor}.yaml"
    vintages = f"{document.donor} {pair.donor} with {document.recipient} {pair.recipient}"
    there = document.sets.get(pair.set, {})
    if not covers(there.get(pair.donor, ()), pair.recipient):
        known = "; ".join(f"{donor} with {', '.join(ranges)}" for donor, ranges in there.items())
        raise RegistryError(
            where,
            f"has no harmonies of {vintages} in the set {pair.set!r} (it has {known or 'none'}).",
            "Add the vintages under `sets`, and whatever differs for them.",
        )
    entries = {}
    for name, written in document.harmonies.items():
        if not written.holds(pair):
            continue
        try:
            entry = written.resolve(pair, shared or {})
            if name != (expected := f"{entry.donor.var}__{entry.recipient.var}"):
                raise ValueError(f"it should be named {expected}")
        except ValueError as error:
            raise RegistryError(
                f"{where}, {name}",
                f"is no harmony for {vintages}, set {pair.set}: {_reasons(error)}.",
                "Correct the entry, or the ranges of vintages.",
            ) from error
        entries[name] = entry
    return Harmony(
        set=pair.set,
        donor=Survey(survey=document.donor, vintage=pair.donor),
        recipient=Survey(survey=document.recipient, vintage=pair.recipient),
        entries=entries,
        defects=document.defects_of(pair),
    )


def all_harmonies(survey: str | None = None, folder: Path = FOLDER) -> Iterator[Harmony]:
    """Give every harmony set of every pair of vintages of a donor survey, or of all."""
    for name in [survey] if survey else surveys_with_harmonies(folder):
        document = load_document(name, folder)
        shared = load_shared(document.recipient, folder)
        for harmony_set, vintages in document.sets.items():
            for donor, ranges in vintages.items():
                for year in YEARS:
                    if covers(ranges, year):
                        yield resolve(document, Pair(donor=donor, recipient=year, set=harmony_set), shared)


@cache
def load_document(donor_survey: str, folder: Path = FOLDER) -> Document:
    """Read and validate a harmony file.

    Raises
    ------
    RegistryError
        If there is none for the survey, or it contradicts the schema.
    """
    path = folder / f"{donor_survey}.yaml"
    if not path.is_file():
        raise RegistryError(
            f"harmonies of {donor_survey}",
            f"are not there (there are those of {', '.join(surveys_with_harmonies(folder)) or 'no survey'}).",
            f"Write {path.name}; `fusion harmony draft` proposes one.",
        )
    return _read(path, Document)


@cache
def load_shared(recipient: str, folder: Path = FOLDER) -> Shared:
    """Read the recodes of a recipient's variables that several surveys share; none if there is no such file."""
    path = folder / "shared" / f"{recipient}.yaml"
    return _read(path, None) if path.is_file() else {}


def surveys_with_harmonies(folder: Path = FOLDER) -> list[str]:
    """Donor surveys that have a harmony file."""
    return sorted(path.stem for path in folder.glob("*.yaml"))


def _read(path: Path, schema: type[Document] | None) -> Any:
    try:
        content = UniqueKeys(path.read_text(encoding="utf-8")).get_single_data()
        return schema.model_validate(content) if schema else content
    except (ValidationError, yaml.YAMLError, TypeError) as error:
        raise RegistryError(
            f"harmonies/{path.name}", f"does not fit its schema.\n{error}", "Correct the entry."
        ) from error


def _reasons(error: ValueError) -> str:
    """Messages of the schema's rules, without its own words around them."""
    if isinstance(error, ValidationError):
        return "; ".join(str(e["msg"]).removeprefix("Value error, ") for e in error.errors())
    return str(error)
