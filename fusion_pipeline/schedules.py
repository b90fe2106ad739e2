"""Schedules, off until somebody switches them on: what changed monthly, what is new yearly, what is sound weekly.

Belongs here: when to look and what to ask for. Does not belong here: what follows from new raw files; the sensor
`follow_changes` (`sensors.py`) does, or a person. A run asked for in vain costs little: unchanged work is reused.

A schedule launches one job, hence one schedule for each job that ingests.
"""

from typing import Any

import dagster as dg

from fusion_pipeline.jobs import JOBS, validate_store
from fusion_pipeline.partitions import REGISTRY
from fusion_pipeline.raw import watching
from resources.raw_files import RawFiles

# Partitions of the jobs that ingest, and the asset that each begins with.
_KEYS: dict[str, list[str]] = {
    "ingest_survey": list(REGISTRY.surveys),
    "ingest_recipient": list(REGISTRY.recipients),
    "build_concordance": list(REGISTRY.geography),
    "find_places": list(REGISTRY.spatial),
}
_RAW = {
    "ingest_survey": dg.AssetKey(["survey", "raw"]),
    "ingest_recipient": dg.AssetKey(["acs", "raw"]),
    "build_concordance": dg.AssetKey(["geography", "raw"]),
    "find_places": dg.AssetKey(["spatial", "raw"]),
}
INGESTING = {job.name: job for job in JOBS if job.name in _KEYS}
[VALIDATING] = [job for job in JOBS if job.name == "validate_pair"]
_YEARLY = ("ingest_survey", "ingest_recipient")


def ingestion(key: str, run_key: str) -> dg.RunRequest:
    """Ask for the ingestion of a survey-year, an ACS year, a PUMA definition or a spatial dataset."""
    [job] = [job for job, keys in _KEYS.items() if key in keys]
    return dg.RunRequest(run_key=run_key, job_name=job, partition_key=key)


def _monthly(job: str) -> dg.ScheduleDefinition:
    @dg.schedule(
        name=f"monthly_{job}",
        cron_schedule="0 3 2 * *",
        target=INGESTING[job],
        execution_timezone="UTC",
        description="Look at the raw files of all that was made, and ingest again what changed.",
    )
    def monthly(context: dg.ScheduleEvaluationContext, raw_files: RawFiles) -> Any:
        made = context.instance.get_materialized_partitions(_RAW[job])
        keys = [key for key in _KEYS[job] if key in made]
        if not keys:
            return dg.SkipReason("Nothing has been ingested yet.")
        if raw_files.origin == "public" and raw_files.mirror:
            # What is only in the cache was downloaded under its checksum and cannot have changed.
            there = watching.stamps(REGISTRY, raw_files.folder)
            keys = [key for key in keys if key in there]
        when = context.scheduled_execution_time.date()
        requests = [ingestion(key, f"{when}:{key}") for key in keys]
        return requests or dg.SkipReason(f"Nothing that was ingested lies in {raw_files.mirror}.")

    return monthly


def _yearly(job: str) -> dg.ScheduleDefinition:
    @dg.schedule(
        name=f"yearly_{job}",
        # The ACS 1-year files of a year come out in October of the next.
        cron_schedule="0 4 1 11 *",
        target=INGESTING[job],
        execution_timezone="UTC",
        description="Ingest what a fusion pair of the registry needs and nobody has ingested: a new vintage.",
    )
    def yearly(context: dg.ScheduleEvaluationContext) -> Any:
        pairs = REGISTRY.pairs.values()
        needed = {pair.recipient for pair in pairs}
        needed |= {key for pair in pairs for donor in pair.donors for key in REGISTRY.behind(donor)}
        made = context.instance.get_materialized_partitions(_RAW[job])
        new = [key for key in _KEYS[job] if key in needed and key not in made]
        year = context.scheduled_execution_time.year
        requests = [ingestion(key, f"{year}:{key}") for key in new]
        return requests or dg.SkipReason("All that the registry's fusion pairs need has been ingested.")

    return yearly


@dg.schedule(cron_schedule="0 5 * * 0", target=validate_store, execution_timezone="UTC")
def weekly_validation(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """Hold every artefact against its receipt."""
    return dg.RunRequest(run_key=str(context.scheduled_execution_time.date()))


@dg.schedule(
    cron_schedule="0 6 * * 0",
    target=next(j for j in JOBS if j.name == "compare_pair"),
    execution_timezone="UTC",
)
def weekly_comparison(context: dg.ScheduleEvaluationContext) -> Any:
    """Hold the estimates of every published pair against published figures; what is as it was is reused."""
    made = context.instance.get_materialized_partitions(dg.AssetKey(["fusion", "microdata"]))
    when = context.scheduled_execution_time.date()
    requests = [dg.RunRequest(run_key=f"{when}:{p}", partition_key=p) for p in REGISTRY.pairs if p in made]
    return requests or dg.SkipReason("No fusion pair has been published yet.")


@dg.schedule(cron_schedule="0 6 * * 0", target=VALIDATING, execution_timezone="UTC")
def weekly_internal_validation(context: dg.ScheduleEvaluationContext) -> Any:
    """Validate every pair that has models on its own donors; what is current is reused."""
    fitted = context.instance.get_materialized_partitions(dg.AssetKey(["fusion", "models"]))
    when = context.scheduled_execution_time.date()
    requests = [
        dg.RunRequest(run_key=f"{when}:{pair}", partition_key=pair)
        for pair in REGISTRY.pairs
        if pair in fitted
    ]
    return requests or dg.SkipReason("No pair has models yet.")


SCHEDULES = [
    *(_monthly(job) for job in INGESTING),
    *(_yearly(job) for job in _YEARLY),
    weekly_validation,
    weekly_comparison,
    weekly_internal_validation,
]
