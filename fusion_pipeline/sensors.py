"""Sensors: new files in the mirror folder, and what follows from a change, off until somebody switches them on; and one
that is on, for runs whose process was killed.

Belongs here: looking and asking for runs. Does not belong here: stamps of files (`raw/watching.py`), processes of runs
(`workers.py`).
"""

import json

import dagster as dg

from fusion_pipeline.partitions import REGISTRY
from fusion_pipeline.raw import watching
from fusion_pipeline.schedules import INGESTING, ingestion
from fusion_pipeline.workers import release_dead_runs
from resources.raw_files import RawFiles

ON_REQUEST = [dg.AssetKey(["quality", "internal"])]
"""What costs a training of its own and nothing else needs: made by its schedule or a person, and followed if it was."""
FOLLOW = dg.AutomationCondition.eager().replace(
    "any_deps_missing",
    dg.AutomationCondition.any_deps_missing().ignore(dg.AssetSelection.assets(*ON_REQUEST)),
)
"""Make a partition again when one of its inputs was made, unless an input is missing or being made."""


@dg.sensor(
    jobs=list(INGESTING.values()),
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.STOPPED,
)
def new_raw_files(
    context: dg.SensorEvaluationContext, raw_files: RawFiles
) -> dg.SensorResult | dg.SkipReason:
    """Ingest a survey-year when its raw files appear in the mirror folder or change there.

    A survey-year is asked for when its files looked the same at two ticks, so that none is read half copied.
    """
    if raw_files.origin != "public" or raw_files.mirror is None:
        return dg.SkipReason("There is no mirror folder (FUSION_RAW is not set).")
    seen = json.loads(context.cursor or "{}")
    now = watching.stamps(REGISTRY, raw_files.folder)
    asked = seen.get("asked", {})
    settled = {key: stamp for key, stamp in now.items() if seen.get("last", {}).get(key) == stamp}
    requests = [ingestion(key, f"{key}:{stamp}") for key, stamp in settled.items() if asked.get(key) != stamp]
    cursor = json.dumps({"last": now, "asked": {**asked, **settled}}, sort_keys=True)
    reason = None if requests else f"{len(now)} survey-years in {raw_files.mirror}, none of them new."
    return dg.SensorResult(run_requests=requests, cursor=cursor, skip_reason=reason)


follow_changes = dg.AutomationConditionSensorDefinition(
    "follow_changes",
    target=dg.AssetSelection.all(),
    default_status=dg.DefaultSensorStatus.STOPPED,
    description="Declarative automation: whatever depends on what was made is made again, pairs and chunks too.",
)


@dg.sensor(minimum_interval_seconds=30, default_status=dg.DefaultSensorStatus.RUNNING)
def killed_runs(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """Fail the runs of this machine whose process was killed: pool slots and places in the queue are free again.

    It starts nothing; run retries do. Evaluated by the code server, on whose machine the launcher starts its processes.
    """
    return dg.SkipReason(", ".join(release_dead_runs(context.instance)) or "No run was killed.")


SENSORS = [new_raw_files, follow_changes, killed_runs]
