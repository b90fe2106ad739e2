"""Files that are not to be had, collected so that one look names them all.

Belongs here: gathering errors. Does not belong here: finding files (`resolving.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

from fusion_pipeline.errors import RawFileError


class Missing:
    """A context in which errors about raw files are noted; leaving it raises them as one."""

    def __init__(self) -> None:
        self.errors: list[RawFileError] = []

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Note an error about a raw file, and go on behind the block."""
        try:
            yield
        except RawFileError as error:
            self.errors.append(error)

    def __enter__(self) -> Missing:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Raise what was noted, unless something else is wrong.

        Raises
        ------
        RawFileError
            The only one as it is, or one that lists all of them.
        """
        if kind is not None or not self.errors:
            return
        if len(self.errors) == 1:
            raise self.errors[0]
        lines = [f"\n- {error.where}: {error.what}" for error in self.errors]
        remedies = dict.fromkeys(error.remedy for error in self.errors)
        raise RawFileError(
            ", ".join(error.where for error in self.errors),
            f"{len(self.errors)} raw files are not to be had.{''.join(lines)}\n",
            " ".join(remedies),
        )
