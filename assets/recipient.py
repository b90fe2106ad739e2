"""ACS years: raw files, standardized households and persons."""

import dagster as dg

from assets import recipes
from assets.ingestion import descriptions, ingest_recorded
from assets.publishing import publish
from assets.reuse import reusable
from fusion_pipeline.partitions import ACS_YEARS, REGISTRY
from fusion_pipeline.raw import as_table
from fusion_pipeline.storage.artefacts import Artefact
from fusion_pipeline.storage.tables import TableRef
from fusion_pipeline.surveys import imputing, ingest
from resources.compute import Compute
from resources.raw_files import RawFiles


@dg.asset(
    key=["acs", "raw"],
    group_name="recipient",
    partitions_def=ACS_YEARS,
    owners=["team:surveys"],
    kinds={"file"},
    code_version="1",
)
@reusable(looks_outside=True)
def acs_raw(context: dg.AssetExecutionContext, raw_files: RawFiles) -> dg.MaterializeResult[Artefact]:
    """The raw household and person files of one ACS year as they were found, and the states they cover."""
    files = raw_files.survey(REGISTRY.recipients[context.partition_key])
    return publish(context, as_table(files), volatile=("path",), metadata={"origin": files[0].origin})


@dg.asset(
    key=["acs", "households"],
    group_name="recipient",
    partitions_def=ACS_YEARS,
    owners=["team:surveys"],
    kinds={"arrow", "parquet"},
    code_version=f"{ingest.VERSION}.{imputing.VERSION}",
    ins={"raw": dg.AssetIn(["acs", "raw"])},
)
@reusable(recipes.codebook, seeded=True)
def acs_households(
    context: dg.AssetExecutionContext, compute: Compute, raw: TableRef
) -> dg.MaterializeResult[Artefact]:
    """Occupied households of one ACS year, with PUMA, weight and 80 replicate weights."""
    vintage = REGISTRY.recipients[context.partition_key]
    table, account = ingest_recorded(raw, vintage, "households", compute)
    return publish(
        context, table, inputs=[raw], metadata=account, descriptions=descriptions(vintage, "households")
    )


@dg.asset(
    key=["acs", "persons"],
    group_name="recipient",
    partitions_def=ACS_YEARS,
    owners=["team:surveys"],
    kinds={"arrow", "parquet"},
    code_version=f"{ingest.VERSION}.{imputing.VERSION}",
    ins={"raw": dg.AssetIn(["acs", "raw"]), "households": dg.AssetIn(["acs", "households"])},
)
@reusable(recipes.codebook, seeded=True)
def acs_persons(
    context: dg.AssetExecutionContext, compute: Compute, raw: TableRef, households: TableRef
) -> dg.MaterializeResult[Artefact]:
    """Persons of the occupied households of one ACS year; person 1 is the reference person."""
    vintage = REGISTRY.recipients[context.partition_key]
    everyone, account = ingest_recorded(raw, vintage, "persons", compute)
    table = ingest.match_persons(everyone, households.read(["hid"]))
    outside = {"persons outside occupied households": everyone.num_rows - table.num_rows}
    return publish(
        context,
        table,
        inputs=[raw, households],
        metadata={**account, **outside},
        descriptions=descriptions(vintage, "persons"),
    )
