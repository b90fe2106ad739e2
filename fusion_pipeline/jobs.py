"""The jobs: one a chain of assets that share their partitions, in the order in which a pair needs them.

Belongs here: which assets run together; a job's partitions are those of its assets. Steps of a chain are short
and follow each other, so they share a process; work spreads over machines by runs, one a partition.
"""

from __future__ import annotations

from typing import Any

import dagster as dg


def _chain(name: str, selection: dg.AssetSelection, description: str) -> Any:
    return dg.define_asset_job(
        name, selection=selection, executor_def=dg.in_process_executor, description=description
    )


def _keys(*names: str) -> dg.AssetSelection:
    return dg.AssetSelection.assets(*[name.split("/") for name in names])


JOBS = [
    _chain(
        "ingest_survey",
        dg.AssetSelection.groups("survey"),
        "Raw files of a donor survey-year to standardized households and their dictionary.",
    ),
    _chain(
        "ingest_recipient",
        dg.AssetSelection.groups("recipient"),
        "Raw files of an ACS year to standardized households and persons.",
    ),
    _chain(
        "build_concordance",
        _keys("geography/raw", "geography/concordance"),
        "Raw geography files to the PUMA concordance.",
    ),
    _chain(
        "summarize_pumas",
        _keys("geography/predictors"),
        "Spatial predictors of every PUMA for an ACS year.",
    ),
    _chain(
        "fit_pair",
        _keys(*(f"fusion/{name}" for name in ("harmonized", "located", "prepared", "plan", "models"))),
        "Harmonize a fusion pair, impute donor PUMAs, plan, and fit its model set.",
    ),
    _chain("fuse_chunk", _keys("fusion/implicates"), "Draw one chunk of a pair's implicates."),
    _chain(
        "publish_pair",
        _keys("fusion/microdata", "quality/report"),
        "Check that all implicates of a pair are there, compare them with the donor, write the report.",
    ),
]
