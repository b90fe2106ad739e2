"""What the assets of a fusion pair declare alike: which partitions their inputs come from, and checks on their own.

Belongs here: declarations that several modules share. Does not belong here: assets.
"""

from collections.abc import Callable, Mapping
from typing import Any

import dagster as dg

from fusion_pipeline.partitions import (
    ACS_TO_PAIR,
    PAIRS,
    POOLS_TO_PAIR,
    PUMAS_TO_PAIR,
    REGISTRY,
    SUMMARIES_TO_PAIR,
    SURVEYS_TO_PAIR,
)
from fusion_pipeline.storage.tables import TableRef
from resources.parquet_io import MAY_BE_NONE

SUMMARIES = dg.AssetIn(["geography", "predictors"], partition_mapping=ACS_TO_PAIR)
"""What the recipient's ACS year says of places."""
DATASETS = dg.AssetIn(["spatial", "summaries"], partition_mapping=SUMMARIES_TO_PAIR)
"""What all spatial datasets say of the PUMAs of the recipient's definition."""


def pair_asset(
    group: str, name: str, *, partitions: dg.PartitionsDefinition = PAIRS, **rest: Any
) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    """Decorate the function of a fusion pair's asset: `dg.asset` with what all of them have in common."""
    return dg.asset(
        key=[group, name], group_name=group, owners=["team:fusion"], partitions_def=partitions, **rest
    )


def from_donors(asset: str) -> dg.AssetIn:
    """Read an asset of the survey-years among the donors; a pair may have pools only."""
    return dg.AssetIn(["survey", asset], partition_mapping=SURVEYS_TO_PAIR, metadata={MAY_BE_NONE: True})


def from_pools(asset: str) -> dg.AssetIn:
    """Read an asset of the pools among the donors; most pairs have none."""
    return dg.AssetIn(["pool", asset], partition_mapping=POOLS_TO_PAIR, metadata={MAY_BE_NONE: True})


def from_recipient(asset: str) -> dg.AssetIn:
    """Read an asset of the recipient's ACS year."""
    return dg.AssetIn(["acs", asset], partition_mapping=ACS_TO_PAIR)


def from_pumas(asset: str) -> dg.AssetIn:
    """Read an asset of the PUMA definition that the recipient's ACS year uses."""
    return dg.AssetIn(["geography", asset], partition_mapping=PUMAS_TO_PAIR)


def by_dataset(summaries: Mapping[str, TableRef]) -> dict[str, TableRef]:
    """Name what `DATASETS` reads by dataset: of a pair's PUMA definition there is one of each."""
    return {REGISTRY.summaries[key][0]: table for key, table in summaries.items()}


def check(
    group: str,
    asset: str,
    name: str,
    description: str,
    *,
    partitions: dg.PartitionsDefinition = PAIRS,
    blocking: bool = False,
) -> dg.AssetCheckSpec:
    """Declare a check that an asset makes while it works."""
    return dg.AssetCheckSpec(
        name, asset=[group, asset], description=description, partitions_def=partitions, blocking=blocking
    )
