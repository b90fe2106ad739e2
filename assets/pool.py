"""Pooled donors: the interviews of several survey-years become the households and persons of one donor."""

import dagster as dg

from assets import recipes
from assets.dictionary import dictionary_assets
from assets.ingestion import describe
from assets.publishing import publish
from assets.reuse import reusable
from fusion_pipeline.fusion import imputation
from fusion_pipeline.partitions import POOLS, REGISTRY, SURVEYS_TO_POOL, YEARS_TO_POOL
from fusion_pipeline.storage.artefacts import Artefact
from fusion_pipeline.storage.tables import TableRef
from fusion_pipeline.surveys import pooling
from fusion_pipeline.surveys.codebook import load_codebook
from resources.compute import Compute

_SURVEYS = dg.AssetIn(["survey", "households"], partition_mapping=SURVEYS_TO_POOL)


@dg.asset(
    key=["pool", "households"],
    group_name="pool",
    partitions_def=POOLS,
    owners=["team:surveys"],
    kinds={"arrow", "parquet"},
    code_version=f"{pooling.VERSION}.{imputation.VERSION}",
    ins={"surveys": _SURVEYS},
)
@reusable(recipes.imputed, seeded=True)
def pool_households(
    context: dg.AssetExecutionContext, compute: Compute, surveys: dict[str, TableRef]
) -> dg.MaterializeResult[Artefact]:
    """Households of a pooled donor: a year of interviews added up, missing ones drawn, what is not asked predicted."""
    key = context.partition_key
    entry = REGISTRY.pools[key]
    codebook = load_codebook(entry.codebook)
    table, report, left_out = pooling.pool(
        {year: surveys[year].read() for year in entry.years},
        {year: surveys[year].read() for year in entry.learns_from},
        codebook,
        seed=compute.seed,
        threads=compute.threads,
        stream_name=f"pool/{key}",
    )
    return publish(
        context,
        table,
        inputs=list(surveys.values()),
        metadata={
            "interviews": report.interviews,
            "interviews of households that have too few": report.dropped,
            "households": report.households,
            "households with drawn interviews, by interviews they have": dg.MetadataValue.json(
                {str(count): households for count, households in report.completed.items()}
            ),
            "left out": dg.MetadataValue.json(left_out),
        },
        descriptions=describe(codebook, "households"),
    )


@dg.asset(
    key=["pool", "persons"],
    group_name="pool",
    partitions_def=POOLS,
    owners=["team:surveys"],
    kinds={"arrow", "parquet"},
    code_version=pooling.VERSION,
    ins={
        "members": dg.AssetIn(["survey", "persons"], partition_mapping=YEARS_TO_POOL),
        "surveys": _SURVEYS,
        "households": dg.AssetIn(["pool", "households"]),
    },
)
@reusable(recipes.codebook)
def pool_persons(
    context: dg.AssetExecutionContext,
    members: dict[str, TableRef],
    surveys: dict[str, TableRef],
    households: TableRef,
) -> dg.MaterializeResult[Artefact]:
    """Members of the households of a pooled donor, once each: those of the last interview."""
    entry = REGISTRY.pools[context.partition_key]
    codebook = load_codebook(entry.codebook)
    interviews = {year: surveys[year].read(["hid"]) for year in entry.years}
    table = pooling.pool_persons(
        {year: ref.read() for year, ref in members.items()},
        interviews,
        households.read(["hid", "weight"]),
        codebook,
    )
    read = sum(ref.num_rows for ref in members.values())
    return publish(
        context,
        table,
        inputs=[*members.values(), *(surveys[year] for year in entry.years), households],
        metadata={"records of members": read, "members": table.num_rows},
        descriptions=describe(codebook, "persons"),
    )


pool_dictionary, pool_dictionary_page = dictionary_assets("pool", "pool", POOLS)
