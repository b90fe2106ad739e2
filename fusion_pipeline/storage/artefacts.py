"""What an asset hands to the store and gets from it: tables with their provenance, and donor-recipient pairs.

Belongs here: writing and opening an asset's tables as one artefact. Does not belong here: Dagster's side of
it (`resources/parquet_io.py`), single tables (`tables.py`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa

from fusion_pipeline.errors import StorageError
from fusion_pipeline.storage.atomic import atomic_directory, recover
from fusion_pipeline.storage.tables import TableRef, table_digest, write_table


@dataclass(frozen=True)
class PairTables:
    """The donor's and the recipient's table of one fusion pair, on disk.

    `draws` holds what differs in further draws of the donors' places, if the artefact has them.
    """

    donor: TableRef
    recipient: TableRef
    draws: TableRef | None = None


@dataclass(frozen=True)
class Artefact:
    """One table, or a donor's and a recipient's, and where it came from.

    `volatile` columns say where something lies on this machine; they are no part of the version.
    """

    tables: pa.Table | Mapping[str, pa.Table]
    provenance: Mapping[str, Any] = field(default_factory=dict)
    volatile: tuple[str, ...] = ()
    beside: tuple[Path, ...] = ()
    """Files that were written with it: part of the version, and of the receipt."""
    sound: bool = True
    """Whether every blocking check of the asset itself passed."""
    account: Mapping[str, Any] = field(default_factory=dict)
    """What the asset reports of it, for its receipt."""

    @cached_property
    def digest(self) -> str:
        """Data version: equal content, equal digest."""
        if isinstance(self.tables, pa.Table):
            whole = table_digest(self.tables.drop_columns(list(self.volatile)))
            if not self.beside:
                return whole
            parts = "".join([whole, *(hashlib.sha256(path.read_bytes()).hexdigest() for path in self.beside)])
        else:
            parts = "".join(f"{name}:{table_digest(table)}" for name, table in sorted(self.tables.items()))
        return hashlib.sha256(parts.encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Kept(Artefact):
    """The artefact that is there already and stays: nothing is to be written."""

    tables: pa.Table | Mapping[str, pa.Table] = field(default_factory=dict)


def write_artefact(path: Path, artefact: Artefact) -> None:
    """Write one table to the file `path`, or several into the directory `path`, atomically."""
    provenance = {**artefact.provenance, "digest": artefact.digest}
    if isinstance(artefact.tables, pa.Table):
        write_table(path, artefact.tables, provenance)
        return
    with atomic_directory(path) as folder:
        for name, table in artefact.tables.items():
            write_table(folder / f"{name}.parquet", table, provenance)


def open_pair(path: Path) -> PairTables:
    """Open the two tables of a fusion pair.

    Raises
    ------
    StorageError
        If the artefact is not there.
    """
    recover(path)
    if not path.is_dir():
        raise StorageError(str(path), "does not exist.", "Materialize the asset and partition first.")
    draws = path / "draws.parquet"
    return PairTables(
        TableRef(path / "donor.parquet"),
        TableRef(path / "recipient.parquet"),
        TableRef(draws) if draws.is_file() else None,
    )
