"""The assets that describe a donor or an ACS year: its dictionary as a table, and as a page to search.

Belongs here: the one builder that `survey.py`, `pool.py` and `recipient.py` call. Does not belong here: what a
dictionary says (`fusion_pipeline/surveys`).
"""

from typing import Any, NamedTuple

import dagster as dg
import pyarrow as pa

from assets import recipes
from assets.publishing import provenance, publish
from assets.reuse import reusable
from fusion_pipeline.partitions import REGISTRY
from fusion_pipeline.storage.artefacts import Artefact
from fusion_pipeline.storage.tables import TableRef
from fusion_pipeline.surveys import dictionary, dictionary_page
from fusion_pipeline.surveys.codebook import load_codebook
from resources.store import FusionStore


class Dictionary(NamedTuple):
    """The two assets."""

    table: dg.AssetsDefinition
    page: dg.AssetsDefinition


def dictionary_assets(prefix: str, group: str, partitions: dg.PartitionsDefinition) -> Dictionary:
    """Make the assets `<prefix>/dictionary` and `<prefix>/dictionary_page` of what the partitions name."""
    common: dict[str, Any] = {"group_name": group, "partitions_def": partitions, "owners": ["team:surveys"]}

    @dg.asset(
        key=[prefix, "dictionary"],
        kinds={"parquet"},
        code_version=dictionary.VERSION,
        ins={
            "households": dg.AssetIn([prefix, "households"]),
            "persons": dg.AssetIn([prefix, "persons"]),
        },
        description="Every variable of one survey: description, universe, levels or range, weighted summary.",
        **common,
    )
    @reusable(recipes.codebook)
    def table(
        context: dg.AssetExecutionContext, households: TableRef, persons: TableRef
    ) -> dg.MaterializeResult[Artefact]:
        codebook = load_codebook(REGISTRY.codebook(context.partition_key))
        tables = [dictionary.dictionary(households, codebook, "households")]
        if persons.num_rows:
            tables.append(dictionary.dictionary(persons, codebook, "persons"))
        return publish(context, pa.concat_tables(tables), inputs=[households, persons])

    @dg.asset(
        key=[prefix, "dictionary_page"],
        kinds={"file"},
        code_version=dictionary_page.VERSION,
        ins={"described": dg.AssetIn([prefix, "dictionary"])},
        description="The dictionary of one survey as an HTML page to search, with its harmonies side by side.",
        **common,
    )
    @reusable(recipes.page)
    def page(
        context: dg.AssetExecutionContext, store: FusionStore, described: TableRef
    ) -> dg.MaterializeResult:
        key = context.partition_key
        codebook = load_codebook(REGISTRY.codebook(key))
        path = store.layout.dictionary_page(prefix, key)
        page = dictionary_page.page_of(
            f"{codebook.survey} {codebook.vintage}",
            codebook.source,
            described.read(),
            recipes.harmonies_of(key),
            recipes.words_of_both_sides(key),
            files=[] if key in REGISTRY.pools else [f.name for f in REGISTRY.survey_year(key).files.values()],
        )
        digest = dictionary_page.write_page(path, page)
        origins = provenance(context, [described])
        return dg.MaterializeResult(
            data_version=dg.DataVersion(digest),
            metadata={"page": dg.MetadataValue.path(path), "provenance": dg.MetadataValue.json(origins)},
        )

    return Dictionary(table, page)
