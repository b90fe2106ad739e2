"""The root command, its progress on the screen, and mistakes shown as one message without a traceback."""

from __future__ import annotations

import logging
import sys
import time
from typing import Any, NoReturn

import click
from rich.console import Console
from rich.markup import escape

from fusion_pipeline.errors import FusionError, out_of_memory
from fusion_pipeline.logs import JsonLines

_HANDLER = "command line"
console = Console(highlight=False)
"""Where every command prints its results."""


class _Progress(logging.Handler):
    """The library's progress, one dim line a message, with the seconds since the start."""

    def __init__(self) -> None:
        super().__init__()
        self._console, self._started = Console(stderr=True, highlight=False), time.monotonic()

    def emit(self, record: logging.LogRecord) -> None:
        elapsed = time.monotonic() - self._started
        self._console.print(f"[dim]{elapsed:6.1f} s  {escape(record.getMessage())}[/]", soft_wrap=True)


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
