"""Spatial datasets: raw files of the registry's entries, and their summaries by PUMA."""

import dagster as dg

from assets import recipes
from assets.publishing import publish
from assets.reuse import reusable
from fusion_pipeline.geography import dataset_summaries
from fusion_pipeline.partitions import (
    DATASETS,
    DATASETS_BY_PUMAS,
    DATASETS_TO_SUMMARIES,
    PUMAS_TO_SUMMARIES,
    REGISTRY,
)
from fusion_pipeline.raw import VOLATILE, as_table, from_table, verify
from fusion_pipeline.storage.artefacts import Artefact
from fusion_pipeline.storage.tables import TableRef
from resources.raw_files import RawFiles


@dg.asset(
    key=["spatial", "raw"],
    partitions_def=DATASETS,
    kinds={"file"},
    code_version="2",
    group_name="spatial",
    owners=["team:geography"],
)
@reusable(looks_outside=True)
def spatial_raw(context: dg.AssetExecutionContext, raw_files: RawFiles) -> dg.MaterializeResult[Artefact]:
    """The raw files of a spatial dataset as they were found; vintages that are not at hand are left out."""
    files = raw_files.places(REGISTRY.spatial[context.partition_key].files)
    found = ", ".join(file.role for file in files) or "none"
    return publish(context, as_table(files), volatile=VOLATILE, metadata={"found": found})


@dg.asset(
    key=["spatial", "summaries"],
    partitions_def=DATASETS_BY_PUMAS,
    kinds={"parquet"},
    code_version=dataset_summaries.VERSION,
    ins={
        "raw": dg.AssetIn(["spatial", "raw"], partition_mapping=DATASETS_TO_SUMMARIES),
        "concordance": dg.AssetIn(["geography", "concordance"], partition_mapping=PUMAS_TO_SUMMARIES),
    },
    group_name="spatial",
    owners=["team:geography"],
)
@reusable(recipes.dataset)
def spatial_summaries(
    context: dg.AssetExecutionContext, raw: TableRef, concordance: TableRef
) -> dg.MaterializeResult[Artefact]:
    """A spatial dataset by PUMA: every vintage, for the PUMAs of one definition, by housing units."""
    name, _ = REGISTRY.summaries[context.partition_key]
    paths = {file.role: verify(file) for file in from_table(raw.read())}
    result = dataset_summaries.summarize_dataset(name, REGISTRY.spatial[name], paths, concordance.read())
    return publish(
        context,
        result.table,
        inputs=[raw, concordance],
        metadata={
            "dataset": REGISTRY.spatial[name].description,
            "missing values and decisions": dg.MetadataValue.json(result.notes),
        },
    )
