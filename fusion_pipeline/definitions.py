"""The code location: assets, checks, jobs and resources put together.

Belongs here: assembly only. `build_defs` takes settings and overrides so that tests, the command line and
production make their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg

from assets import (
    budgets,
    checks,
    external,
    geography,
    implicates,
    internal,
    models,
    pair_tables,
    pool,
    quality,
    recipient,
    spatial,
    survey,
)
from fusion_pipeline import jobs, schedules, sensors
from fusion_pipeline.settings import Settings, load_settings
from fusion_pipeline.storage.layout import Layout
from fusion_pipeline.workers import IN_PROCESS
from resources.compute import Compute
from resources.parquet_io import ParquetIOManager
from resources.raw_files import RawFiles
from resources.store import FusionStore


def build_defs(
    settings: Settings | None = None, overrides: Mapping[str, Any] | None = None
) -> dg.Definitions:
    """Assemble the code location.

    Parameters
    ----------
    settings : Settings, optional
        Default: read from the environment.
    overrides : mapping, optional
        Resources that replace those made from the settings.
    """
    modules = [
        survey,
        pool,
        recipient,
        geography,
        spatial,
        pair_tables,
        models,
        implicates,
        internal,
        external,
        quality,
    ]
    definitions = dg.Definitions(
        assets=dg.load_assets_from_modules(modules),
        asset_checks=[*checks.CHECKS, *budgets.CHECKS],
        jobs=jobs.JOBS,
        schedules=schedules.SCHEDULES,
        sensors=sensors.SENSORS,
        resources={**_resources(settings or load_settings()), **(overrides or {})},
        executor=IN_PROCESS,
    )
    return definitions.map_asset_specs(func=_followed)


def _followed(spec: dg.AssetSpec) -> dg.AssetSpec:
    """Let a made asset follow its inputs; raw files and validations are asked for by schedules and sensors."""
    made = spec.key.path[-1] != "raw" and spec.key not in sensors.ON_REQUEST
    return spec.replace_attributes(automation_condition=sensors.FOLLOW) if made else spec


def raw_files(settings: Settings) -> RawFiles:
    """Make the resource that finds raw files."""
    layout = Layout(settings.root)
    mirror = layout.simulated_raw if settings.origin == "simulated" else settings.raw
    return RawFiles(
        origin=settings.origin,
        mirror=str(mirror.resolve()) if mirror else None,
        cache=str(layout.download_cache),
        offline=settings.offline,
        households=settings.simulated_households,
        donors=settings.simulated_donors,
        seed=settings.seed,
    )


def _resources(settings: Settings) -> dict[str, Any]:
    root = str(settings.root)
    return {
        "store": FusionStore(root=root, remote=settings.shared),
        "io_manager": ParquetIOManager(root=root, remote=settings.shared),
        "compute": Compute(
            threads=settings.step_threads, memory_limit=settings.step_memory, seed=settings.seed
        ),
        "raw_files": raw_files(settings),
    }


defs = build_defs()
