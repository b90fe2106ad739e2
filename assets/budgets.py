"""Checks that a step took no more than its budget: CPU seconds and memory against its rows. They warn and stop nothing.

Belongs here: reading what the materialization says of itself. Does not belong here: measuring (`reuse.py`), the
budgets (`fusion_pipeline/registry.yaml`).
"""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from assets.external import quality_external
from assets.geography import geography_concordance, geography_predictors
from assets.implicates import fusion_implicates, fusion_microdata
from assets.internal import quality_internal
from assets.models import fusion_models, fusion_plan
from assets.pair_tables import fusion_harmonized, fusion_located, fusion_prepared
from assets.pool import pool_households, pool_persons
from assets.quality import quality_area_error
from assets.recipient import acs_households, acs_persons
from assets.spatial import spatial_summaries
from assets.survey import survey_households, survey_persons
from fusion_pipeline.partitions import REGISTRY
from fusion_pipeline.registry import Budget

ROWS = ("dagster/row_count", "rows of all implicates", "donor rows", "recipient rows")
"""Metadata that count the rows of a step, its own and those it reads."""


def budget_check(asset: dg.AssetsDefinition) -> dg.AssetChecksDefinition:
    """Make the check `budget` of an asset, which must have one in the registry."""
    allowed = REGISTRY.budgets[asset.key.to_user_string()]

    @dg.multi_asset_check(
        name=f"{'_'.join(asset.key.path)}_budget",
        specs=[
            dg.AssetCheckSpec(
                "budget",
                asset=asset.key,
                partitions_def=asset.partitions_def,
                description="CPU seconds and peak memory are within what the registry allows for so many rows.",
            )
        ],
    )
    def budget(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        wanted = dg.AssetRecordsFilter(asset.key, asset_partitions=[str(context.partition_key)])
        # Asked for by itself, a check may find that nothing was made yet: that took nothing.
        records = context.instance.fetch_materializations(wanted, limit=1).records
        made = records[0].asset_materialization if records else None
        beyond, shown = _compared(made.metadata if made else {}, allowed)
        return dg.AssetCheckResult(
            check_name="budget",
            asset_key=asset.key,
            passed=not beyond,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"beyond": "; ".join(beyond) or "nothing", **shown},
        )

    return budget


def _compared(metadata: Mapping[str, Any], allowed: Budget) -> tuple[list[str], dict[str, Any]]:
    """Compare what a materialization took; what was reused took nothing."""
    found = {name: entry.value for name, entry in metadata.items()}
    if found.get("reused", True):
        return [], {"rows": 0}
    rows = sum(int(found[name]) for name in ROWS if name in found)
    return allowed.exceeded(found["CPU seconds"], found["peak memory MB"], rows), {"rows": rows}


CHECKS = [
    budget_check(asset)
    for asset in (
        survey_households,
        survey_persons,
        pool_households,
        pool_persons,
        acs_households,
        acs_persons,
        geography_concordance,
        geography_predictors,
        spatial_summaries,
        fusion_harmonized,
        fusion_located,
        fusion_prepared,
        fusion_plan,
        fusion_models,
        fusion_implicates,
        fusion_microdata,
        quality_area_error,
        quality_external,
        quality_internal,
    )
]
