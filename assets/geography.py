"""Place: the PUMA concordance and what is known of every PUMA."""

import dagster as dg

from assets import recipes
from assets.publishing import publish
from assets.reuse import reusable
from fusion_pipeline.geography import concordance as concordances
from fusion_pipeline.geography import predictors as spatial
from fusion_pipeline.partitions import ACS_YEARS, REGISTRY
from fusion_pipeline.raw import as_table, from_table
from fusion_pipeline.storage.artefacts import Artefact
from fusion_pipeline.storage.tables import TableRef
from resources.raw_files import RawFiles


@dg.asset(
    key=["geography", "raw"],
    kinds={"file"},
    code_version="1",
    group_name="geography",
    owners=["team:geography"],
)
@reusable(looks_outside=True)
def geography_raw(context: dg.AssetExecutionContext, raw_files: RawFiles) -> dg.MaterializeResult[Artefact]:
    """The raw geography files as they were found: tracts to PUMAs, state energy prices, degree-day normals."""
    files = raw_files.geography(REGISTRY.geography)
    return publish(context, as_table(files), volatile=("path",), metadata={"origin": files[0].origin})


@dg.asset(
    key=["geography", "concordance"],
    kinds={"parquet"},
    code_version=concordances.VERSION,
    ins={"raw": dg.AssetIn(["geography", "raw"])},
    group_name="geography",
    owners=["team:geography"],
)
@reusable()
def geography_concordance(context: dg.AssetExecutionContext, raw: TableRef) -> dg.MaterializeResult[Artefact]:
    """Every PUMA by county with its weight, state, division, region and RECS division."""
    paths = {file.role: file.path for file in from_table(raw.read())}
    table = concordances.build_concordance(paths["tract_puma_2010"])
    return publish(context, table, inputs=[raw])


@dg.asset(
    key=["geography", "predictors"],
    partitions_def=ACS_YEARS,
    kinds={"parquet"},
    code_version=spatial.VERSION,
    ins={
        "raw": dg.AssetIn(["geography", "raw"]),
        "concordance": dg.AssetIn(["geography", "concordance"]),
        "households": dg.AssetIn(["acs", "households"]),
    },
    group_name="geography",
    owners=["team:geography"],
)
@reusable(recipes.summaries)
def geography_predictors(
    context: dg.AssetExecutionContext, raw: TableRef, concordance: TableRef, households: TableRef
) -> dg.MaterializeResult[Artefact]:
    """Spatial predictors of every PUMA for one ACS year: summaries of the ACS, energy prices, degree days."""
    paths = {file.role: file.path for file in from_table(raw.read())}
    table = spatial.puma_predictors(
        households,
        concordance.read(),
        seds=paths["seds_prices"],
        heating=paths["heating_degree_days"],
        cooling=paths["cooling_degree_days"],
        year=REGISTRY.recipients[context.partition_key].year,
    )
    return publish(context, table, inputs=[raw, concordance, households])
