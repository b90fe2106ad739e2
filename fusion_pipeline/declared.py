"""What is declared as data in YAML and CSV files of the package: read, and held against its schema.

Belongs here: reading one file whole, and saying what contradicts the schema. Does not belong here: any schema; files
that are put together from several (`surveys/codebook.py`, `harmonize/loading.py`).
"""

from __future__ import annotations

import csv
from collections.abc import Hashable
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import TypeAdapter, ValidationError

from fusion_pipeline.errors import RegistryError

_T = TypeVar("_T")


class UniqueKeys(yaml.CSafeLoader):
    """YAML in which a key that comes twice is an error: of two entries of one name one would silently go."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Refuse a repeated key."""
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"{key.value!r} comes twice; join the two", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def read_declared(schema: type[_T], path: Path) -> _T:
    """Read a YAML file as what `schema` describes: a pydantic model, or a type made of them.

    Raises
    ------
    RegistryError
        Naming the file and the entry that contradicts the schema.
    """
    try:
        content = UniqueKeys(path.read_text(encoding="utf-8")).get_single_data()
        return TypeAdapter(schema).validate_python(content)
    except (ValidationError, yaml.YAMLError) as error:
        raise RegistryError(path.name, f"does not fit its schema.\n{error}", "Correct the entry.") from error


def read_rows(schema: type[_T], path: Path) -> tuple[_T, ...]:
    """Read the rows of a CSV file, each as what `schema` describes; lines that begin with # are comments.

    Raises
    ------
    RegistryError
        Naming the file and the row that contradicts the schema.
    """
    with path.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(line for line in lines if not line.startswith("#")))
    try:
        return tuple(TypeAdapter(list[schema]).validate_python(rows))  # type: ignore[valid-type]
    except ValidationError as error:
        raise RegistryError(path.name, f"does not fit its schema.\n{error}", "Correct the row.") from error
