"""Findings of table checks, kept for as long as the tables and what is expected of them stay as they were.

Belongs here: keeping them, and the one rule by which they still hold. Does not belong here: making them
(`expectations.py`), what the tables are made from (`storage/receipts.py`).

Only a check that all expectations passed is kept: what failed is looked at again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from fusion_pipeline.storage.atomic import atomic_file
from fusion_pipeline.validation.expectations import VERSION, TableSpec
from fusion_pipeline.validation.judging import Finding


@dataclass(frozen=True)
class Basis:
    """What findings rest on: bytes, expectations, and the code that holds one against the other."""

    files: Mapping[str, str]
    """SHA-256 of every file of the tables, which must be those that lie there now."""
    expected: str
    """Digest of the specifications."""
    version: str = VERSION


def basis(files: Mapping[str, str], expected: Mapping[str, TableSpec]) -> Basis:
    """Name what findings rest on: files of the tables with their SHA-256, and the specification of each table."""
    plain = json.dumps({side: asdict(spec) for side, spec in expected.items()})
    return Basis(dict(files), hashlib.sha256(plain.encode()).hexdigest()[:32])


def recall(path: Path, now: Basis) -> dict[str, list[Finding]] | None:
    """Read findings, by table; None if there are none, or they rest on something else."""
    try:
        kept = json.loads(path.read_text())
        if kept["basis"] != asdict(now):
            return None
        return {side: [Finding(**finding) for finding in found] for side, found in kept["findings"].items()}
    except (OSError, ValueError, TypeError, KeyError):
        return None  # damaged or of another version: what is not understood is looked at again


def remember(path: Path, now: Basis, found: Mapping[str, Sequence[Finding]]) -> None:
    """Keep findings, by table, atomically; if any failed, what was kept before is dropped and nothing is."""
    if not all(finding.passed for some in found.values() for finding in some):
        path.unlink(missing_ok=True)
        return
    kept = {
        "basis": asdict(now),
        "findings": {side: [asdict(f) for f in some] for side, some in found.items()},
    }
    with atomic_file(path) as temporary:
        temporary.write_text(json.dumps(kept, sort_keys=True, indent=1) + "\n")
