"""Run a fusion pair's assets in this process, on the instance that the UI shows.

Belongs here: which jobs and partitions a pair needs, in order. There is no second pipeline: each job is the
one that the UI and the schedules launch.
"""

from __future__ import annotations

import logging
import math
import os
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
from dagster._core.errors import DagsterAssetCheckFailedError
from dagster._core.utils import make_new_run_id

from assets.reuse import FORCE
from fusion_pipeline.definitions import build_defs, raw_files
from fusion_pipeline.errors import CheckError, SettingsError
from fusion_pipeline.partitions import IMPLICATES, REGISTRY
from fusion_pipeline.raw import Missing
from fusion_pipeline.settings import Settings
from fusion_pipeline.workers import note, release_dead_runs, working_runs

_log = logging.getLogger(__name__)
# Without it the UI's job pages do not list runs that a command line executed.
_LABEL = {".dagster/repository": "__repository__@fusion_pipeline"}
# Dagster's own console lines repeat what the library logs and what the command line shows.
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass(frozen=True)
class JobRun:
    """One job on one partition."""

    job: str
    partition: str | None


@dataclass(frozen=True)
class Outcome:
    """What a job made and found."""

    seconds: float
    materialized: list[dg.AssetMaterialization]
    checks: Sequence[dg.AssetCheckEvaluation]

    @property
    def reused(self) -> list[dg.AssetMaterialization]:
        """Those of the materialized that were there already, as they would be made now."""
        return [m for m in self.materialized if (flag := m.metadata.get("reused")) and flag.value]


def runs_of(pair: str) -> list[JobRun]:
    """List the job runs that make a fusion pair from raw files, upstream first."""
    chunks = [_chunk_run(pair, chunk) for chunk in IMPLICATES.chunks]
    return [*runs_up_to_models(pair), *chunks, JobRun("publish_pair", pair)]


def runs_up_to_models(pair: str) -> list[JobRun]:
    """List those of them before the first implicate: after these, chunks may be drawn anywhere."""
    entry = REGISTRY.pair(pair)
    pumas = REGISTRY.pumas_of(entry.recipient)
    return [
        *(JobRun("ingest_survey", key) for donor in entry.donors for key in REGISTRY.behind(donor)),
        *(JobRun("pool_survey", donor) for donor in entry.donors if donor in REGISTRY.pools),
        JobRun("ingest_recipient", entry.recipient),
        JobRun("build_concordance", pumas),
        *(JobRun("find_places", dataset) for dataset in REGISTRY.spatial),
        *(JobRun("summarize_places", key) for key, (_, of) in REGISTRY.summaries.items() if of == pumas),
        JobRun("summarize_pumas", entry.recipient),
        JobRun("fit_pair", pair),
    ]


def chunk_runs(pair: str, implicates: str) -> list[JobRun]:
    """List the job runs that draw some implicates of a fusion pair.

    Parameters
    ----------
    pair : str
    implicates : str
        `7-12`, both included, or one number; leading zeros do not matter.

    Raises
    ------
    SettingsError
        If that is no range, or does not begin and end where chunks do; the message lists the chunks.
    """
    first, _, last = implicates.partition("-")
    chunks = {key: set(members) for key, members in IMPLICATES.chunks.items()}
    try:
        wanted = set(range(int(first), int(last or first) + 1))
    except ValueError:
        wanted = set()
    chosen = [key for key, members in chunks.items() if members <= wanted]
    if not wanted or set().union(*(chunks[key] for key in chosen)) != wanted:
        raise SettingsError(
            f"--implicates {implicates}",
            f"does not begin and end where the chunks of {IMPLICATES.count} implicates do.",
            f"Choose one of {', '.join(chunks)}, or a range of them; FUSION_IMPLICATES sets how many there are.",
        )
    return [_chunk_run(pair, chunk) for chunk in chosen]


def _chunk_run(pair: str, chunk: str) -> JobRun:
    return JobRun("fuse_chunk", str(dg.MultiPartitionKey({"fusion": pair, "implicates": chunk})))


def run_pair(
    pair: str,
    settings: Settings,
    instance: dg.DagsterInstance,
    *,
    force: bool = False,
    up_to_models: bool = False,
) -> Iterator[tuple[JobRun, Outcome | None]]:
    """Materialize a pair's assets, job by job; see `run_all`.

    Raises
    ------
    RawFileError
        Before any job, if raw files are not to be had: one error that lists them all.
    """
    find_raw_files(pair, settings)
    runs = runs_up_to_models(pair) if up_to_models else runs_of(pair)
    return run_all(runs, settings, instance, force=force)


def find_raw_files(pair: str, settings: Settings) -> None:
    """Find all raw files of a pair, fetching those that are neither in the mirror nor in the cache.

    Files of places are found too: of the recipient's PUMA definition, and of all spatial datasets. Simulated files are
    written by the steps themselves, and not looked for.

    Raises
    ------
    RawFileError
        If any are not to be had: one error that lists them all.
    """
    if settings.origin == "simulated":
        return
    entry, files = REGISTRY.pair(pair), raw_files(settings)
    years = [*(key for donor in entry.donors for key in REGISTRY.behind(donor)), entry.recipient]
    with Missing() as missing:
        for key in dict.fromkeys(years):
            with missing.noted():
                files.survey(REGISTRY.survey_year(key))
        with missing.noted():
            files.places(REGISTRY.place_files(REGISTRY.pumas_of(entry.recipient)))


def run_all(
    runs: Sequence[JobRun], settings: Settings, instance: dg.DagsterInstance, *, force: bool = False
) -> Iterator[tuple[JobRun, Outcome | None]]:
    """Execute job runs one after another; what is there and current is reused unless `force`.

    Steps take all threads and memory of the settings, or their share as long as other runs of the instance work on this
    machine when a job begins.

    Yields
    ------
    (JobRun, None) before a job starts, (JobRun, Outcome) when it has ended.

    Raises
    ------
    FusionError
        As `execute` does.
    """
    release_dead_runs(instance)
    sharing = 0
    for run in runs:
        yield run, None
        at_work = 1 + len(working_runs(instance))
        if at_work != sharing:
            sharing, definitions = at_work, _definitions(settings, at_work)
        yield run, execute(definitions, run, instance, force=force)


def _definitions(settings: Settings, at_work: int) -> dg.Definitions:
    """Assemble the graph for one of some runs that work on this machine at once."""
    share = settings.model_copy(update={"concurrent_steps": at_work})
    if at_work > 1:
        told = "%d runs work on this machine: this one takes %d of %d threads"
        _log.info(told, at_work, share.step_threads, settings.threads)
    return build_defs(share)


def execute(
    definitions: dg.Definitions, run: JobRun, instance: dg.DagsterInstance, *, force: bool = False
) -> Outcome:
    """Execute one job on one partition in this process; `force` makes again what is current.

    Raises
    ------
    FusionError
        What the library raised inside an asset, unwrapped; `CheckError` if a blocking check failed.
    """
    started, run_id = time.perf_counter(), make_new_run_id()
    try:
        result = definitions.resolve_job_def(run.job).execute_in_process(
            run_id=run_id,
            instance=instance,
            partition_key=run.partition,
            run_config=_QUIET,
            tags={**_LABEL, **note(run_id), FORCE: str(force).lower()},
            raise_on_error=True,
        )
    except DagsterAssetCheckFailedError as error:
        raise CheckError(
            f"{run.job} {run.partition or ''}".strip(),
            f"{' '.join(str(error).split())}; nothing downstream was made.",
            "The findings stand beside the check in the UI (`make ui`).",
        ) from error
    return Outcome(
        time.perf_counter() - started,
        [e.step_materialization_data.materialization for e in result.get_asset_materialization_events()],
        result.get_asset_check_evaluations(),
    )


def record_of_runs(instance: dg.DagsterInstance) -> str:
    """Say where an instance records its runs: a folder, or the kind of its database (addresses may hold passwords)."""
    if not instance.is_persistent:
        return "memory"
    storage = instance.get_ref().storage_data
    if storage is None:
        return instance.root_directory
    return storage.config_dict.get("base_dir") or storage.class_name


def throwaway_instance() -> dg.DagsterInstance:
    """Make an instance in memory: what it records is gone when the process ends."""
    return dg.DagsterInstance.ephemeral()


def local_instance() -> dg.DagsterInstance:
    """Open the instance that `make ui` shows.

    Raises
    ------
    SettingsError
        If neither DAGSTER_HOME is set nor the working directory holds dagster.yaml: Dagster would otherwise
        record the runs in a throw-away instance. Or if dagster.yaml names variables that are not set.
    """
    if "DAGSTER_HOME" not in os.environ:
        if not Path("dagster.yaml").exists():
            raise SettingsError(
                "DAGSTER_HOME",
                f"is not set, and {Path.cwd()} has no dagster.yaml.",
                "Start from the project's folder, or set it to the folder of your instance.",
            )
        os.environ["DAGSTER_HOME"] = str(Path.cwd())
    try:
        return dg.DagsterInstance.get()
    except dg.DagsterInvalidConfigError as error:
        unset = dict.fromkeys(re.findall(r'environment variable "(\w+)" which is not set', str(error)))
        where = f"{os.environ['DAGSTER_HOME']}/dagster.yaml"
        if not unset:
            raise SettingsError(
                where, f"{error.errors[0].message.splitlines()[0]}.", "Correct it."
            ) from error
        raise SettingsError(
            where, f"needs {', '.join(unset)}.", "Set them (docs/operations.md, A shared instance)."
        ) from error


def runs_at_once(instance: dg.DagsterInstance) -> float | None:
    """Runs of the UI that may work on this machine at once; None where a launcher of another kind spreads them."""
    queue = instance.get_concurrency_config().run_queue_config
    if queue is None or not isinstance(instance.run_launcher, dg.DefaultRunLauncher):
        return None
    return math.inf if queue.max_concurrent_runs < 0 else queue.max_concurrent_runs


def daemon_beats(instance: dg.DagsterInstance) -> float | None:
    """Seconds since the daemon of an instance last said that it is alive; None if it never did."""
    beats = [beat.timestamp for beat in instance.get_daemon_heartbeats().values()]
    return time.time() - max(beats) if beats else None
