"""Donor survey-years: raw files, standardized households and persons, dictionary."""

import dagster as dg

from assets import recipes
from assets.ingestion import Descriptions, microdata_assets
from assets.publishing import publish
from assets.reuse import reusable
from fusion_pipeline.partitions import REGISTRY, SURVEY_YEARS
from fusion_pipeline.storage.artefacts import Artefact
from fusion_pipeline.storage.tables import TableRef
from fusion_pipeline.surveys import dictionary
from fusion_pipeline.surveys.codebook import load_codebook

survey_raw, survey_households, survey_persons = microdata_assets(
    "survey",
    "survey",
    SURVEY_YEARS,
    REGISTRY.surveys,
    Descriptions(
        raw="The raw files of one donor survey-year as they were found: path, size, checksum, columns absent.",
        households="Households of one donor survey-year: labels for codes, skips resolved, location, what their "
        "persons, vehicles and trips add up to, replicate weights.",
        persons="Persons of the households of one donor survey-year; no rows if it has no person file.",
    ),
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
