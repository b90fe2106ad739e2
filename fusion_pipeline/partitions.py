"""How the graph is cut: survey-years, pools, ACS years, PUMA definitions, spatial datasets, these by definition, pairs,
pairs by chunks.

Belongs here: partition definitions and the mappings between them, generated from `registry.yaml`. One
definition a group of assets, because the UI offers a choice of partitions only where all roots of a selection
share one. Does not belong here: what the partitions contain.
"""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Collection

import dagster as dg

from fusion_pipeline.registry import Implicates, load_registry
from fusion_pipeline.settings import load_settings

# Here, because every module of the graph imports this one first. Asset checks on partitions and multi-dimensional
# mappings are used knowingly; the range of dagster versions in pyproject.toml is as narrow as their status demands.
warnings.filterwarnings("ignore", category=dg.BetaWarning)
warnings.filterwarnings("ignore", category=dg.PreviewWarning)

REGISTRY = load_registry()
IMPLICATES = Implicates(
    count=load_settings().implicates or REGISTRY.implicates.count, chunk=REGISTRY.implicates.chunk
)

SURVEY_YEARS = dg.StaticPartitionsDefinition(list(REGISTRY.surveys))
POOLS = dg.StaticPartitionsDefinition(list(REGISTRY.pools))
ACS_YEARS = dg.StaticPartitionsDefinition(list(REGISTRY.recipients))
PUMAS = dg.StaticPartitionsDefinition(list(REGISTRY.geography))
DATASETS = dg.StaticPartitionsDefinition(list(REGISTRY.spatial))
# One dimension, because a pair takes all datasets in one definition, which no mapping from two dimensions says.
DATASETS_BY_PUMAS = dg.StaticPartitionsDefinition(list(REGISTRY.summaries))
PAIRS = dg.StaticPartitionsDefinition(list(REGISTRY.pairs))
# Dagster joins the keys in alphabetical order of the dimensions: "RECS_2015__ACS_2015|01-05".
PAIR_CHUNKS = dg.MultiPartitionsDefinition(
    {"fusion": PAIRS, "implicates": dg.StaticPartitionsDefinition(list(IMPLICATES.chunks))}
)


def _pairs_by(upstream: str) -> dict[str, set[str]]:
    pairs: dict[str, set[str]] = defaultdict(set)
    for name, pair in REGISTRY.pairs.items():
        for key in pair.donors if upstream == "donors" else (pair.recipient,):
            pairs[key].add(name)
    return dict(pairs)


def _pools_by(*fields: str) -> dict[str, set[str]]:
    pools: dict[str, set[str]] = defaultdict(set)
    for name, pool in REGISTRY.pools.items():
        for key in (key for field in fields for key in getattr(pool, field)):
            pools[key].add(name)
    return dict(pools)


def _among(keys: Collection[str], pairs: dict[str, set[str]]) -> dict[str, set[str]]:
    return {key: names for key, names in pairs.items() if key in keys}


# A pair's donors are survey-years or pools; each mapping knows its own, and may have none for a pair.
SURVEYS_TO_PAIR = dg.StaticPartitionMapping(_among(REGISTRY.surveys, _pairs_by("donors")))
POOLS_TO_PAIR = dg.StaticPartitionMapping(_among(REGISTRY.pools, _pairs_by("donors")))
YEARS_TO_POOL = dg.StaticPartitionMapping(_pools_by("years"))
SURVEYS_TO_POOL = dg.StaticPartitionMapping(_pools_by("years", "learns_from"))
ACS_TO_PAIR = dg.StaticPartitionMapping(_pairs_by("recipient"))
PUMAS_TO_ACS = dg.StaticPartitionMapping(
    {
        name: {key for key in REGISTRY.recipients if REGISTRY.pumas_of(key) == name}
        for name in REGISTRY.geography
    }
)
PUMAS_TO_PAIR = dg.StaticPartitionMapping(
    {
        name: {pair for pair, entry in REGISTRY.pairs.items() if REGISTRY.pumas_of(entry.recipient) == name}
        for name in REGISTRY.geography
    }
)
DATASETS_TO_SUMMARIES = dg.StaticPartitionMapping(
    {name: {key for key, (of, _) in REGISTRY.summaries.items() if of == name} for name in REGISTRY.spatial}
)
PUMAS_TO_SUMMARIES = dg.StaticPartitionMapping(
    {name: {key for key, (_, of) in REGISTRY.summaries.items() if of == name} for name in REGISTRY.geography}
)
SUMMARIES_TO_PAIR = dg.StaticPartitionMapping(
    {
        key: {pair for pair, entry in REGISTRY.pairs.items() if REGISTRY.pumas_of(entry.recipient) == pumas}
        for key, (_, pumas) in REGISTRY.summaries.items()
    }
)
PAIR_TO_CHUNKS = dg.MultiToSingleDimensionPartitionMapping("fusion")
