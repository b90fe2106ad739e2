"""What the steps of a fusion pair took and found, read back from the Dagster instance.

Belongs here: one row a partition of an asset, and the page of them. Does not belong here: the pair's results
(`validation/pair_report.py`), measuring (`measuring.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
from dagster._core.event_api import PartitionKeyFilter
from dagster._core.storage.asset_check_execution_record import (
    AssetCheckExecutionRecord,
    AssetCheckExecutionRecordStatus,
)

from fusion_pipeline.definitions import build_defs
from fusion_pipeline.running import runs_of

ROWS = ("rows of all implicates", "dagster/row_count", "recipient rows")
COLUMNS = (
    "asset",
    "partition",
    "when",
    "state",
    "rows",
    "seconds",
    "CPU seconds",
    "peak memory MB",
    "checks",
)


def summarize(pair: str, instance: dg.DagsterInstance) -> pd.DataFrame:
    """List the last materialization of every step of a pair, upstream first.

    Parameters
    ----------
    pair : str
    instance : the instance on which it was run

    Returns
    -------
    Columns `COLUMNS`: `state` says why it was made, or that it was reused (then what it took is what it took when it
    was made); `when` is UTC; `checks` names those that failed, or counts those that passed.
    """
    definitions = build_defs()
    graph = definitions.resolve_asset_graph()
    rows: list[dict[str, Any]] = []
    for run in runs_of(pair):
        job = definitions.resolve_job_def(run.job)
        for key in graph.toposorted_asset_keys:
            if key in job.asset_layer.selected_asset_keys:
                rows.append(_row(key, run.partition, instance, graph))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def write_summary(path: Path, pair: str, table: pd.DataFrame) -> None:
    """Write the table and its totals as one HTML page."""
    from fusion_pipeline.validation.report import Section, write_report

    made = table.dropna(subset=["seconds"])
    summary = {
        "Steps": f"{len(made)} of {len(table)} materialized",
        "CPU seconds": f"{made['CPU seconds'].sum():,.0f}",
        "Peak memory": f"{made['peak memory MB'].max():,.0f} MB" if len(made) else "-",
        "Failed checks": ", ".join(t for t in table["checks"] if t.startswith("failed")) or "none",
    }
    shown = table.astype(object).where(table.notna(), "")
    write_report(
        path,
        title=f"{pair}: what its steps took",
        summary=summary,
        sections=[Section("Steps", figure=None, table=shown)],
        caution="Steps in their order. What a reused one took is what it took when it was made; times are UTC.",
    )


def _row(key: dg.AssetKey, partition: str | None, instance: dg.DagsterInstance, graph: Any) -> dict[str, Any]:
    row: dict[str, Any] = {"asset": key.to_user_string(), "partition": partition or "", "checks": ""}
    events = list(_materializations(key, partition, instance))
    if not events:
        return row | {"state": "not materialized"}
    when, last = events[0]
    # What was reused took nothing; what it took is in the event of its making.
    made = next((found for _, found in events if not found.get("reused")), last)
    row |= {
        "when": datetime.fromtimestamp(when, UTC).strftime("%Y-%m-%d %H:%M:%S"),
        "state": "reused" if last.get("reused") else str(last.get("made because", "")),
        "rows": next((int(last[name]) for name in ROWS if name in last), None),
        **{name: made.get(name) for name in ("seconds", "CPU seconds", "peak memory MB")},
    }
    return row | {"checks": _checks(key, partition, instance, graph)}


def _materializations(
    key: dg.AssetKey, partition: str | None, instance: dg.DagsterInstance
) -> Iterator[tuple[float, dict[str, Any]]]:
    """Give time and metadata, newest first."""
    wanted = dg.AssetRecordsFilter(key, asset_partitions=[partition] if partition else None)
    for record in instance.fetch_materializations(wanted, limit=20).records:
        if (made := record.asset_materialization) is not None:
            yield record.timestamp, {name: entry.value for name, entry in made.metadata.items()}


def _checks(key: dg.AssetKey, partition: str | None, instance: dg.DagsterInstance, graph: Any) -> str:
    passed, failed = 0, []
    for check in graph.get_check_keys_for_assets({key}):
        found = instance.event_log_storage.get_asset_check_execution_history(
            check, limit=1, partition_filter=PartitionKeyFilter(key=partition) if partition else None
        )
        for record in found:
            passed += record.status is AssetCheckExecutionRecordStatus.SUCCEEDED
            if _has_failed(record, instance):
                failed.append(check.name)
    return f"failed: {', '.join(sorted(failed))}" if failed else f"{passed} passed" if passed else ""


def _has_failed(record: AssetCheckExecutionRecord, instance: dg.DagsterInstance) -> bool:
    """Whether a check found something wrong, or its run failed before it found anything; it may also be going on."""
    if record.status is AssetCheckExecutionRecordStatus.PLANNED:
        run = instance.get_run_by_id(record.run_id)
        return run is not None and run.status is dg.DagsterRunStatus.FAILURE
    return record.status is AssetCheckExecutionRecordStatus.FAILED
