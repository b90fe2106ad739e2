"""The plan of a fusion pair and the models fitted by it.

Belongs here: what is learned from the donors. Does not belong here: the tables it is learned from (`pair_tables.py`),
what is drawn (`implicates.py`).
"""

import dagster as dg

from assets import figures, pairs, recipes
from assets.publishing import provenance
from assets.reuse import reusable
from fusion_pipeline import harmonize, planning, preparation
from fusion_pipeline.fusion import screening, training
from fusion_pipeline.fusion.importance import importance
from fusion_pipeline.fusion.support import common_support, poor_support
from fusion_pipeline.partitions import REGISTRY
from fusion_pipeline.storage.artefacts import PairTables
from fusion_pipeline.validation import figures as drawing
from resources.compute import Compute
from resources.store import FusionStore


@pairs.pair_asset(
    "fusion",
    "plan",
    kinds={"numba"},
    code_version=screening.VERSION,
    ins={"prepared": dg.AssetIn(["fusion", "prepared"])},
)
@reusable(recipes.plan, seeded=True)
def fusion_plan(
    context: dg.AssetExecutionContext, compute: Compute, store: FusionStore, prepared: PairTables
) -> dg.MaterializeResult:
    """Fusion order, blocks, and the predictors of every step that survive the screen."""
    pair = REGISTRY.pair(context.partition_key)
    donor = preparation.training_table(prepared)
    harmony = next(iter(harmonize.pair_harmonies(pair, REGISTRY).values()))
    plan = planning.plan_pair(pair, harmony, prepared, donor, seed=compute.seed)
    absent = planning.absent_predictors(pair.forced, pair.prices, donor.column_names)
    version = store.write_plan(context.partition_key, plan)
    return dg.MaterializeResult(
        data_version=dg.DataVersion(version),
        metadata={
            "donor rows": donor.num_rows,
            "fusion order": " → ".join(plan.variables),
            "steps": figures.plan_table(plan),
            "predictors asked for and not there": figures.reasons(absent),
            "provenance": dg.MetadataValue.json(provenance(context, [prepared])),
        },
    )


@pairs.pair_asset(
    "fusion",
    "models",
    kinds={"lightgbm", "faiss"},
    pool="training",
    code_version=training.VERSION,
    ins={"prepared": dg.AssetIn(["fusion", "prepared"])},
    deps=[dg.AssetKey(["fusion", "plan"])],
    check_specs=[
        pairs.check(
            "fusion",
            "models",
            "common_support",
            "Donors cover the recipient in every predictor: overlap, recipients beyond donors, means.",
        )
    ],
)
@reusable(recipes.libraries, seeded=True)
def fusion_models(
    context: dg.AssetExecutionContext, compute: Compute, store: FusionStore, prepared: PairTables
) -> dg.MaterializeResult:
    """The fitted model set: every conditional expectation, and the donor pools."""
    pair = context.partition_key
    table = preparation.training_table(prepared)
    models = training.train(
        table,
        store.plan(pair),
        groups=preparation.HOUSEHOLD,
        draws=table.num_rows // prepared.donor.num_rows,
        out=store.layout.model_set(pair),
        seed=compute.seed,
        threads=compute.threads,
    )
    support = common_support(prepared.donor, prepared.recipient, models.plan.predictors, weight="weight")
    poor = poor_support(support)
    report = models.report()
    return dg.MaterializeResult(
        data_version=dg.DataVersion(models.fingerprint[:32]),
        metadata={
            "path": dg.MetadataValue.path(store.layout.model_set(pair)),
            "donor rows": prepared.donor.num_rows,
            "models": len(report),
            "sets of redrawn donor weights": models.bootstraps,
            "importance": figures.image(drawing.importance(importance(models), source=pair)),
            "report": figures.frame_table(report),
            "provenance": dg.MetadataValue.json(
                provenance(context, [prepared], {f"fusion/plan[{pair}]": store.plan_version(pair)})
            ),
        },
        check_results=[
            dg.AssetCheckResult(
                check_name="common_support",
                passed=not poor,
                severity=dg.AssetCheckSeverity.WARN,
                metadata={
                    "poor": ", ".join(poor) or "none",
                    "how many": len(poor),
                    "overlap_min": float(support["overlap"].min()),
                    "support": figures.frame_table(support),
                },
            )
        ],
    )
