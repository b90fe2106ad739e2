"""The store: where artefacts lie that are not one table (plans, model sets, implicates, area errors, validations,
reports), and marginals, which are made beside another table.

Tables go through the IO manager (`parquet_io.py`), which uses the same layout.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa

from fusion_pipeline.errors import StorageError
from fusion_pipeline.fusion.modelset import ModelSet, load_model_set
from fusion_pipeline.fusion.specification import FusionPlan
from fusion_pipeline.inference.area_error import AreaError
from fusion_pipeline.storage.artefacts import PairTables, open_pair
from fusion_pipeline.storage.atomic import atomic_file
from fusion_pipeline.storage.layout import Layout
from fusion_pipeline.storage.receipts import (
    Receipt,
    Recipe,
    damage,
    read_receipt,
    sha256,
    why_made,
    write_receipt,
)
from fusion_pipeline.storage.remote import Remote
from fusion_pipeline.storage.tables import TableRef, write_table

_log = logging.getLogger("fusion_pipeline.store")


class FusionStore(dg.ConfigurableResource):
    """Paths and handles below one data folder; what an object store shares is brought there when it is asked for."""

    root: str
    remote: str | None = None
    """Address of the object store."""

    @property
    def layout(self) -> Layout:
        """Path rules."""
        return Layout(Path(self.root))

    @property
    def shared(self) -> Remote | None:
        """The object store, if there is one."""
        return Remote(self.remote) if self.remote else None

    def receipt(self, recipe: Recipe) -> tuple[Receipt | None, str | None]:
        """Read the receipt of an artefact, and say why it has to be made (None: it need not be)."""
        receipt = read_receipt(self.layout, recipe.asset, recipe.partition, self.shared)
        return receipt, why_made(self.layout, recipe, receipt, self.shared)

    def whole(self, asset: dg.AssetKey, partition: str | None) -> Receipt | None:
        """Read the receipt of an artefact that lies here as it was written; None without either."""
        self.fetch(asset.to_user_string(), partition)
        receipt = read_receipt(self.layout, asset.to_user_string(), partition)
        return receipt if receipt and damage(self.layout, receipt) is None else None

    def record(self, recipe: Recipe, version: str, paths: Sequence[Path], **account: Any) -> None:
        """Write the receipt of an artefact that lies at `paths`, and publish both."""
        write_receipt(self.layout, recipe.asset, recipe.partition, version, paths, **account)
        self.publish(recipe.asset, recipe.partition)

    def publish(self, asset: str, partition: str | None) -> None:
        """Send an artefact that has a receipt to the object store, if there is one and it lacks it."""
        if self.shared:
            self.shared.publish(self.layout, asset, partition)

    def fetch(self, asset: str, partition: str | None) -> None:
        """Bring an artefact from the object store, if there is one and it has it."""
        if self.shared:
            self.shared.fetch(self.layout, asset, partition)

    def table(self, asset: dg.AssetKey, partition: str | None) -> TableRef:
        """Handle of an asset's only table."""
        self.fetch(asset.to_user_string(), partition)
        return TableRef(self.layout.table(asset.path, partition))

    def pair(self, asset: dg.AssetKey, partition: str) -> PairTables:
        """Handles of an asset's donor and recipient tables."""
        self.fetch(asset.to_user_string(), partition)
        return open_pair(self.layout.tables(asset.path, partition))

    def write_plan(self, pair: str, plan: FusionPlan) -> str:
        """Publish the fusion plan of a pair and give its data version."""
        text = plan.to_json()
        with atomic_file(self.layout.plan(pair)) as temporary:
            temporary.write_text(text)
        return _version(text.encode())

    def plan(self, pair: str) -> FusionPlan:
        """Read the fusion plan of a pair."""
        self.fetch("fusion/plan", pair)
        return FusionPlan.from_json(self.layout.plan(pair).read_text())

    def plan_version(self, pair: str) -> str:
        """Data version of a pair's fusion plan."""
        self.fetch("fusion/plan", pair)
        return _version(self.layout.plan(pair).read_bytes())

    def write_marginals(self, pair: str, marginals: pa.Table, provenance: Mapping[str, Any]) -> None:
        """Publish the marginals of a pair."""
        write_table(self.layout.marginals(pair), marginals, provenance)

    def marginals(self, pair: str) -> TableRef:
        """Open the marginals of a pair."""
        self.fetch("fusion/microdata", pair)
        return TableRef(self.layout.marginals(pair))

    def write_area_error(self, pair: str, error: AreaError) -> str:
        """Publish the area errors of a pair and give their data version."""
        path = self.layout.area_error(pair)
        error.write(path)
        return _version(path.read_bytes())

    def area_error_version(self, pair: str) -> str:
        """Data version of a pair's area errors."""
        self.fetch("quality/area_error", pair)
        return _version(self.layout.area_error(pair).read_bytes())

    def internal_version(self, pair: str) -> str | None:
        """Data version of a pair's internal validation; None if it was not validated."""
        self.fetch("quality/internal", pair)
        folder = self.layout.internal(pair)
        if not folder.is_dir():
            return None
        return _version(b"".join(sha256(path).encode() for path in sorted(folder.iterdir())))

    def model_set(self, pair: str) -> ModelSet:
        """Open the fitted model set of a pair."""
        self.fetch("fusion/models", pair)
        return load_model_set(self.layout.model_set(pair))

    def implicates(self, pair: str, chunks: Mapping[str, Sequence[int]]) -> list[Path]:
        """List the files of a pair's implicates, in order of their numbers."""
        for chunk in chunks:
            self.fetch("fusion/implicates", f"{pair}|{chunk}")
        return [self.layout.implicate(pair, m) for members in chunks.values() for m in members]

    def remove_implicates_beyond(
        self, pair: str, chunks: Mapping[str, Sequence[int]], *, force: bool
    ) -> list[int]:
        """Remove a pair's implicates that are in no chunk, left of a run with more, and the receipts of such chunks.

        Whoever reads the folder as one dataset would pool them. Those that are removed are given by number.

        Raises
        ------
        StorageError
            If there are some and `force` is not given: more often than not it is the setting that is too small.
        """
        wanted = {m for members in chunks.values() for m in members}
        there = self.layout.implicates(pair)
        numbers = [folder.name.removeprefix("implicate=") for folder in there.glob("implicate=*")]
        beyond = sorted(int(number) for number in numbers if number.isdecimal() and int(number) not in wanted)
        if beyond and not force:
            raise StorageError(
                str(there),
                f"holds implicates {_ranges(beyond)} beyond the {len(wanted)} asked for; they would be removed.",
                f"Set FUSION_IMPLICATES={beyond[-1]} to keep them. To remove them, make {pair} of fusion/microdata "
                "again with the run tag fusion/force: true (or all of the pair by `fusion run --force`).",
            )
        for receipt in self.layout.receipt(("fusion", "implicates"), f"{pair}|").parent.glob("*.json"):
            if receipt.stem not in chunks:
                receipt.unlink()
        for number in beyond:
            shutil.rmtree(self.layout.implicate(pair, number).parent)
        if beyond:
            _log.warning(
                "%s: removed implicates %s, beyond the %d asked for", pair, _ranges(beyond), len(wanted)
            )
        return beyond


def _ranges(numbers: Sequence[int]) -> str:
    """Write sorted numbers as ranges: 11-40, 43."""
    firsts = [n for n in numbers if n - 1 not in numbers]
    lasts = [n for n in numbers if n + 1 not in numbers]
    spans = zip(firsts, lasts, strict=True)
    return ", ".join(f"{first}" if first == last else f"{first}-{last}" for first, last in spans)


def _version(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]
