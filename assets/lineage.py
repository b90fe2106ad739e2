"""Which columns a column is made from, as the UI's column lineage: by codebook and by harmony.

Belongs here: column lineage as metadata of an asset; what is declared is told, nothing is traced. Does not belong
here: which assets are made from which (their inputs say it), what a column means (`publishing.column_schema`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import dagster as dg

from fusion_pipeline.harmonize.definitions import Harmony, Side
from fusion_pipeline.registry import FusionPair, Registry
from fusion_pipeline.surveys.codebook import Codebook

Metadata = dict[str, Any]
_KEY = "dagster/column_lineage"


def of_microdata(prefix: str, codebook: Codebook, kind: str) -> Metadata:
    """Tell the raw columns behind every variable of households or persons.

    Raw columns are named with their file, as in `households: KOWNRENT`: the table of the raw asset lists files.
    """
    raw = [prefix, "raw"]
    deps = {
        name: [dg.TableColumnDep(raw, f"{role}: {column}") for role, column in codebook.sources(kind, name)]
        for name in codebook.respondent(kind).everything
    }
    return {_KEY: dg.TableColumnLineage({name: found for name, found in deps.items() if found})}


def of_harmonized(
    pair: FusionPair, registry: Registry, harmonies: Mapping[str, Harmony], predictors: Iterable[str]
) -> Metadata:
    """Tell the donors' and the recipient's columns behind every harmonized predictor, and what it measures."""
    named = list(predictors)
    first = harmonies[pair.donors[0]].entries
    deps = {
        name: [
            *(
                dep
                for donor in pair.donors
                for dep in _side(
                    "pool" if donor in registry.pools else "survey", harmonies[donor].entries[name].donor
                )
            ),
            *_side("acs", first[name].recipient),
        ]
        for name in named
    }
    unique = {name: list(dict.fromkeys(found)) for name, found in deps.items()}
    columns = [
        dg.TableColumn(
            name,
            "category" if first[name].is_categorical else "float",
            " / ".join(first[name].names) or None,
        )
        for name in named
    ]
    return {_KEY: dg.TableColumnLineage(unique), "dagster/column_schema": dg.TableSchema(columns)}


def _side(prefix: str, side: Side) -> list[dg.TableColumnDep]:
    asset = [prefix, f"{side.level}s"]
    return [dg.TableColumnDep(asset, column) for column in side.columns]
