"""Estimates of a fusion pair against published figures."""

import dagster as dg

from assets import figures, pairs, recipes
from assets.publishing import publish
from assets.reuse import reusable
from fusion_pipeline.partitions import IMPLICATES
from fusion_pipeline.raw import from_table, verify
from fusion_pipeline.storage.artefacts import Artefact, PairTables
from fusion_pipeline.storage.tables import TableRef
from fusion_pipeline.validation import pair_external
from fusion_pipeline.validation.published import FromDataset, load_published
from resources.compute import Compute
from resources.store import FusionStore

MOST_PANELS = 4
"""Benchmarks in the asset's figure; the report has more."""
DATASETS_USED = sorted(
    {b.figures.dataset for b in load_published().benchmarks if isinstance(b.figures, FromDataset)}
)
"""Spatial datasets whose raw files hold published figures."""


@pairs.pair_asset(
    "quality",
    "external",
    kinds={"parquet"},
    code_version=pair_external.VERSION,
    ins={
        "microdata": dg.AssetIn(["fusion", "microdata"]),
        "prepared": dg.AssetIn(["fusion", "prepared"]),
        "households": pairs.from_recipient("households"),
        "raw": dg.AssetIn(
            ["spatial", "raw"], partition_mapping=dg.SpecificPartitionsPartitionMapping(DATASETS_USED)
        ),
    },
    deps=[dg.AssetKey(["quality", "area_error"])],
    check_specs=[
        pairs.check("quality", "external", name, description)
        for name, description in pair_external.CHECKS.items()
    ],
)
@reusable(recipes.external)
def quality_external(
    context: dg.AssetExecutionContext,
    compute: Compute,
    store: FusionStore,
    microdata: TableRef,
    prepared: PairTables,
    households: TableRef,
    raw: dict[str, TableRef],
) -> dg.MaterializeResult[Artefact]:
    """Fused estimates by area beside figures that others published: prices, sales, bills, survey reports."""
    pair = context.partition_key
    store.fetch("quality/area_error", pair)
    files = {
        name: {file.role: verify(file) for file in from_table(table.read())} for name, table in raw.items()
    }
    implicates = store.implicates(pair, IMPLICATES.chunks)
    found = pair_external.pair_external(
        pair,
        store.layout,
        variables=store.plan(pair).variables,
        predictors=prepared.recipient.columns,
        households=households,
        files=files,
        implicates=len(implicates),
        memory_limit=compute.memory_limit,
        threads=compute.threads,
    )
    drawn = pair_external.figure(
        found.table, most=MOST_PANELS, source=f"{pair}, {len(implicates)} implicates"
    )
    amiss, numbers = pair_external.findings(found.table), pair_external.check_numbers(found.table)
    return publish(
        context,
        found.table,
        inputs=[microdata, prepared, households, *raw.values()],
        versions={
            f"fusion/plan[{pair}]": store.plan_version(pair),
            f"quality/area_error[{pair}]": store.area_error_version(pair),
        },
        metadata={
            "recipient rows": prepared.recipient.num_rows,
            "agreement": figures.frame_table(pair_external.summary(found.table)),
            "not compared": figures.reasons(found.left_out),
            **({"fused against published": figures.image(drawn)} if drawn else {}),
        },
        descriptions=pair_external.COLUMNS,
        checks=[
            dg.AssetCheckResult(
                check_name=name,
                passed=not lines,
                severity=dg.AssetCheckSeverity.WARN,
                metadata={"beyond what is expected": "; ".join(lines) or "none", **numbers[name]},
            )
            for name, lines in amiss.items()
        ],
    )
