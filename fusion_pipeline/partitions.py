"""How the graph is cut: survey-years, ACS years, PUMA definitions, spatial datasets, fusion pairs, pairs by chunks.

Belongs here: partition definitions and the mappings between them, generated from `registry.yaml`. One
definition a group of assets, because the UI offers a choice of partitions only where all roots of a selection
share one. Does not belong here: what the partitions contain.
"""

from __future__ import annotations

from collections import defaultdict

import dagster as dg

from fusion_pipeline.registry import Implicates, load_registry
from fusion_pipeline.settings import load_settings

REGISTRY = load_registry()
IMPLICATES = Implicates(
    count=load_settings().implicates or REGISTRY.implicates.count, chunk=REGISTRY.implicates.chunk
)

SURVEY_YEARS = dg.StaticPartitionsDefinition(list(REGISTRY.surveys))
ACS_YEARS = dg.StaticPartitionsDefinition(list(REGISTRY.recipients))
PUMAS = dg.StaticPartitionsDefinition(list(REGISTRY.geography))
DATASETS = dg.StaticPartitionsDefinition(list(REGISTRY.spatial))
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


SURVEYS_TO_PAIR = dg.StaticPartitionMapping(_pairs_by("donors"))
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
PAIR_TO_CHUNKS = dg.MultiToSingleDimensionPartitionMapping("fusion")
