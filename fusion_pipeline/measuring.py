"""What a step took: wall time, processor time, and the most memory it held.

Belongs here: reading the clocks and the process's own account, and giving freed memory back, so that a step's account
is its own. Does not belong here: what is done about it (`assets/reuse.py`, `benchmarks/`).
"""

from __future__ import annotations

import ctypes
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclass
class Usage:
    """What was used between entering and leaving `measured`."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    """Of all threads of this process."""
    peak_bytes: int = 0
    """Most resident memory; where Linux does not let it be reset, of the process so far."""


@contextmanager
def measured() -> Iterator[Usage]:
    """Measure a block; the figures are there when it has ended, whether well or not."""
    usage = Usage()
    give_back()
    with suppress(OSError):
        _RESET.write_text("5")  # proc(5): the peak begins anew at what is resident now
    wall, processor = time.perf_counter(), time.process_time()
    try:
        yield usage
    finally:
        usage.seconds = time.perf_counter() - wall
        usage.cpu_seconds = time.process_time() - processor
        usage.peak_bytes = peak_memory()


def peak_memory() -> int:
    """Bytes of the most resident memory since it was last reset."""
    try:
        [line] = [line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM")]
        return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def give_back() -> None:
    """Return to the system what was freed and is still held: by the C library's heap (glibc's alone can), and by Arrow.

    The blocks of a large table are freed between others, where the heap cannot shrink by itself: of 3.2 million persons
    a gigabyte would stay, beside the next step's own.
    """
    if (arrow := sys.modules.get("pyarrow")) is not None:
        arrow.default_memory_pool().release_unused()
    with suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
