"""Asset checks of every table: one step a table, all its expectations in one suite.

A stand-alone check is a step of its own, and a partitioned check must name its partitions on every spec:
this factory is the one place that knows. Facts that an asset learns while it works are checked by the asset
itself (`check_specs`). A table that lies there as it was checked is not checked again: what was found is told again.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import dagster as dg

from assets.geography import geography_concordance, geography_predictors
from assets.pair_tables import fusion_harmonized, fusion_located, fusion_prepared
from assets.pool import pool_dictionary, pool_households, pool_persons
from assets.recipient import acs_dictionary, acs_households, acs_persons
from assets.reuse import told_to_force
from assets.spatial import spatial_summaries
from assets.survey import survey_dictionary, survey_households, survey_persons
from fusion_pipeline.storage.layout import Layout
from fusion_pipeline.storage.tables import TableRef
from fusion_pipeline.validation import kept_findings, specifications
from fusion_pipeline.validation.expectations import ASPECTS, TableSpec, validate
from resources.store import FusionStore

Specify = Callable[[Layout, Any], TableSpec | dict[str, TableSpec]]


def table_checks(asset: dg.AssetsDefinition, specify: Specify) -> dg.AssetChecksDefinition:
    """Make the blocking checks `schema` and `values` of one table asset.

    Parameters
    ----------
    asset : the asset that publishes the table, or the donor's and the recipient's
    specify : layout, partition key -> what the table must look like, or a specification each for donor and recipient
    """
    descriptions = {
        "schema": "The columns, their types, the key and the number of rows are as specified.",
        "values": "Levels, ranges and missing values are as specified.",
    }

    @dg.multi_asset_check(
        name=f"{'_'.join(asset.key.path)}_expectations",
        specs=[
            dg.AssetCheckSpec(
                aspect,
                asset=asset.key,
                blocking=True,
                partitions_def=asset.partitions_def,
                description=descriptions[aspect],
            )
            for aspect in ASPECTS
        ],
    )
    def expectations(
        context: dg.AssetCheckExecutionContext, store: FusionStore
    ) -> Iterator[dg.AssetCheckResult]:
        partition = str(context.partition_key) if asset.partitions_def else None
        specified = specify(store.layout, partition)
        expected = {"": specified} if isinstance(specified, TableSpec) else specified
        receipt, path = store.whole(asset.key, partition), store.layout.findings(asset.key.path, partition)
        now = kept_findings.basis(receipt.files, expected) if receipt else None
        found = kept_findings.recall(path, now) if now and not told_to_force(context.run) else None
        reused = found is not None
        if found is None:
            tables = _tables(store, asset.key, partition, expected)
            found = {side: validate(tables[side], spec) for side, spec in expected.items()}
            if now:
                kept_findings.remember(path, now, found)
        for aspect in ASPECTS:
            of_aspect = [(side, f) for side, some in found.items() for f in some if f.aspect == aspect]
            failed = [(side, f) for side, f in of_aspect if not f.passed]
            lines = [f"- {side} {f.expectation}: {f.detail}" for side, f in failed] or ["all met"]
            yield dg.AssetCheckResult(
                check_name=aspect,
                asset_key=asset.key,
                passed=not failed,
                metadata={
                    "expectations": len(of_aspect),
                    "failed": len(failed),
                    "reused": reused,
                    "findings": dg.MetadataValue.md("\n".join(lines)),
                },
            )

    return expectations


def _tables(
    store: FusionStore, asset: dg.AssetKey, partition: str | None, expected: Mapping[str, TableSpec]
) -> dict[str, TableRef]:
    if "" in expected:
        return {"": store.table(asset, partition)}
    pair = store.pair(asset, str(partition))
    return {side: getattr(pair, side) for side in expected}


CHECKS = [
    table_checks(survey_households, specifications.survey_households),
    table_checks(survey_persons, specifications.survey_persons),
    table_checks(survey_dictionary, specifications.survey_dictionary),
    table_checks(pool_households, specifications.pool_households),
    table_checks(pool_persons, specifications.pool_persons),
    table_checks(pool_dictionary, specifications.survey_dictionary),
    table_checks(acs_households, specifications.acs_households),
    table_checks(acs_persons, specifications.acs_persons),
    table_checks(acs_dictionary, specifications.survey_dictionary),
    table_checks(geography_concordance, specifications.concordance),
    table_checks(geography_predictors, specifications.acs_summaries),
    table_checks(spatial_summaries, specifications.spatial_summaries),
    table_checks(fusion_harmonized, specifications.harmonized),
    table_checks(fusion_located, specifications.located),
    table_checks(fusion_prepared, specifications.prepared),
]
