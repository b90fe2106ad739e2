"""Whether the donors of a fusion pair, fused from each other, come out as they answered."""

import dagster as dg

from assets import figures, pairs, recipes
from assets.publishing import provenance
from assets.reuse import reusable
from fusion_pipeline.fusion import fusing, training
from fusion_pipeline.partitions import REGISTRY
from fusion_pipeline.storage.artefacts import PairTables
from fusion_pipeline.validation import internal, pair_validation
from resources.compute import Compute
from resources.store import FusionStore


@pairs.pair_asset(
    "quality",
    "internal",
    kinds={"lightgbm", "parquet"},
    pool="training",
    code_version=f"{internal.VERSION}.{training.VERSION}.{fusing.VERSION}",
    ins={"prepared": dg.AssetIn(["fusion", "prepared"])},
    deps=[dg.AssetKey(["fusion", "plan"])],
    check_specs=[
        pairs.check("quality", "internal", name, description)
        for name, description in pair_validation.CHECKS.items()
    ],
)
@reusable(recipes.validated, seeded=True)
def quality_internal(
    context: dg.AssetExecutionContext, compute: Compute, store: FusionStore, prepared: PairTables
):  # Dagster takes no return annotation beside check_specs when there is a value
    """Donors fused from each other, held against what they answered: error, value added, coverage by subset size."""
    pair = context.partition_key
    found = pair_validation.validate_pair(
        pair,
        prepared=prepared,
        plan=store.plan(pair),
        seed=compute.seed,
        threads=compute.threads,
        memory_limit=compute.memory_limit,
    )
    found.write(store.layout.internal(pair))
    return dg.MaterializeResult(
        data_version=dg.DataVersion(str(store.internal_version(pair))),
        metadata={
            "path": dg.MetadataValue.path(store.layout.internal(pair)),
            "donor rows": prepared.donor.num_rows,
            "summary": dg.MetadataValue.json(pair_validation.rounded(found.summary)),
            "by subset size": figures.image(found.figure(source=pair)),
            "methods": figures.frame_table(found.methods),
            "variables": figures.frame_table(found.variables),
            "dependence": figures.frame_table(found.dependence[found.dependence["kind"] == "fused"]),
            "notes": "; ".join(found.notes) or "none",
            "provenance": dg.MetadataValue.json(
                provenance(context, [prepared], {f"fusion/plan[{pair}]": store.plan_version(pair)})
            ),
        },
        check_results=[
            dg.AssetCheckResult(
                check_name=name,
                passed=verdict.passed,
                severity=dg.AssetCheckSeverity.WARN,
                metadata={"found": verdict.found, "wanted": verdict.threshold},
            )
            for name, verdict in pair_validation.verdicts(found.summary, REGISTRY.validation).items()
        ],
    )
