"""Receipts: what an artefact was made from, which bytes it consists of, and whether that still holds.

Belongs here: writing and reading receipts, and the one rule by which an artefact is reused. Does not belong here:
how an asset is run or skipped (`assets/reuse.py`).

A receipt is written after its artefact. A kill between the two leaves a receipt that does not fit the bytes, and the
artefact is made again.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusion_pipeline.storage.atomic import atomic_file, recover
from fusion_pipeline.storage.layout import Layout

if TYPE_CHECKING:
    from fusion_pipeline.storage.remote import Remote

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recipe:
    """What decides the bytes of an artefact beside its inputs."""

    asset: str
    partition: str | None
    code_version: str | None
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Receipt:
    """What made an artefact, and what it consists of."""

    provenance: Mapping[str, Any]
    """Asset, partition, code version, settings, versions of the inputs."""
    version: str
    """Data version: equal content, equal version."""
    files: Mapping[str, str]
    """SHA-256 of every file, by path below the root."""
    sound: bool = True
    """Whether every blocking check of the asset itself passed."""
    account: Mapping[str, Any] = field(default_factory=dict)
    """What the asset reported when it was made, to be shown again when it is reused."""
    places: tuple[str, ...] = ()
    """Files and whole folders that it was published as, by path below the root."""


def write_receipt(
    layout: Layout,
    asset: str,
    partition: str | None,
    version: str,
    paths: Iterable[Path],
    *,
    provenance: Mapping[str, Any],
    sound: bool = True,
    account: Mapping[str, Any] | None = None,
) -> None:
    """Record the artefact that lies at `paths`, files or whole folders."""
    paths = list(paths)
    files = {
        file.relative_to(layout.root).as_posix(): sha256(file) for path in paths for file in _files(path)
    }
    places = tuple(path.relative_to(layout.root).as_posix() for path in paths)
    receipt = Receipt(dict(provenance), version, files, sound, dict(account or {}), places)
    with atomic_file(_path(layout, asset, partition)) as temporary:
        temporary.write_text(json.dumps(asdict(receipt), sort_keys=True, indent=1) + "\n")


def read_receipt(
    layout: Layout, asset: str, partition: str | None, remote: Remote | None = None
) -> Receipt | None:
    """Read the receipt of an artefact, the object store's before the folder's; None if none can be read."""
    if remote is not None and (shared := remote.receipt(asset, partition)) is not None:
        return shared
    path = _path(layout, asset, partition)
    try:
        return Receipt(**json.loads(path.read_text()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        _log.warning("%s is damaged (%s); its artefact is made again", path, error)
        return None


def why_made(
    layout: Layout, recipe: Recipe, receipt: Receipt | None, remote: Remote | None = None
) -> str | None:
    """Say why an artefact has to be made; None if the one that is there is what would be made now.

    It is, when its receipt names the same code version, the same settings and inputs in the versions that they have
    now, its own blocking checks passed, and its files hold the recorded bytes.

    What is current in the object store, if there is one, is brought here before its bytes are looked at.
    """
    if receipt is None:
        return "no receipt of an earlier one"
    made = receipt.provenance
    if (code := made.get("code_version")) != recipe.code_version:
        return f"code version {code} became {recipe.code_version}"
    # Through JSON, because that is how the recorded ones went.
    before, now = made.get("settings", {}), json.loads(json.dumps(dict(recipe.settings)))
    if changed := [name for name in sorted({*before, *now}) if before.get(name) != now.get(name)]:
        return f"changed: {', '.join(changed)}"
    for name, version in made.get("inputs", {}).items():
        upstream = read_receipt(layout, *split_label(name), remote)
        # A version of None is that of an input which need not be there, and was not.
        if (upstream and upstream.version) != version:
            return f"another version of {name}"
    if not receipt.sound:
        return "a blocking check failed"
    if remote is not None:
        remote.fetch(layout, recipe.asset, recipe.partition)
    return damage(layout, receipt)


def damage(layout: Layout, receipt: Receipt) -> str | None:
    """Say which file of an artefact is missing or not as it was written; None if all are."""
    for name, expected in receipt.files.items():
        file = layout.root / name
        for folder in file.relative_to(layout.root).parents[:-1]:
            recover(layout.root / folder)
        if not file.is_file():
            return f"{name} is missing"
        if sha256(file) != expected:
            return f"{name} is not as it was written"
    return None


def split_label(label: str) -> tuple[str, str | None]:
    """Take `asset[partition]` of a provenance apart."""
    asset, _, partition = label.removesuffix("]").partition("[")
    return asset, partition or None


def audit(layout: Layout) -> tuple[int, dict[str, str]]:
    """Hold every artefact that has a receipt against it.

    Returns
    -------
    count : how many were looked at
    amiss : `asset[partition]` -> what is wrong: a file that is missing or not as it was written
    """
    amiss, count = {}, 0
    folder = layout.root / ".receipts"
    for path in sorted(folder.rglob("*.json")):
        try:
            receipt = Receipt(**json.loads(path.read_text()))
            label = f"{receipt.provenance['asset']}[{receipt.provenance['partition'] or ''}]"
            problem = damage(layout, receipt)
        except (OSError, ValueError, TypeError, KeyError) as error:
            label, problem = path.stem, f"its receipt {path} is damaged ({error})"
        count += 1
        if problem:
            amiss[label] = problem
    return count, amiss


def _path(layout: Layout, asset: str, partition: str | None) -> Path:
    return layout.receipt(asset.split("/"), partition)


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    return sorted(p for p in path.rglob("*") if p.is_file() and not p.name.startswith("."))


def sha256(path: Path) -> str:
    """Checksum of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
