"""What is declared as data in YAML files of the package: read, and held against its schema.

Belongs here: reading one file whole, and saying what contradicts the schema. Does not belong here: any schema; files
that are put together from several (`surveys/codebook.py`, `harmonize/loading.py`).
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import TypeAdapter, ValidationError

from fusion_pipeline.errors import RegistryError

_T = TypeVar("_T")


def read_declared(schema: type[_T], path: Path) -> _T:
    """Read a YAML file as what `schema` describes: a pydantic model, or a type made of them.

    Raises
    ------
    RegistryError
        Naming the file and the entry that contradicts the schema.
    """
    try:
        return TypeAdapter(schema).validate_python(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (ValidationError, yaml.YAMLError) as error:
        raise RegistryError(path.name, f"does not fit its schema.\n{error}", "Correct the entry.") from error
