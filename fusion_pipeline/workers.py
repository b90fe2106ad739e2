"""The processes that runs work in: noted when a run begins, missed when they are gone.

Belongs here: the note, and what is done about runs whose process was killed. Does not belong here: which runs there are
(`jobs.py`, `running.py`).

Dagster's default launcher starts a run as a process of this machine and hears of its end only while the code server
lives. When all is killed at once (`kill -9`, a machine that is switched off), its runs count as running for ever, and
hold pool slots and places in the queue.
"""

from __future__ import annotations

import logging
import os
import platform
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.storage.tags import PARTITION_NAME_TAG

from fusion_pipeline.storage.atomic import is_alive

PROCESS = "fusion_pipeline/process"
"""Run tag: run, host, process and when that began. Neither a later attempt, which inherits the tags, nor a later
process of the same number is taken for it."""
_log = logging.getLogger(__name__)


def note(run_id: str, process: int | None = None) -> dict[str, str]:
    """Tag that says in which process of this machine a run works; default: this one."""
    process = os.getpid() if process is None else process
    return {PROCESS: f"{run_id} {platform.node()} {process} {_began(process)}"}


def _noting(executor: dg.ExecutorDefinition) -> dg.ExecutorDefinition:
    """Have an executor note the process of each run before its first step."""
    create = executor.executor_creation_fn
    if create is None:
        raise ValueError(f"executor {executor.name} cannot be created")
    return dg.ExecutorDefinition(
        name=executor.name,
        config_schema=executor.config_schema,  # type: ignore[arg-type]
        requirements=executor.get_requirements,
        executor_creation_fn=lambda context: _Noting(create(context)),
        description=executor.description,
    )


class _Noting(dg.Executor):
    def __init__(self, inner: dg.Executor) -> None:
        self._inner = inner

    @property
    def retries(self) -> Any:
        return self._inner.retries

    @property
    def step_dependency_config(self) -> Any:
        return self._inner.step_dependency_config

    def execute(self, plan_context: Any, execution_plan: Any) -> Iterator[dg.DagsterEvent]:
        plan_context.instance.add_run_tags(plan_context.run_id, note(plan_context.run_id))
        yield from self._inner.execute(plan_context, execution_plan)


IN_PROCESS = _noting(dg.in_process_executor)
"""All steps of a run in its one process: they follow each other, and a process takes seconds to load what they need.
What runs at once are runs, as many as dagster.yaml allows, and threads and memory are shared among these."""


def dead_runs(instance: dg.DagsterInstance) -> list[dg.DagsterRun]:
    """List the runs that count as running and whose process on this machine is gone."""
    return [run for run in _unfinished(instance) if _lives(run) is False]


def working_runs(instance: dg.DagsterInstance) -> list[dg.DagsterRun]:
    """List the runs that work in processes of this machine, of the command line and of the UI alike."""
    return [run for run in _unfinished(instance) if _lives(run)]


def release_dead_runs(instance: dg.DagsterInstance) -> list[str]:
    """Fail the runs whose process on this machine was killed, free what they hold, and name them.

    What they finished is kept. A daemon that runs, or the next one, tries those again that it had launched.
    """
    named = []
    for run in dead_runs(instance):
        label = name(run)
        _log.warning(
            "%s was killed while it ran (memory? then lower FUSION_MEMORY_LIMIT); what it finished is kept",
            label,
        )
        instance.report_run_failed(run, "Its process was killed.")
        if instance.event_log_storage.supports_global_concurrency_limits:
            instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
        named.append(label)
    return named


def name(run: dg.DagsterRun) -> str:
    """Job and partition of a run."""
    return f"{run.job_name} {run.tags.get(PARTITION_NAME_TAG, '')}".strip()


def _unfinished(instance: dg.DagsterInstance) -> Sequence[dg.DagsterRun]:
    statuses = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED]
    return instance.get_runs(dg.RunsFilter(statuses=statuses))


def _lives(run: dg.DagsterRun) -> bool | None:
    """Whether the process that a run noted is there; None if it noted none, or one of another machine."""
    noted = run.tags.get(PROCESS, "").split(" ")
    if len(noted) != 4 or noted[:2] != [run.run_id, platform.node()]:
        return None
    process = int(noted[2])
    return is_alive(process) and _began(process) == noted[3]


def _began(process: int) -> str:
    """When a process began, in ticks since the machine did (field 22 of proc(5)); empty where there is no /proc, and
    of a process that has ended but that nobody waited for."""
    try:
        state, *fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if state == "Z" else fields[18]
