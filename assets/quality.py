"""What a reader of the numbers wants to see of a fusion pair, and how far the numbers may be off."""

import dagster as dg
import pandas as pd

from assets import figures, pairs, recipes
from assets.publishing import provenance
from assets.reuse import reusable
from fusion_pipeline.fusion import imputation
from fusion_pipeline.geography import predictors as spatial
from fusion_pipeline.geography import puma_imputation
from fusion_pipeline.partitions import IMPLICATES, REGISTRY
from fusion_pipeline.raw import from_table
from fusion_pipeline.storage.artefacts import PairTables
from fusion_pipeline.storage.tables import TableRef
from fusion_pipeline.validation import pair_area_error, pair_report
from resources.compute import Compute
from resources.store import FusionStore


@pairs.pair_asset(
    "quality",
    "area_error",
    kinds={"lightgbm", "json"},
    pool="training",
    code_version=f"{pair_area_error.VERSION}.{imputation.ENGINE}.{puma_imputation.VERSION}.{spatial.VERSION}",
    ins={
        "located": dg.AssetIn(["fusion", "located"]),
        "prepared": dg.AssetIn(["fusion", "prepared"]),
        "households": pairs.from_recipient("households"),
        "summaries": pairs.SUMMARIES,
        "datasets": pairs.DATASETS,
        "concordance": pairs.from_pumas("concordance"),
        "recipient_raw": pairs.from_recipient("raw"),
    },
)
@reusable(recipes.proxies, seeded=True)
def quality_area_error(
    context: dg.AssetExecutionContext,
    compute: Compute,
    store: FusionStore,
    located: PairTables,
    prepared: PairTables,
    households: TableRef,
    summaries: TableRef,
    datasets: dict[str, TableRef],
    concordance: TableRef,
    recipient_raw: TableRef,
) -> dg.MaterializeResult:
    """Area errors, which no implicate shows: ACS variables fused onto the ACS as the donors would have them."""
    pair = context.partition_key
    year = REGISTRY.survey_year(REGISTRY.pair(pair).recipient).year
    of_places = pairs.by_dataset(datasets)
    error = pair_area_error.pair_area_error(
        pair,
        located=located,
        prepared=prepared,
        households=households,
        places=spatial.place_predictors(summaries.read(), of_places, REGISTRY.windows, year).table,
        concordance=concordance,
        covered_states=sorted({s for file in from_table(recipient_raw.read()) for s in file.states}),
        seed=compute.seed,
        threads=compute.threads,
    )
    version = store.write_area_error(pair, error)
    inputs: list[TableRef | PairTables] = [
        located, prepared, households, summaries, *datasets.values(), concordance, recipient_raw,
    ]  # fmt: skip
    return dg.MaterializeResult(
        data_version=dg.DataVersion(version),
        metadata={
            "path": dg.MetadataValue.path(store.layout.area_error(pair)),
            "donor rows": prepared.donor.num_rows,
            "recipient rows": prepared.recipient.num_rows,
            "measured": error.measured,
            "measured on": dg.MetadataValue.json(error.measured_on),
            "proxies": figures.frame_table(pd.DataFrame([proxy.model_dump() for proxy in error.proxies])),
            "provenance": dg.MetadataValue.json(provenance(context, inputs)),
        },
    )


@pairs.pair_asset(
    "quality",
    "report",
    kinds={"html"},
    code_version=pair_report.VERSION,
    ins={
        "microdata": dg.AssetIn(["fusion", "microdata"]),
        "prepared": dg.AssetIn(["fusion", "prepared"]),
        "harmonized": dg.AssetIn(["fusion", "harmonized"]),
        "households": pairs.from_recipient("households"),
        "places_raw": pairs.from_pumas("raw"),
        "concordance": pairs.from_pumas("concordance"),
    },
    deps=[dg.AssetKey(["quality", name]) for name in ("area_error", "internal", "external")],
)
@reusable(recipes.report)
def quality_report(
    context: dg.AssetExecutionContext,
    compute: Compute,
    store: FusionStore,
    microdata: TableRef,
    prepared: PairTables,
    harmonized: PairTables,
    households: TableRef,
    places_raw: TableRef,
    concordance: TableRef,
) -> dg.MaterializeResult:
    """The pair's report, one HTML file: estimates with margins, maps, fused against donor, similarity of predictors."""
    pair = context.partition_key
    for beside in ("quality/area_error", "quality/internal"):
        store.fetch(beside, pair)
    external = store.table(dg.AssetKey(["quality", "external"]), pair)
    report = pair_report.write_pair_report(
        pair,
        store.layout,
        store.implicates(pair, IMPLICATES.chunks),
        prepared=prepared,
        harmonized=harmonized,
        households=households,
        raw=places_raw,
        concordance=concordance,
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
                    [microdata, prepared, harmonized, households, external, places_raw, concordance],
                    {
                        f"fusion/plan[{pair}]": store.plan_version(pair),
                        f"quality/area_error[{pair}]": store.area_error_version(pair),
                        f"quality/internal[{pair}]": store.internal_version(pair),
                    },
                )
            ),
        },
    )
