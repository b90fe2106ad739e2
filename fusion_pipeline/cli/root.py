"""The root command, its progress on the screen, and mistakes shown as one message without a traceback."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import click
from rich.console import Console
from rich.markup import escape
from rich.status import Status
from rich.text import Text

from fusion_pipeline.errors import FusionError, out_of_memory
from fusion_pipeline.logs import JsonLines

_HANDLER = "command line"
STEPS = "fusion_pipeline.reuse"
"""Logger that says of every step what it made or reused."""
console = Console(highlight=False)
"""Where every command prints its results."""


class _Progress(logging.Handler):
    """The library's progress, one dim line a message, with the seconds since the start.

    Where `passing` is set, only what a step made and warnings have a line; other messages show there, one at a time.
    """

    def __init__(self) -> None:
        super().__init__()
        self._console, self._started = Console(stderr=True, highlight=False), time.monotonic()
        self.passing: Status | None = None

    def emit(self, record: logging.LogRecord) -> None:
        if self.passing is not None and record.levelno < logging.WARNING and record.name != STEPS:
            self.passing.update(Text(record.getMessage(), style="dim", no_wrap=True, overflow="ellipsis"))
            return
        elapsed = time.monotonic() - self._started
        self._console.print(f"[dim]{elapsed:6.1f} s  {escape(record.getMessage())}[/]", soft_wrap=True)


@contextmanager
def one_line_a_step(*, verbose: bool) -> Iterator[None]:
    """Show the library's messages in passing, on a terminal, while steps run; with `verbose` a line each."""
    handlers = [h for h in logging.getLogger("fusion_pipeline").handlers if isinstance(h, _Progress)]
    if verbose or not handlers:
        yield
        return
    with console.status("") as passing:
        for handler in handlers:
            handler.passing = passing
        try:
            yield
        finally:
            for handler in handlers:
                handler.passing = None


class _Fusion(click.Group):
    """Show a user's mistakes, and a machine that is too small, as one message without a traceback."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except FusionError as error:
            _end(error)
        except MemoryError as error:  # outside of a step, which names itself (assets/reuse.py)
            _end(out_of_memory(f"fusion {context.invoked_subcommand or ''}".strip(), error))


def _end(error: FusionError) -> NoReturn:
    console.print(f"[bold red]{type(error).__name__}[/] {escape(str(error))}", soft_wrap=True)
    sys.exit(1)


@click.group(cls=_Fusion)
@click.option("--quiet", is_flag=True, help="Only results, no progress.")
@click.option("--log-json", is_flag=True, help="Progress as lines of JSON, for whoever collects logs.")
def main(quiet: bool, log_json: bool) -> None:
    """Data fusion of US household surveys onto the American Community Survey."""
    logger = logging.getLogger("fusion_pipeline")
    for handler in [h for h in logger.handlers if h.get_name() == _HANDLER]:
        logger.removeHandler(handler)  # of an earlier call in this process
    handler = logging.StreamHandler() if log_json else _Progress()
    handler.set_name(_HANDLER)
    if log_json:
        handler.setFormatter(JsonLines())
    # At the handler: Dagster sets the logger's own level, by dagster.yaml, when a run begins.
    handler.setLevel(logging.WARNING if quiet else logging.INFO)
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
