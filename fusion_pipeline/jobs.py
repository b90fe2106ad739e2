"""The jobs: one a chain of assets that share their partitions, in the order in which a pair needs them.

Belongs here: which assets run together; a job's partitions are those of its assets. Steps of a chain follow each
other and share the process of their run; work spreads over machines by runs, one a partition.
"""

from typing import Any

import dagster as dg

from fusion_pipeline.errors import StorageError
from fusion_pipeline.storage.receipts import audit
from resources.store import FusionStore


def _chain(name: str, selection: dg.AssetSelection, description: str) -> Any:
    return dg.define_asset_job(name, selection=selection, description=description)


def _keys(*names: str) -> dg.AssetSelection:
    return dg.AssetSelection.assets(*[name.split("/") for name in names])


@dg.op
def hold_against_receipts(context: dg.OpExecutionContext, store: FusionStore) -> None:
    """Compare the bytes of every artefact with those that its receipt recorded."""
    count, amiss = audit(store.layout)
    context.log.info(f"{count} artefacts looked at, {len(amiss)} amiss")
    if amiss:
        raise StorageError(
            str(store.root),
            "; ".join(f"{name}: {problem}" for name, problem in amiss.items()) + ".",
            "Materialize these partitions again; what is sound is reused.",
        )


@dg.job
def validate_store() -> None:
    """Hold every artefact against its receipt: a disk that forgot, a file that somebody changed."""
    hold_against_receipts()


JOBS = [
    _chain(
        "ingest_survey",
        dg.AssetSelection.groups("survey"),
        "Raw files of a donor survey-year to standardized households and their dictionary.",
    ),
    _chain(
        "pool_survey",
        dg.AssetSelection.groups("pool"),
        "Survey-years of interviews to the households, persons and dictionary of one donor.",
    ),
    _chain(
        "ingest_recipient",
        dg.AssetSelection.groups("recipient"),
        "Raw files of an ACS year to standardized households and persons, and their dictionary.",
    ),
    _chain(
        "build_concordance",
        _keys("geography/raw", "geography/concordance"),
        "Raw geography files to the concordance of a PUMA definition.",
    ),
    _chain(
        "find_places",
        _keys("spatial/raw"),
        "Look at the raw files of a spatial dataset.",
    ),
    _chain(
        "summarize_places",
        _keys("spatial/summaries"),
        "Raw files of a spatial dataset to its summaries by PUMA of one definition.",
    ),
    _chain(
        "summarize_pumas",
        _keys("geography/predictors"),
        "The ACS households of a year summarized by PUMA.",
    ),
    _chain(
        "fit_pair",
        _keys(*(f"fusion/{name}" for name in ("harmonized", "located", "prepared", "plan", "models"))),
        "Harmonize a fusion pair, impute donor PUMAs, plan, and fit its model set.",
    ),
    _chain("fuse_chunk", _keys("fusion/implicates"), "Draw one chunk of a pair's implicates."),
    _chain(
        "publish_pair",
        _keys("fusion/microdata", "quality/area_error", "quality/external", "quality/report"),
        "Check that all implicates of a pair are there, compare them with donor and published figures, report.",
    ),
    _chain("compare_pair", _keys("quality/external"), "Hold a pair's estimates against published figures."),
    _chain(
        "validate_pair",
        _keys("quality/internal"),
        "Fuse a pair's donors from each other and hold them against what they answered.",
    ),
    validate_store,
]
