"""How many cores and how much memory this process may use: of the machine, or of its control groups if that is less.

Belongs here: reading what Linux grants. Does not belong here: what a step took (`measuring.py`), what a user sets
(`settings.py`).

Groups lie within each other and each may have a limit, so that all from the process's own up to the root are read.
Their files: cgroups(7), Documentation/admin-guide/cgroup-v2.rst and cgroup-v1 of the kernel.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

PROC, GROUPS = Path("/proc"), Path("/sys/fs/cgroup")


def usable_cores() -> int:
    """Cores that this process may keep busy: those it may run on, or fewer by the quota of a group; at least one."""
    cores = float(len(os.sched_getaffinity(0)))
    for group in _groups("cpu"):
        quota, period = _quota(group)
        if quota is not None and quota > 0 and period:
            cores = min(cores, quota / period)
    return max(1, int(cores))


def available_memory() -> int:
    """Bytes that this process may still take; what a group holds of files that can be dropped counts as free."""
    lines = (PROC / "meminfo").read_text().splitlines()
    available = int(next(line for line in lines if line.startswith("MemAvailable")).split()[1]) * 1024
    for group in _groups("memory"):
        limit = _first(group / "memory.max", group / "memory.limit_in_bytes")
        used = _first(group / "memory.current", group / "memory.usage_in_bytes")
        if limit is not None and used is not None:
            available = min(available, max(0, limit - used + _droppable(group)))
    return available


def _groups(controller: str) -> Iterator[Path]:
    """Give the folders of the groups that this process is in, its own first, of both versions."""
    try:
        lines = (PROC / "self" / "cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        number, controllers, path = line.split(":", 2)
        if number == "0" and not controllers:
            roots = [GROUPS, GROUPS / "unified"]
        elif controller in controllers.split(","):
            roots = [GROUPS / controller]
        else:
            continue
        # A container may see the path from outside of it: what is not there is passed over, up to its own root.
        for inner in (Path(path), *Path(path).parents):
            yield from (root / inner.relative_to("/") for root in roots)


def _quota(group: Path) -> tuple[int | None, int | None]:
    """Give microseconds of processor time a period, and the period."""
    try:
        quota, period = (group / "cpu.max").read_text().split()
        return _number(quota), _number(period)
    except (OSError, ValueError):
        return _first(group / "cpu.cfs_quota_us"), _first(group / "cpu.cfs_period_us")


def _droppable(group: Path) -> int:
    try:
        lines = (group / "memory.stat").read_text().splitlines()
    except OSError:
        return 0
    entries = dict(line.split(" ", 1) for line in lines if " " in line)
    return int(entries.get("total_inactive_file", entries.get("inactive_file", "0")))


def _first(*files: Path) -> int | None:
    for file in files:
        try:
            return _number(file.read_text().strip())
        except OSError:
            continue
    return None


def _number(text: str) -> int | None:
    """Read a number; `max` is none."""
    return int(text) if text.lstrip("-").isdigit() else None
