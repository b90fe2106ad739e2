"""Place: the concordance of each PUMA definition, and the ACS summarized by PUMA."""

import dagster as dg

from assets import figures, recipes
from assets.publishing import publish
from assets.reuse import reusable
from fusion_pipeline.geography import building
from fusion_pipeline.geography import predictors as spatial
from fusion_pipeline.partitions import ACS_YEARS, PUMAS, PUMAS_TO_ACS, REGISTRY
from fusion_pipeline.raw import VOLATILE, as_table, from_table, verify
from fusion_pipeline.storage.artefacts import Artefact
from fusion_pipeline.storage.tables import TableRef
from resources.raw_files import RawFiles


@dg.asset(
    key=["geography", "raw"],
    partitions_def=PUMAS,
    kinds={"file"},
    code_version="3",
    group_name="geography",
    owners=["team:geography"],
)
@reusable(looks_outside=True)
def geography_raw(context: dg.AssetExecutionContext, raw_files: RawFiles) -> dg.MaterializeResult[Artefact]:
    """The raw files that a concordance is built from, as they were found: relationship files, counties, areas."""
    wanted = REGISTRY.geography[context.partition_key].files
    files = raw_files.places(wanted)
    absent = sorted(set(wanted) - {file.role for file in files})
    return publish(
        context,
        as_table(files),
        volatile=VOLATILE,
        metadata={
            "origin": files[0].origin,
            "optional files that are not at hand": ", ".join(absent) or "none",
        },
    )


@dg.asset(
    key=["geography", "concordance"],
    partitions_def=PUMAS,
    kinds={"parquet"},
    code_version=building.VERSION,
    ins={"raw": dg.AssetIn(["geography", "raw"])},
    group_name="geography",
    owners=["team:geography"],
)
@reusable(recipes.places)
def geography_concordance(context: dg.AssetExecutionContext, raw: TableRef) -> dg.MaterializeResult[Artefact]:
    """Every piece of every PUMA with its housing units, and the areas it lies in: county, ZIP code, climate zone."""
    paths = {file.role: verify(file) for file in from_table(raw.read())}
    result = building.build_concordance(paths, context.partition_key)
    described = building.column_sources()
    return publish(
        context,
        result.table,
        inputs=[raw],
        metadata={
            "decisions": dg.MetadataValue.json(result.notes),
            "sources": figures.markdown_table(
                ("column", "what", "source", "date"),
                [(name, *described[name].values()) for name in result.table.column_names],
            ),
        },
        descriptions={name: entry["what"] for name, entry in described.items()},
    )


@dg.asset(
    key=["geography", "predictors"],
    partitions_def=ACS_YEARS,
    kinds={"parquet"},
    code_version=spatial.VERSION,
    ins={
        "concordance": dg.AssetIn(["geography", "concordance"], partition_mapping=PUMAS_TO_ACS),
        "households": dg.AssetIn(["acs", "households"]),
    },
    group_name="geography",
    owners=["team:geography"],
)
@reusable(recipes.summaries)
def geography_predictors(
    context: dg.AssetExecutionContext, concordance: TableRef, households: TableRef
) -> dg.MaterializeResult[Artefact]:
    """The ACS households of one year summarized by PUMA."""
    table = spatial.puma_predictors(households, concordance.read())
    return publish(context, table, inputs=[concordance, households])
