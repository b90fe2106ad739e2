"""Artefacts in an object store: sent whole, fetched whole, whatever stops in between.

Belongs here: what lies where in the store, sending, fetching. Does not belong here: when an artefact is current
(`receipts.py`), which ones a step reads (`resources/store.py`).

An object store renames nothing, but puts each object in one step. So bytes lie under their own checksum, where nothing
is ever overwritten, and the receipt, one small object that names them, is put last:

    objects/3f/3fa1...              the bytes with this SHA-256
    receipts/fusion/models/P.json   what the artefact consists of

A reader starts at the receipt and finds the whole artefact, the old one or the new one. What a killed writer sent
before its receipt is used by the next writer of the same bytes.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fusion_pipeline.errors import SettingsError, StorageError
from fusion_pipeline.storage.atomic import atomic_directory, atomic_file
from fusion_pipeline.storage.layout import Layout
from fusion_pipeline.storage.receipts import Receipt, sha256, split_label

_log = logging.getLogger(__name__)


class _Absent(Exception):
    """The store does not have it; no OSError, which local writes take for a full disk."""


@dataclass(frozen=True)
class Remote:
    """An object store below one address that fsspec knows, such as ``s3://bucket/fusion/public``."""

    address: str

    def receipt(self, asset: str, partition: str | None) -> Receipt | None:
        """Read the receipt of an artefact; None if the store has none that can be read.

        Raises
        ------
        StorageError
            If the store cannot be reached.
        """
        return _parsed(self._read(_key(asset, partition)))

    def publish(self, layout: Layout, asset: str, partition: str | None) -> None:
        """Send the artefact that has a local receipt: its files, as far as they are not there, then the receipt.

        Raises
        ------
        StorageError
            If the store cannot be written, or a file is not what its receipt says; the artefact that the store had
            is untouched.
        """
        text = layout.receipt(asset.split("/"), partition).read_bytes()
        if self._read(_key(asset, partition)) == text:
            return
        try:
            stored = Receipt(**json.loads(text)).files
            sent = sum(self._send(layout.root / name, checksum) for name, checksum in stored.items())
            with self._opened(asset) as (files, root):
                files.pipe_file(f"{root}/{_key(asset, partition)}", text)
        except _Absent as error:
            raise StorageError(
                f"{self.address}, {asset}", "cannot be written: there is no such bucket.", "Make it."
            ) from error
        _log.info("%s[%s] is published in %s, %d bytes sent", asset, partition or "", self.address, sent)

    def fetch(self, layout: Layout, asset: str, partition: str | None) -> Receipt | None:
        """Bring an artefact here: what differs, then the receipt; None if the store does not have it.

        What the store has lost or damaged stays missing here, is logged, and is found by whoever compares bytes.
        """
        text = self._read(_key(asset, partition))
        receipt = _parsed(text)
        if text is None or receipt is None:
            return None
        here = layout.receipt(asset.split("/"), partition)
        for place in receipt.places:
            members = {n: s for n, s in receipt.files.items() if n == place or n.startswith(f"{place}/")}
            if any(not _is(layout.root / name, checksum) for name, checksum in members.items()):
                try:
                    self._bring(layout.root, place, members)
                except _Absent as error:
                    _log.warning("%s: %s lacks %s", place, self.address, error)
        if not here.is_file() or here.read_bytes() != text:
            with atomic_file(here) as temporary:
                temporary.write_bytes(text)
        return receipt

    def fetch_all(self, layout: Layout, asset: str, partition: str | None) -> list[str]:
        """Bring an artefact and all that it was made from; give their names."""
        waiting, seen = [(asset, partition)], dict[str, None]()
        while waiting:
            name, part = waiting.pop()
            label = f"{name}[{part or ''}]"
            if label in seen or (receipt := self.fetch(layout, name, part)) is None:
                continue
            seen[label] = None
            waiting += [split_label(label) for label in receipt.provenance.get("inputs", {})]
        return list(seen)

    def _bring(self, root: Path, place: str, members: dict[str, str]) -> None:
        """Publish here one file, or a folder with all of its files at once."""
        if place in members:
            with atomic_file(root / place) as temporary:
                self._get(members[place], temporary)
            return
        with atomic_directory(root / place) as folder:
            for name, checksum in members.items():
                file = folder / Path(name).relative_to(place)
                file.parent.mkdir(parents=True, exist_ok=True)
                self._get(checksum, file)

    def _get(self, checksum: str, file: Path) -> None:
        with self._opened(file.name) as (files, root):
            files.get_file(f"{root}/{_object(checksum)}", str(file))
        if not _is(file, checksum):
            with self._opened(file.name) as (files, root):
                files.rm_file(f"{root}/{_object(checksum)}")
            raise _Absent(f"{checksum}: its bytes were damaged")

    def _send(self, file: Path, checksum: str) -> int:
        if not _is(file, checksum):
            raise StorageError(
                str(file),
                "is not what its receipt says; the artefact is not published.",
                "Run the same command again: it is made anew.",
            )
        size = file.stat().st_size
        with self._opened(file.name) as (files, root):
            target = f"{root}/{_object(checksum)}"
            if files.exists(target) and files.size(target) == size:
                return 0
            files.put_file(str(file), target)
        return size

    def _read(self, key: str) -> bytes | None:
        try:
            with self._opened(key) as (files, root):
                return files.cat_file(f"{root}/{key}")
        except _Absent:
            return None

    @contextmanager
    def _opened(self, what: str) -> Iterator[tuple[Any, str]]:
        """Give the file system and the root within it; what goes wrong becomes one kind of error."""
        try:
            from fsspec.core import url_to_fs

            # Others write too: a remembered listing would hide what they did.
            files, root = url_to_fs(self.address, use_listings_cache=False)
        except (ImportError, ValueError) as error:
            raise SettingsError(
                "FUSION_REMOTE",
                f"{self.address} cannot be opened ({error}).",
                "Install what it needs (for s3: `make install-dev` in the project's folder), or correct it.",
            ) from error
        try:
            yield files, root
        except FileNotFoundError as error:
            raise _Absent(what) from error
        except Exception as error:  # what a file system raises is its own, botocore's among others
            raise StorageError(
                f"{self.address}, {what}",
                f"cannot be read or written ({type(error).__name__}: {error}).",
                "See to its address, rights and credentials (AWS_*); then run the same command again.",
            ) from error


def _parsed(text: bytes | None) -> Receipt | None:
    try:
        return Receipt(**json.loads(text)) if text is not None else None
    except (ValueError, TypeError) as error:
        _log.warning("a receipt of the object store is damaged (%s); its artefact is made again", error)
        return None


def _is(file: Path, checksum: str) -> bool:
    return file.is_file() and sha256(file) == checksum


def _key(asset: str, partition: str | None) -> str:
    return Layout(Path()).receipt(asset.split("/"), partition).as_posix().removeprefix(".")


def _object(checksum: str) -> str:
    return f"objects/{checksum[:2]}/{checksum}"
