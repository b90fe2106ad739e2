"""Donor survey-years: raw files, standardized households and persons, dictionary."""

from assets.dictionary import dictionary_assets
from assets.ingestion import Descriptions, microdata_assets
from fusion_pipeline.partitions import REGISTRY, SURVEY_YEARS

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
survey_dictionary, survey_dictionary_page = dictionary_assets("survey", "survey", SURVEY_YEARS)
