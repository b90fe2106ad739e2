"""Small areas of a fusion pair: its ACS households held against the tables of a file.

Belongs here: finding the pair's households and their variables. Does not belong here: the shares (`downscale.py`),
estimates (`estimating.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from fusion_pipeline.downscaling.downscale import downscale
from fusion_pipeline.downscaling.estimating import MEMORY, estimate_areas
from fusion_pipeline.downscaling.results import Downscaled
from fusion_pipeline.downscaling.tables import VARIABLE, as_frame, read_tables
from fusion_pipeline.estimating import implicates_of, replicate_design, universes_of
from fusion_pipeline.geography.pumas import puma_column
from fusion_pipeline.inference.expressions import read_expression
from fusion_pipeline.inference.output import Estimates
from fusion_pipeline.inference.relation import quoted
from fusion_pipeline.registry import load_registry
from fusion_pipeline.storage.layout import Layout
from fusion_pipeline.storage.tables import TableRef


def downscale_pair(
    pair: str,
    layout: Layout,
    tables: Path,
    *,
    area: str,
    derive: Mapping[str, str] | None = None,
    out: Path | None = None,
) -> Downscaled:
    """Share the ACS households of a pair out over small areas.

    Parameters
    ----------
    pair : a fusion pair of the registry
    layout : where its artefacts lie
    tables : .csv or .parquet file as `downscale` takes it, with `state` and `puma10` or `puma20`
    area : its column of small areas
    derive : variables of the tables that the households do not have as such, made of their columns, such as
        ``{"persons": "least(np, 7)"}``
    out : folder for the shares

    Raises
    ------
    AnalysisError, GeographyError, StorageError
        As `downscale`; if the pair's households are not there.
    """
    households = _households(pair, layout)
    listed = read_tables(tables)
    puma = ["state", puma_column(households.columns, "recipient")]
    derived = {
        name: read_expression(text, households.columns, f"derived variable {name} =")
        for name, text in (derive or {}).items()
    }
    named = [] if VARIABLE not in listed else listed[VARIABLE].astype("str").unique().tolist()
    columns = ["year", "hid", "weight", *puma, *named, *(c for e in derived.values() for c in e.columns)]
    own = as_frame(households, [c for c in dict.fromkeys(columns) if c in households.columns])
    for name, expression in derived.items():
        own[name] = _values(own, expression.sql)
    return downscale(own, listed, area=area, puma=puma, out=out)


def estimate_pair_areas(
    pair: str,
    layout: Layout,
    found: Downscaled,
    estimates: Sequence[str],
    *,
    level: float = 0.90,
    memory_limit: int = MEMORY,
    threads: int | None = None,
) -> Estimates:
    """Estimate by small area from all implicates of a pair, with the ACS replicate weights; as `estimate_areas`."""
    households = _households(pair, layout)
    registry = load_registry()
    codebook = registry.recipients[registry.pair(pair).recipient].codebook
    files = implicates_of(pair, layout)
    return estimate_areas(
        found,
        files,
        households,
        universes=universes_of([pair], {pair: files}),
        estimates=estimates,
        **replicate_design(codebook, households),
        level=level,
        memory_limit=memory_limit,
        threads=threads,
    )


def _households(pair: str, layout: Layout) -> TableRef:
    registry = load_registry()
    vintage = registry.recipients[registry.pair(pair).recipient].vintage
    return TableRef(layout.table(("acs", "households"), vintage))


def _values(frame: pd.DataFrame, sql: str) -> pd.Series:
    import duckdb
    import pyarrow as pa

    with duckdb.connect() as connection:
        connection.register("households", pa.Table.from_pandas(frame, preserve_index=False))
        found = connection.sql(f"SELECT {sql} AS {quoted('value')} FROM households").to_arrow_table()
    return found["value"].to_pandas()
