"""ACS years: raw files, standardized households and persons, dictionary."""

from assets.dictionary import dictionary_assets
from assets.ingestion import Descriptions, microdata_assets
from fusion_pipeline.partitions import ACS_YEARS, REGISTRY

acs_raw, acs_households, acs_persons = microdata_assets(
    "acs",
    "recipient",
    ACS_YEARS,
    REGISTRY.recipients,
    Descriptions(
        raw="The raw household and person files of one ACS year as they were found, and the states they cover.",
        households="Occupied households of one ACS year, with PUMA, weight and 80 replicate weights.",
        persons="Persons of the occupied households of one ACS year; person 1 is the reference person.",
    ),
)
acs_dictionary, acs_dictionary_page = dictionary_assets("acs", "recipient", ACS_YEARS)
