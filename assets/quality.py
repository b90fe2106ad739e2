"""What a reader of the numbers wants to see of a fusion pair."""

import dagster as dg

from assets import figures, recipes
from assets.publishing import provenance
from assets.reuse import reusable
from fusion_pipeline.partitions import ACS_TO_PAIR, IMPLICATES, PAIRS
from fusion_pipeline.storage.artefacts import PairTables
from fusion_pipeline.storage.tables import TableRef
from fusion_pipeline.validation import pair_report
from resources.compute import Compute
from resources.store import FusionStore


@dg.asset(
    key=["quality", "report"],
    group_name="quality",
    owners=["team:fusion"],
    partitions_def=PAIRS,
    kinds={"html"},
    code_version=pair_report.VERSION,
    ins={
        "microdata": dg.AssetIn(["fusion", "microdata"]),
        "prepared": dg.AssetIn(["fusion", "prepared"]),
        "harmonized": dg.AssetIn(["fusion", "harmonized"]),
        "households": dg.AssetIn(["acs", "households"], partition_mapping=ACS_TO_PAIR),
    },
)
@reusable(recipes.complete)
def quality_report(
    context: dg.AssetExecutionContext,
    compute: Compute,
    store: FusionStore,
    microdata: TableRef,
    prepared: PairTables,
    harmonized: PairTables,
    households: TableRef,
) -> dg.MaterializeResult:
    """The pair's report, one HTML file: estimates with margins, fused against donor, similarity of predictors."""
    pair = context.partition_key
    report = pair_report.write_pair_report(
        pair,
        store.layout,
        store.implicates(pair, IMPLICATES.chunks),
        prepared=prepared,
        harmonized=harmonized,
        households=households,
        marginals=store.marginals(pair).to_pandas(),
        plan=store.plan(pair),
        memory_limit=compute.memory_limit,
        threads=compute.threads,
    )
    return dg.MaterializeResult(
        data_version=dg.DataVersion(report.digest),
        metadata={
            "report": dg.MetadataValue.path(report.path),
            "estimates": figures.image(*report.highlights),
            "provenance": dg.MetadataValue.json(
                provenance(
                    context,
                    [microdata, prepared, harmonized, households],
                    {f"fusion/plan[{pair}]": store.plan_version(pair)},
                )
            ),
        },
    )
