"""What lies in a mirror folder at this moment, by survey-year: cheap enough to ask every minute.

Belongs here: stamps of files, by name, size and time of change. Does not belong here: their content (`resolving.py`
takes checksums), and what is done when a stamp changes (`fusion_pipeline/schedules.py`, `sensors.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from fusion_pipeline.raw.entries import RawFile
from fusion_pipeline.raw.resolving import find_in_mirror
from fusion_pipeline.registry import Registry


def raw_folders(registry: Registry) -> dict[str, tuple[str, Mapping[str, RawFile]]]:
    """List what raw files come in: key of the survey-year, ACS year, PUMA definition or dataset -> folder and files."""
    years = {**registry.surveys, **registry.recipients}
    folders: dict[str, tuple[str, Mapping[str, RawFile]]] = {
        key: (vintage.folder, {str(role): file for role, file in vintage.files.items()})
        for key, vintage in years.items()
    }
    folders |= {name: ("spatial", definition.files) for name, definition in registry.geography.items()}
    return folders | {name: ("spatial", dataset.files) for name, dataset in registry.spatial.items()}


def stamps(registry: Registry, mirror: Path) -> dict[str, str]:
    """Stamp every survey-year whose raw files all lie in the mirror folder, but those that never came with the others.

    Returns
    -------
    dict
        Key -> names, sizes and times of change of its files. A file that is still being copied changes its stamp
        until it is complete. A survey-year that lacks a file that is not optional is left out.
    """
    result = {}
    for key, (folder, files) in raw_folders(registry).items():
        found = {role: find_in_mirror(file, folder, mirror) for role, file in files.items()}
        spared = {role for _, without in found.values() for role in without}
        needed = [role for role, file in files.items() if role not in spared and not file.optional]
        if any(paths for paths, _ in found.values()) and all(found[role][0] for role in needed):
            result[key] = ";".join(_stamp(path, mirror) for paths, _ in found.values() for path in paths)
    return result


def _stamp(path: Path, mirror: Path) -> str:
    status = path.stat()
    return f"{path.relative_to(mirror)}:{status.st_size}:{status.st_mtime_ns}"
