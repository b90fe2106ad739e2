"""Files that are not to be had, collected so that one look names them all.

Belongs here: gathering errors. Does not belong here: finding files (`resolving.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from fusion_pipeline.errors import RawFileError


class MissingFiles(RawFileError):
    """Several raw files are not to be had, or not what they should be."""

    def __init__(self, errors: Sequence[RawFileError]) -> None:
        self.errors = tuple(errors)
        told = {(error.where, error.what): error.remedy for error in errors}
        lines = "".join(f"\n- {where}: {what} {remedy}" for (where, what), remedy in told.items())
        network = (
            "Where there is a network, `fusion fetch KEY` fetches all files of a survey-year or ACS year."
        )
        super().__init__(f"{len(told)} raw files", f"are not to be had:{lines}\n", network)

    def __reduce__(self) -> tuple[Any, ...]:
        """Survive the trip between processes."""
        return type(self), (self.errors,)


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
            self.errors += error.errors if isinstance(error, MissingFiles) else [error]

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
        raise MissingFiles(self.errors)
