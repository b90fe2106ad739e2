"""How far a download is, in a few lines of the log.

Belongs here: when to say something, and what. Does not belong here: transfer (`download.py`).
"""

from __future__ import annotations

import logging
import time

_log = logging.getLogger(__name__)


class Progress:
    """A line about every five seconds, or every tenth of the file when that is slower than one a second."""

    def __init__(self, name: str, have: int, total: int | None) -> None:
        self.name, self.total = name, total
        self.start = self.last = time.monotonic()
        self.first = self.shown = have

    def report(self, have: int) -> None:
        """Take note of the bytes there are now, and say so if it is time."""
        now = time.monotonic()
        tenth = self.total is not None and have - self.shown >= self.total / 10
        done = have == self.total
        if not done and now - self.last < (1 if tenth else 5):
            return
        speed = (have - self.first) / 1e6 / max(now - self.start, 1e-9)
        of = f" of {self.total / 1e6:.1f} MB ({have / self.total:.0%})" if self.total else " MB"
        _log.info("%s: %.1f%s, %.1f MB/s", self.name, have / 1e6, of, speed)
        self.last, self.shown = now, have
