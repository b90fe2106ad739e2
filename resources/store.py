"""The store: where artefacts lie that are not one table (plans, model sets, implicates, area errors, reports), and
marginals, which are made beside another table.

Tables go through the IO manager (`parquet_io.py`), which uses the same layout.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa

from fusion_pipeline.fusion.modelset import ModelSet, load_model_set
from fusion_pipeline.fusion.specification import FusionPlan
from fusion_pipeline.storage.artefacts import PairTables, open_pair
from fusion_pipeline.storage.atomic import atomic_file
from fusion_pipeline.storage.layout import Layout
from fusion_pipeline.storage.tables import TableRef, write_table


class FusionStore(dg.ConfigurableResource):
    """Paths and handles below one data folder."""

    root: str

    @property
    def layout(self) -> Layout:
        """Path rules."""
        return Layout(Path(self.root))

    def table(self, asset: dg.AssetKey, partition: str | None) -> TableRef:
        """Handle of an asset's only table."""
        return TableRef(self.layout.table(asset.path, partition))

    def pair(self, asset: dg.AssetKey, partition: str) -> PairTables:
        """Handles of an asset's donor and recipient tables."""
        return open_pair(self.layout.tables(asset.path, partition))

    def write_plan(self, pair: str, plan: FusionPlan) -> None:
        """Publish the fusion plan of a pair."""
        with atomic_file(self.layout.plan(pair)) as temporary:
            temporary.write_text(plan.to_json())

    def plan(self, pair: str) -> FusionPlan:
        """Read the fusion plan of a pair."""
        return FusionPlan.from_json(self.layout.plan(pair).read_text())

    def plan_version(self, pair: str) -> str:
        """Data version of a pair's fusion plan."""
        return hashlib.sha256(self.layout.plan(pair).read_bytes()).hexdigest()[:32]

    def write_marginals(self, pair: str, marginals: pa.Table, provenance: Mapping[str, Any]) -> None:
        """Publish the marginals of a pair."""
        write_table(self.layout.marginals(pair), marginals, provenance)

    def marginals(self, pair: str) -> TableRef:
        """Open the marginals of a pair."""
        return TableRef(self.layout.marginals(pair))

    def area_error_version(self, pair: str) -> str:
        """Data version of a pair's area errors."""
        return hashlib.sha256(self.layout.area_error(pair).read_bytes()).hexdigest()[:32]

    def model_set(self, pair: str) -> ModelSet:
        """Open the fitted model set of a pair."""
        return load_model_set(self.layout.model_set(pair))
