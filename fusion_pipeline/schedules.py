"""Schedules, off until somebody switches them on: what changed monthly, what is new yearly, what is sound weekly.

Belongs here: when to look and what to ask for. Does not belong here: what follows from new raw files; the sensor
`follow_changes` (`sensors.py`) does, or a person. A run asked for in vain costs little: unchanged work is reused.
"""

import dagster as dg

from fusion_pipeline.jobs import JOBS, validate_store
from fusion_pipeline.partitions import REGISTRY
from fusion_pipeline.raw import watching
from resources.raw_files import RawFiles

INGESTING = [job for job in JOBS if job.name in ("ingest_survey", "ingest_recipient", "build_concordance")]
_RAW = {"ingest_survey": dg.AssetKey(["survey", "raw"]), "ingest_recipient": dg.AssetKey(["acs", "raw"])}


def ingestion(key: str, run_key: str) -> dg.RunRequest:
    """Ask for the ingestion of a survey-year, an ACS year or the geography files."""
    if key == watching.GEOGRAPHY:
        return dg.RunRequest(run_key=run_key, job_name="build_concordance")
    job = "ingest_survey" if key in REGISTRY.surveys else "ingest_recipient"
    return dg.RunRequest(run_key=run_key, job_name=job, partition_key=key)


def _made(instance: dg.DagsterInstance, key: str) -> bool:
    job = "ingest_survey" if key in REGISTRY.surveys else "ingest_recipient"
    return key in instance.get_materialized_partitions(_RAW[job])


@dg.schedule(
    cron_schedule="0 3 2 * *",
    target=INGESTING,
    execution_timezone="UTC",
)
def monthly_refresh(
    context: dg.ScheduleEvaluationContext, raw_files: RawFiles
) -> list[dg.RunRequest] | dg.SkipReason:
    """Look at the raw files of every survey-year that was made, and ingest again what changed."""
    when = context.scheduled_execution_time.date()
    used = [key for key in (*REGISTRY.surveys, *REGISTRY.recipients) if _made(context.instance, key)]
    if not used:
        return dg.SkipReason("No survey-year has been ingested yet.")
    keys = [*used, watching.GEOGRAPHY]
    if raw_files.origin == "public" and raw_files.mirror:
        # A survey-year that is only in the cache was downloaded under its checksum and cannot have changed.
        there = watching.stamps(REGISTRY, raw_files.folder)
        keys = [key for key in keys if key in there]
    return [ingestion(key, f"{when}:{key}") for key in keys] or dg.SkipReason(
        f"None of {', '.join(used)} lies in {raw_files.mirror}."
    )


@dg.schedule(cron_schedule="0 4 1 11 *", target=INGESTING, execution_timezone="UTC")
def yearly_vintage(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest] | dg.SkipReason:
    """Ingest the survey-years that a fusion pair of the registry needs and that were never ingested.

    On the first of November, after the release of the ACS 1-year files.
    """
    pairs = REGISTRY.pairs.values()
    needed = dict.fromkeys(key for pair in pairs for key in (*pair.donors, pair.recipient))
    new = [key for key in needed if not _made(context.instance, key)]
    year = context.scheduled_execution_time.year
    return [ingestion(key, f"{year}:{key}") for key in new] or dg.SkipReason(
        "Every survey-year of the registry's fusion pairs has been ingested."
    )


@dg.schedule(cron_schedule="0 5 * * 0", target=validate_store, execution_timezone="UTC")
def weekly_validation(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """Hold every artefact against its receipt."""
    return dg.RunRequest(run_key=str(context.scheduled_execution_time.date()))


SCHEDULES = [monthly_refresh, yearly_vintage, weekly_validation]
