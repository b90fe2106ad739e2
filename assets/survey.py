"""Donor survey-years: raw file, standardized households, dictionary."""

import dagster as dg

from assets import recipes
from assets.ingestion import descriptions, ingest_recorded
from assets.publishing import publish
from assets.reuse import reusable
from fusion_pipeline.partitions import REGISTRY, SURVEY_YEARS
from fusion_pipeline.raw import as_table
from fusion_pipeline.storage.artefacts import Artefact
from fusion_pipeline.storage.tables import TableRef
from fusion_pipeline.surveys import dictionary, imputing, ingest
from fusion_pipeline.surveys.codebook import load_codebook
from resources.compute import Compute
from resources.raw_files import RawFiles


@dg.asset(
    key=["survey", "raw"],
    group_name="survey",
    partitions_def=SURVEY_YEARS,
    owners=["team:surveys"],
    kinds={"file"},
    code_version="1",
)
@reusable(looks_outside=True)
def survey_raw(context: dg.AssetExecutionContext, raw_files: RawFiles) -> dg.MaterializeResult[Artefact]:
    """The raw files of one donor survey-year as they were found: path, size, checksum, columns absent."""
    files = raw_files.survey(REGISTRY.surveys[context.partition_key])
    return publish(context, as_table(files), volatile=("path",), metadata={"origin": files[0].origin})


@dg.asset(
    key=["survey", "households"],
    group_name="survey",
    partitions_def=SURVEY_YEARS,
    owners=["team:surveys"],
    kinds={"arrow", "parquet"},
    code_version=f"{ingest.VERSION}.{imputing.VERSION}",
    ins={"raw": dg.AssetIn(["survey", "raw"])},
)
@reusable(recipes.codebook, seeded=True)
def survey_households(
    context: dg.AssetExecutionContext, compute: Compute, raw: TableRef
) -> dg.MaterializeResult[Artefact]:
    """Households of one donor survey-year: labels for codes, skips resolved, location and replicate weights."""
    vintage = REGISTRY.surveys[context.partition_key]
    table, account = ingest_recorded(raw, vintage, "households", compute)
    return publish(
        context, table, inputs=[raw], metadata=account, descriptions=descriptions(vintage, "households")
    )


@dg.asset(
    key=["survey", "dictionary"],
    group_name="survey",
    partitions_def=SURVEY_YEARS,
    owners=["team:surveys"],
    kinds={"parquet"},
    code_version=dictionary.VERSION,
    ins={"households": dg.AssetIn(["survey", "households"])},
)
@reusable(recipes.codebook)
def survey_dictionary(
    context: dg.AssetExecutionContext, households: TableRef
) -> dg.MaterializeResult[Artefact]:
    """Every variable of one donor survey-year: description, universe, levels or range, weighted summary."""
    codebook = load_codebook(REGISTRY.surveys[context.partition_key].codebook)
    table = dictionary.dictionary(households.read(), codebook, "households")
    return publish(context, table, inputs=[households])
