"""Chunks of implicates over a Ray cluster: the runs of `running.py`, each on whichever machine is free.

Belongs here: sending them, and what happens when a machine dies. Does not belong here: what a run does (`running.py`).

A chunk is a task without arguments but its name: it reads and writes the shared data folder, or the object store, and
leaves its receipt there. So a task that died with its machine is sent to another one and keeps the implicates that
were finished; Ray carries nothing but names.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from fusion_pipeline.errors import FusingError, FusionError, SettingsError
from fusion_pipeline.settings import Settings

ATTEMPTS = 4
"""How often a chunk is begun: machines die, but a chunk that kills four of them needs somebody to look."""


@dataclass(frozen=True)
class Drawn:
    """A chunk that is there."""

    partition: str
    seconds: float
    reused: bool
    machine: str


def spread(
    partitions: Sequence[str], settings: Settings, address: str, *, force: bool = False
) -> Iterator[Drawn]:
    """Draw chunks of implicates on a Ray cluster, as many at once as its CPUs allow.

    Parameters
    ----------
    partitions : sequence of str
        Such as ``RECS_2015__ACS_2015|06-10``.
    settings : Settings
        What every machine works with; `threads` are the CPUs of one chunk.
    address : str
        Of the cluster, ``host:port``, or ``auto`` for the one that this machine belongs to.
    force : bool
        Draw again what is there.

    Yields
    ------
    Drawn, in the order in which they end.

    Raises
    ------
    SettingsError
        If Ray is not installed, or no cluster is at the address.
    FusionError
        What the library raised on a machine.
    FusingError
        If a chunk was lost with its machine time and again.
    """
    try:
        import ray
        from ray.exceptions import RayError, RayTaskError
    except ImportError as error:
        raise SettingsError(
            "--ray", f"needs Ray ({error}).", "Install it: `make install-dev` in the project's folder."
        ) from error
    try:
        _knock(address)
        ray.init(
            address=address,
            runtime_env={"env_vars": _environment(settings)},
            logging_level=logging.WARNING,
            log_to_driver=False,
        )
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"--ray {address}",
            f"is no cluster ({error}).",
            "Start one with `ray start --head`, or correct it.",
        ) from error
    try:
        task: Any = ray.remote(num_cpus=settings.threads, max_retries=ATTEMPTS - 1)(_draw)
        waiting = {task.remote(partition, force): partition for partition in partitions}
        while waiting:
            (done, *_), _ = ray.wait(list(waiting))
            partition = waiting.pop(done)
            try:
                yield Drawn(partition, *ray.get(done))
            except RayTaskError as error:
                raise (error.cause if isinstance(error.cause, FusionError) else error) from None
            except RayError as error:
                raise FusingError(
                    partition,
                    f"was lost with its machine {ATTEMPTS} times ({type(error).__name__}).",
                    "See to the memory of the machines; the same command then goes on with what is missing.",
                ) from error
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """Raise OSError if nobody listens there: Ray would wait for a minute and then end this process."""
    host, _, port = address.rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=5).close()


def _environment(settings: Settings) -> dict[str, str]:
    """Say on the other machines what holds here."""
    values = settings.model_copy(update={"data": settings.data.resolve()}).model_dump(exclude_none=True)
    return {f"FUSION_{name.upper()}": str(value) for name, value in values.items()}


def _draw(partition: str, force: bool) -> tuple[float, bool, str]:
    """Draw one chunk in a process of the cluster, which reads its settings from the environment."""
    import platform

    from fusion_pipeline.running import JobRun, run_all, throwaway_instance
    from fusion_pipeline.settings import load_settings

    with throwaway_instance() as instance:
        runs = [JobRun("fuse_chunk", partition)]
        [outcome] = [o for _, o in run_all(runs, load_settings(), instance, force=force) if o is not None]
    return outcome.seconds, bool(outcome.reused), platform.node()
