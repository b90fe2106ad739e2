"""Log records: as lines of JSON for whoever collects them, and quieter where they are details of a larger step.

Belongs here: the formatter, and the level of details. Does not belong here: which records there are, and
where they go (`cli/root.py`, dagster.yaml).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime

_detail: ContextVar[bool] = ContextVar("detail", default=False)


@contextmanager
def details() -> Iterator[None]:
    """Make progress within the block a detail: what asks for `progress_level` logs at DEBUG."""
    token = _detail.set(True)
    try:
        yield
    finally:
        _detail.reset(token)


def progress_level() -> int:
    """Level of a step's own progress: INFO, or DEBUG where the step is a detail of another."""
    return logging.DEBUG if _detail.get() else logging.INFO


class JsonLines(logging.Formatter):
    """One object a record: `time` (UTC), `level`, `logger`, `message`, `process`, and `error` if there was one."""

    def format(self, record: logging.LogRecord) -> str:
        """Give the record as one line."""
        told = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "process": record.process,
        }
        if record.exc_info:
            told["error"] = self.formatException(record.exc_info)
        return json.dumps(told, ensure_ascii=False)
