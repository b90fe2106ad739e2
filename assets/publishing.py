"""How an asset hands over its tables: content digest as data version, provenance, and what the UI shows.

Belongs here: the one helper that every table asset returns through. Does not belong here: writing
(`resources/parquet_io.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa

from fusion_pipeline.storage.artefacts import Artefact, PairTables
from fusion_pipeline.storage.tables import IMPUTED, LEFT_OUT, OUTSIDE, TableRef

Input = TableRef | PairTables


def publish(
    context: dg.AssetExecutionContext,
    tables: pa.Table | Mapping[str, pa.Table],
    *,
    inputs: Iterable[Input] = (),
    versions: Mapping[str, str] | None = None,
    metadata: Mapping[str, Any] | None = None,
    checks: Sequence[dg.AssetCheckResult] = (),
    volatile: tuple[str, ...] = (),
    beside: tuple[Path, ...] = (),
    descriptions: Mapping[str, str] | None = None,
    left_out: Mapping[str, Mapping[str, str]] | None = None,
    imputed: Mapping[str, int] | None = None,
    outside: Mapping[str, tuple[int, float]] | None = None,
) -> dg.MaterializeResult[Artefact]:
    """Return an asset's tables with their data version, provenance, row counts and column schemas.

    `volatile` columns are no part of the version; files `beside` it are made again with it when they are lost;
    `descriptions` explain columns in the UI; `left_out` (kind -> name -> why) travels with the tables to the report,
    and how many answers were `imputed` in each column, and how many records (and their weight) are `outside` its
    universe, to the dictionary.
    """
    origins = provenance(context, inputs, versions)
    if left_out is not None:
        origins[LEFT_OUT] = {kind: dict(reasons) for kind, reasons in left_out.items()}
    if imputed is not None:
        origins[IMPUTED] = dict(imputed)
    if outside is not None:
        origins[OUTSIDE] = {name: list(counts) for name, counts in outside.items()}
    artefact = Artefact(tables, origins, volatile, beside)
    shown = {"": tables} if isinstance(tables, pa.Table) else dict(tables)
    described: dict[str, Any] = {}
    for name, table in shown.items():
        prefix = f"{name} " if name else ""
        described[f"{prefix}rows" if name else "dagster/row_count"] = table.num_rows
        described[f"{prefix}columns" if name else "dagster/column_schema"] = column_schema(
            table.schema, descriptions or {}
        )
    return dg.MaterializeResult(
        value=artefact,
        data_version=dg.DataVersion(artefact.digest),
        metadata={**described, **(metadata or {}), "provenance": dg.MetadataValue.json(origins)},
        check_results=list(checks),
    )


def provenance(
    context: dg.AssetExecutionContext,
    inputs: Iterable[Input] = (),
    versions: Mapping[str, str | None] | None = None,
) -> dict[str, Any]:
    """Say which inputs, in which versions, and which code made an artefact. No times: same input, same bytes.

    Tables know their versions; `versions` names those of inputs that are no tables, such as a model set; None is that
    of one which need not be there and is not.
    """
    flat = [t for i in inputs for t in ((i.donor, i.recipient) if isinstance(i, PairTables) else (i,))]
    recorded = [table.provenance for table in flat]
    return {
        "asset": context.asset_key.to_user_string(),
        "partition": context.partition_key if context.has_partition_key else None,
        "code_version": context.assets_def.code_versions_by_key.get(context.asset_key),
        "inputs": {f"{p['asset']}[{p['partition'] or ''}]": p["digest"] for p in recorded}
        | dict(versions or {}),
    }


def column_schema(schema: pa.Schema, descriptions: Mapping[str, str]) -> dg.TableSchema:
    """Show columns and types in the UI; a run of replicate weights is one line."""
    columns, replicates = [], 0
    for field in schema:
        if field.name.startswith("rep_"):
            replicates += 1
            continue
        kind = "category" if pa.types.is_dictionary(field.type) else str(field.type)
        columns.append(dg.TableColumn(field.name, kind, descriptions.get(field.name)))
    if replicates:
        columns.append(dg.TableColumn(f"rep_1 .. rep_{replicates}", "float", "replicate weights"))
    return dg.TableSchema(columns)
