"""What is wrong with this machine or its settings, found before a run of hours finds it.

Belongs here: looking, and saying what to do. Does not belong here: the Dagster instance (`running.py`), showing
findings (`cli/doctor.py`).
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from fusion_pipeline.errors import FusionError
from fusion_pipeline.machine import available_memory, usable_cores
from fusion_pipeline.raw.watching import raw_folders, stamps
from fusion_pipeline.registry import Registry
from fusion_pipeline.settings import Settings
from fusion_pipeline.storage.layout import Layout
from fusion_pipeline.storage.receipts import audit
from fusion_pipeline.storage.remote import Remote

LOCK = Path(__file__).parents[1] / "requirements-dev.lock"
"""The larger of the two: it has every package of the other in the same version."""
LEAST_DISK, USUAL_DISK = 1 << 30, 20 << 30
"""Bytes: below the first nothing should be started; ten national implicates of a pair need about the second."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    what: str
    state: Literal["good", "doubtful", "wrong"]
    found: str
    remedy: str = ""


def examine(settings: Settings, registry: Registry) -> Iterator[Finding]:
    """Look at environment, disk, memory, threads, raw files and what was made."""
    yield _packages()
    yield _disk(settings)
    yield _memory(settings)
    yield _threads(settings)
    yield _raw_files(settings, registry)
    yield _artefacts(Layout(settings.root))
    if settings.shared:
        yield _object_store(Remote(settings.shared))


def _packages() -> Finding:
    if not LOCK.is_file():
        return Finding("packages", "doubtful", f"{LOCK} is not there", "Work in a checkout of the project.")
    wrong = []
    for name, locked in re.findall(r"^([\w.-]+)(?:\[[^]]*\])?==([^\s;]+)", LOCK.read_text(), re.MULTILINE):
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:  # of an extra that this machine does without
            continue
        if version != locked:
            wrong.append(f"{name} is {version}, locked is {locked}")
    if wrong:
        return Finding("packages", "wrong", "; ".join(wrong), "Run `make install`.")
    return Finding("packages", "good", "in the versions that are locked")


def _disk(settings: Settings) -> Finding:
    folder = settings.data.resolve()
    there = next(path for path in (folder, *folder.parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        return Finding(
            "disk", "wrong", f"{there} cannot be written ({error.strerror})", "Change FUSION_DATA."
        )
    free = shutil.disk_usage(there).free
    found = f"{free / 2**30:.1f} GiB free in {there}"
    if free < LEAST_DISK:
        return Finding("disk", "wrong", found, "Free space, or point FUSION_DATA at a larger disk.")
    if free < USUAL_DISK:
        return Finding(
            "disk", "doubtful", found, "Enough for the simulated surveys, not for a national pair."
        )
    return Finding("disk", "good", found)


def _memory(settings: Settings) -> Finding:
    limit, available = int(settings.memory_limit), available_memory()
    found = f"{available / 2**30:.1f} GiB available, FUSION_MEMORY_LIMIT {limit / 2**30:.1f} GiB"
    if limit > available:
        return Finding("memory", "wrong", found, "Lower FUSION_MEMORY_LIMIT; it changes no result.")
    if 2 * limit > available:
        what = "Models and tables come on top of the limit: half of what is available is a good value."
        return Finding("memory", "doubtful", found, what)
    return Finding("memory", "good", found)


def _threads(settings: Settings) -> Finding:
    cores = usable_cores()
    found = (
        f"{settings.threads} of {cores} cores, OMP_NUM_THREADS {os.environ.get('OMP_NUM_THREADS', 'unset')}"
    )
    if settings.threads > cores:
        what = "Set FUSION_THREADS to at most the number of cores: contended fits take many times longer."
        return Finding("threads", "wrong", found, what)
    return Finding("threads", "good", found)


def _raw_files(settings: Settings, registry: Registry) -> Finding:
    if settings.origin == "simulated":
        return Finding("raw files", "good", "simulated surveys (FUSION_RAW is not set)")
    if settings.raw is None:
        return Finding("raw files", "doubtful", "no mirror folder", "Set FUSION_RAW, or they are downloaded.")
    there = stamps(registry, settings.raw)
    found = f"{settings.raw} has {', '.join(there) or 'nothing of the registry'}"
    if settings.offline and (absent := [key for key in raw_folders(registry) if key not in there]):
        what = f"FUSION_OFFLINE forbids fetching {', '.join(absent)}."
        return Finding("raw files", "doubtful", found, what)
    return Finding("raw files", "good", found)


def _object_store(remote: Remote) -> Finding:
    try:
        remote.receipt("quality/report", None)
    except FusionError as error:
        return Finding("object store", "wrong", f"{error.where} {error.what}", error.remedy)
    return Finding("object store", "good", f"{remote.address} answers")


def _artefacts(layout: Layout) -> Finding:
    count, amiss = audit(layout)
    if amiss:
        told = "; ".join(f"{name}: {problem}" for name, problem in amiss.items())
        return Finding("artefacts", "wrong", told, "Make them again: `fusion run PAIR` remakes these alone.")
    return Finding("artefacts", "good", f"{count} in {layout.root}, all as they were written")
