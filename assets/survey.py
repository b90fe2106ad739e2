"""Donor survey-years: raw files, standardized households and persons, dictionary."""

import dagster as dg
import pyarrow as pa

from assets import recipes
from assets.ingestion import Descriptions, microdata_assets
from assets.publishing import provenance, publish
from assets.reuse import reusable
from fusion_pipeline.partitions import REGISTRY, SURVEY_YEARS
from fusion_pipeline.storage.artefacts import Artefact
from fusion_pipeline.storage.tables import TableRef
from fusion_pipeline.surveys import dictionary, dictionary_page
from fusion_pipeline.surveys.codebook import load_codebook
from resources.store import FusionStore

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
    ins={"households": dg.AssetIn(["survey", "households"]), "persons": dg.AssetIn(["survey", "persons"])},
)
@reusable(recipes.codebook)
def survey_dictionary(
    context: dg.AssetExecutionContext, households: TableRef, persons: TableRef
) -> dg.MaterializeResult[Artefact]:
    """Every variable of one donor survey-year: description, universe, levels or range, weighted summary."""
    codebook = load_codebook(REGISTRY.surveys[context.partition_key].codebook)
    tables = [dictionary.dictionary(households.read(), codebook, "households")]
    if persons.num_rows:
        tables.append(dictionary.dictionary(persons.read(), codebook, "persons"))
    return publish(context, pa.concat_tables(tables), inputs=[households, persons])


@dg.asset(
    key=["survey", "dictionary_page"],
    group_name="survey",
    partitions_def=SURVEY_YEARS,
    owners=["team:surveys"],
    kinds={"file"},
    code_version=dictionary_page.VERSION,
    ins={"described": dg.AssetIn(["survey", "dictionary"])},
)
@reusable(recipes.page)
def survey_dictionary_page(
    context: dg.AssetExecutionContext, store: FusionStore, described: TableRef
) -> dg.MaterializeResult:
    """The dictionary of one donor survey-year as an HTML page to search, with its harmonies side by side."""
    key = context.partition_key
    codebook = load_codebook(REGISTRY.surveys[key].codebook)
    path = store.layout.dictionary_page(key)
    digest = dictionary_page.write_page(
        path,
        f"{codebook.survey} {codebook.vintage}",
        codebook.source,
        described.read(),
        recipes.harmonies_of(key),
    )
    origins = provenance(context, [described])
    return dg.MaterializeResult(
        data_version=dg.DataVersion(digest),
        metadata={"page": dg.MetadataValue.path(path), "provenance": dg.MetadataValue.json(origins)},
    )
