"""Log records as lines of JSON, for whoever collects them.

Belongs here: the formatter. Does not belong here: which records there are, and where they go (`cli/root.py`,
dagster.yaml).
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime


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
