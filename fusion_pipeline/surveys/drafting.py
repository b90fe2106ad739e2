"""A first draft of what a survey of one's own needs: codebook, harmonies and registry entry, from its CSV file.

Belongs here: what a file can tell of itself. Does not belong here: what only a person knows, the meaning of the codes
and which answers of the ACS they correspond to (docs/your-own-survey.md says where to write it).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from fusion_pipeline.errors import IngestError, SettingsError
from fusion_pipeline.surveys.reading import RawPart, column_names, read_blocks
from fusion_pipeline.surveys.variables import is_whole

MOST_LEVELS = 20
"""A column with more distinct codes is taken for a number, or left out if it holds text."""
_NAME = re.compile(r"^[A-Z][A-Z0-9]*$")


@dataclass(frozen=True)
class Draft:
    """Texts of the files, by path below the folder they are written to, and what was left out."""

    files: dict[str, str]
    left_out: dict[str, str]


def draft_survey(
    name: str, year: int, file: Path, *, id_column: str, weight: str, recipient: str = "2015"
) -> Draft:
    """Draft the files that describe a donor survey.

    Parameters
    ----------
    name : str
        Capital letters and digits, such as ``MYSURVEY``.
    year : int
    file : Path
        Its households: a CSV file, plain, gzipped or zipped, one row each.
    id_column, weight : str
        Raw columns of the household's key and of its weight.
    recipient : str
        ACS year of the registry to fuse onto.

    Raises
    ------
    SettingsError
        If the name is none, a column is not there, the key occurs twice, or the weight is not a positive number
        everywhere.
    IngestError
        If the file cannot be read.
    """
    if not _NAME.match(name):
        raise SettingsError(
            f"survey {name!r}", "is no name.", "Use capital letters and digits, as in MYSURVEY."
        )
    part = RawPart(file)
    columns = column_names(part)
    if absent := [column for column in (id_column, weight) if column not in columns]:
        raise SettingsError(
            f"{file}, column {absent[0]}", "is not there.", f"It has {', '.join(columns[:20])}."
        )
    rest = [column for column in columns if column not in (id_column, weight)]
    counts = _values(part, [id_column, weight, *rest])
    if twice := [count for count in counts[id_column].values() if count > 1]:
        raise SettingsError(
            f"{file}, column {id_column}",
            f"is no key: {len(twice):,} values occur more than once, one of them in {max(twice):,} rows.",
            "Name by --id the column that tells households apart; one row a household.",
        )
    _check_weight(file, weight, counts.pop(weight))
    variables: dict[str, Any] = {}
    left_out: dict[str, str] = {}
    for column in rest:
        entry = _variable(column, counts[column])
        if isinstance(entry, str):
            left_out[column] = entry
        else:
            variables[_name(column, variables)] = entry
    if not variables:
        raise IngestError(str(file), "has no column that could be a variable.", "Name the right file.")
    key, book = f"{name}_{year}", f"{name.lower()}_{year}"
    codebook = {
        "survey": name,
        "vintage": str(year),
        "year": year,
        "source": f"drafted from {file.name}",
        "households": {"id": {"hid": id_column}, "weight": weight, "variables": variables},
    }
    harmonies = {"donor": name, "recipient": "ACS", "sets": {"current": {year: recipient}}, "harmonies": {}}
    registry = {
        "surveys": {
            key: {
                "survey": name,
                "vintage": str(year),
                "year": year,
                "codebook": book,
                "files": {"households": {"name": file.name, "url": "https://example.org"}},
            }
        },
        "pairs": {
            f"{key}__ACS_{recipient}": {
                "donors": [key],
                "recipient": recipient,
                "locations": [],
                "fuse": list(variables)[-1:],
            }
        },
    }
    files = {
        f"codebooks/{book}.yaml": _CODEBOOK + _yaml(codebook),
        f"harmonies/{name}.yaml": _HARMONIES + _yaml(harmonies),
        "registry.yaml": _REGISTRY + _yaml(registry),
    }
    return Draft(files, left_out)


def _values(part: RawPart, columns: Sequence[str]) -> dict[str, Counter[str]]:
    counts: dict[str, Counter[str]] = {column: Counter() for column in columns}
    for batch in read_blocks(part, columns, ()):
        for column, values in zip(columns, batch.columns, strict=True):
            for pair in values.value_counts().to_pylist():
                counts[column][pair["values"].strip()] += pair["counts"]
    return counts


def _check_weight(file: Path, weight: str, counts: Counter[str]) -> None:
    wrong = {text: count for text, count in counts.items() if not _is_weight(_number(text))}
    if wrong:
        raise SettingsError(
            f"{file}, column {weight}",
            f"is no weight: it is no positive number in {sum(wrong.values()):,} of {counts.total():,} rows.",
            "Name by --weight the column that says for how many households each stands; drop rows without one.",
        )


def _is_weight(number: float | None) -> bool:
    return number is not None and 0 < number < math.inf


def _variable(column: str, counts: Counter[str]) -> dict[str, Any] | str:
    codes = sorted(code for code in counts if code)
    blank = {"missing_codes": [""]} if "" in counts else {}
    if not codes:
        return "is blank everywhere"
    if len(codes) == 1:
        return f"has one value, {codes[0]!r}"
    numbers = [_number(code) for code in codes]
    if len(codes) <= MOST_LEVELS:
        ordered = sorted(codes, key=lambda code: (_number(code) is None, _number(code) or 0.0, code))
        return {
            "raw": column,
            "description": column,
            "type": "factor",
            "levels": {code: code for code in ordered},
            **blank,
        }
    if any(number is None for number in numbers):
        return f"holds text, {len(codes):,} different values"
    low, high = min(n for n in numbers if n is not None), max(n for n in numbers if n is not None)
    kind = "integer" if all(is_whole(code) for code in codes) else "number"
    return {
        "raw": column,
        "description": column,
        "type": kind,
        "range": f"{low:.15g}..{high:.15g}",
        **blank,
    }


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _name(column: str, taken: dict[str, Any]) -> str:
    plain = re.sub(r"\W+", "_", column).strip("_").lower()
    plain = plain if plain[:1].isalpha() else f"v_{plain}"
    reserved = plain in ("hid", "pid", "year", "weight") or plain.startswith("rep_")
    plain = f"{plain}_raw" if reserved else plain
    return plain if plain not in taken else f"{plain}_{sum(n.startswith(plain) for n in taken) + 1}"


def _yaml(content: Any) -> str:
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=110)


_CODEBOOK = """\
# What the columns of the survey mean. Every code below occurs in the file; write its label after the colon, say what
# each variable asks, and delete variables nobody needs. Codes of a refusal or of "don't know" belong in
# missing_codes, those of a valid skip in not_applicable_codes (docs/your-own-survey.md).
"""
_HARMONIES = """\
# Questions that both surveys ask, and the answers they have in common: one entry a harmonized predictor. Ten good
# ones are a start; what a fusion variable depends on should be among them (docs/your-own-survey.md).
"""
_REGISTRY = """\
# To be merged into fusion_pipeline/registry.yaml: the survey and the fusion pair. `fuse` lists the fusion variables,
# `locations` the codebook's variables that disclose where a household lives, named as the concordance names them.
"""
