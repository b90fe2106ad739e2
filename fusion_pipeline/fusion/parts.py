"""Row blocks of an implicate that are drawn already, kept on disk until its file can be made of them.

Belongs here: where such blocks lie, which of them are there, joining them. Does not belong here: drawing them
(`fusing.py`).

    .implicate=07.parts/KEY/000012.arrow    block 12 of implicate 7, beside the folder of the implicate
    .implicate=07.work                      locked by the call that draws it

The key names all that decides the values (model set, recipient, seed, rows of a block ...), so a part is either what
would be drawn again, or of no use. Parts are Arrow files, because they are read once; a kill leaves whole parts only.
Whoever draws an implicate holds its lock, so that two calls for the same one do the work once.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from fusion_pipeline.errors import StorageError
from fusion_pipeline.storage.atomic import atomic_directory, atomic_file, exclusive
from fusion_pipeline.storage.tables import encode

_OPTIONS = pa.ipc.IpcWriteOptions(compression="lz4")


class Parts:
    """Row blocks of one implicate.

    Parameters
    ----------
    file : Path
        Of the implicate.
    key : str
        Digest of what decides its values.
    """

    def __init__(self, file: Path, key: str) -> None:
        self._file = file
        self._home = file.parent.with_name(f".{file.parent.name}.parts")
        self._folder = self._home / key

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Wait until no other call draws this implicate, and keep others from it."""
        with exclusive(self._file.parent.with_name(f".{self._file.parent.name}.work")):
            yield

    def blocks(self) -> set[int]:
        """Return the numbers of the blocks that are there."""
        return {int(part.stem) for part in self._folder.glob("*.arrow")}

    def clear(self, *, others: bool = False) -> None:
        """Remove all parts; with `others`, those that cannot be used."""
        for folder in self._home.glob("*"):
            if folder != self._folder or not others:
                shutil.rmtree(folder, ignore_errors=True)
        if not others:
            shutil.rmtree(self._home, ignore_errors=True)

    def add(self, block: int, table: pa.Table) -> None:
        """Keep a block; it is there whole or not at all."""
        with (
            atomic_file(self._path(block)) as temporary,
            pa.ipc.new_file(temporary, table.schema, options=_OPTIONS) as writer,
        ):
            writer.write_table(table)

    def join(self, count: int, provenance: dict[str, Any], rows: int) -> None:
        """Publish the implicate: `count` blocks one below the other, in row groups of `rows` rows; drop the parts."""
        with atomic_directory(self._file.parent) as folder:
            writer: pq.ParquetWriter | None = None
            try:
                for block in range(count):
                    table = encode(self._read(block), provenance)
                    if writer is None:
                        file = folder / self._file.name
                        writer = pq.ParquetWriter(file, table.schema, compression="zstd")
                    writer.write_table(table, row_group_size=rows)
            finally:
                if writer is not None:
                    writer.close()
        self.clear()

    def _read(self, block: int) -> pa.Table:
        path = self._path(block)
        try:
            with pa.memory_map(str(path)) as source:
                return pa.ipc.open_file(source).read_all()
        except pa.ArrowInvalid as error:
            path.unlink(missing_ok=True)
            raise StorageError(
                str(path), f"was damaged ({error}) and is removed.", "Repeat the call: it is drawn again."
            ) from error

    def _path(self, block: int) -> Path:
        return self._folder / f"{block:06d}.arrow"
