"""ACS years: raw files, standardized households and persons."""

from __future__ import annotations

import dagster as dg

from assets.publishing import publish
from fusion_pipeline.partitions import ACS_YEARS, REGISTRY
from fusion_pipeline.raw import as_table, from_table
from fusion_pipeline.storage.tables import TableRef
from fusion_pipeline.surveys import ingest
from fusion_pipeline.surveys.codebook import load_codebook
from resources.raw_files import RawFiles

GROUP = {"group_name": "recipient", "partitions_def": ACS_YEARS, "owners": ["team:surveys"]}


@dg.asset(key=["acs", "raw"], kinds={"file"}, code_version="1", **GROUP)
def acs_raw(context: dg.AssetExecutionContext, raw_files: RawFiles) -> dg.MaterializeResult:
    """The raw household and person files of one ACS year as they were found, and the states they cover."""
    files = raw_files.survey(REGISTRY.recipients[context.partition_key])
    return publish(context, as_table(files), metadata={"origin": files[0].origin})


@dg.asset(
    key=["acs", "households"],
    kinds={"arrow", "parquet"},
    code_version=ingest.VERSION,
    ins={"raw": dg.AssetIn(["acs", "raw"])},
    **GROUP,
)
def acs_households(context: dg.AssetExecutionContext, raw: TableRef) -> dg.MaterializeResult:
    """Occupied households of one ACS year, with PUMA, weight and 80 replicate weights."""
    codebook = load_codebook(REGISTRY.recipients[context.partition_key].codebook)
    table, report = ingest.ingest_with_report(
        ingest.parts(from_table(raw.read()), "households"), codebook, "households"
    )
    return publish(context, table, inputs=[raw], metadata=report.metadata())


@dg.asset(
    key=["acs", "persons"],
    kinds={"arrow", "parquet"},
    code_version=ingest.VERSION,
    ins={"raw": dg.AssetIn(["acs", "raw"]), "households": dg.AssetIn(["acs", "households"])},
    **GROUP,
)
def acs_persons(
    context: dg.AssetExecutionContext, raw: TableRef, households: TableRef
) -> dg.MaterializeResult:
    """Persons of the occupied households of one ACS year; person 1 is the reference person."""
    codebook = load_codebook(REGISTRY.recipients[context.partition_key].codebook)
    everyone, report = ingest.ingest_with_report(
        ingest.parts(from_table(raw.read()), "persons"), codebook, "persons"
    )
    table = ingest.match_persons(everyone, households.read(["hid"]))
    outside = everyone.num_rows - table.num_rows
    return publish(
        context,
        table,
        inputs=[raw, households],
        metadata={**report.metadata(), "persons outside occupied households": outside},
    )
