"""Column lineage names columns that are there: those of the codebooks, and those of the harmonies."""

import pytest

from assets import lineage
from fusion_pipeline import harmonize
from fusion_pipeline.registry import load_registry
from fusion_pipeline.surveys.codebook import load_codebook

KEY = "dagster/column_lineage"


def behind(metadata: dict, column: str) -> set[tuple[str, str]]:
    deps = metadata[KEY].deps_by_column[column]
    return {(dep.asset_key.to_user_string(), dep.column_name) for dep in deps}


def of_pair(name: str) -> dict:
    registry = load_registry()
    pair = registry.pair(name)
    harmonies = harmonize.pair_harmonies(pair, registry)
    return lineage.of_harmonized(pair, registry, harmonies, harmonies[pair.donors[0]].entries)


def test_tenure_comes_from_the_question_of_both_surveys() -> None:
    assert behind(of_pair("RECS_2015__ACS_2015"), "kownrent__ten") == {
        ("survey/households", "kownrent"),
        ("acs/households", "ten"),
    }


def test_education_comes_from_persons_where_persons_are_asked() -> None:
    assert ("acs/persons", "schl") in behind(of_pair("RECS_2015__ACS_2015"), "education__schl")


def test_columns_of_a_pooled_donor_are_those_of_the_pool() -> None:
    metadata = of_pair("CEI_2015-2019__ACS_2019")
    donors = {asset for name in metadata[KEY].deps_by_column for asset, _ in behind(metadata, name)}
    assert donors == {"pool/households", "pool/persons", "acs/households", "acs/persons"}


@pytest.mark.parametrize(
    ("book", "kind"),
    [
        ("recs_2015", "households"),
        *((book, kind) for book in ("nhts_2017", "acs_2015") for kind in ("households", "persons")),
    ],
)
def test_raw_columns_behind_microdata_are_those_that_are_read(book: str, kind: str) -> None:
    codebook = load_codebook(book)
    found = lineage.of_microdata("survey", codebook, kind)
    named = {dep for column in found[KEY].deps_by_column for dep in behind(found, column)}
    # Codebooks spell raw columns in any case.
    read = {f"{role}: {c}".upper() for role in codebook.kinds for c in codebook.raw_columns(role)}
    assert len(named) > 20
    assert {asset for asset, _ in named} == {"survey/raw"}
    assert {column.upper() for _, column in named} <= read
