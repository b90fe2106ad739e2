"""The IO manager: tables to Parquet, inputs as handles that read what a step needs.

A step gets a `TableRef` (one table), `PairTables` (donor and recipient) or, when its input pools several
upstream partitions, a dict of them sorted by partition key: Dagster hands those over in hash-random order,
and results must not depend on it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_origin

import dagster as dg

from fusion_pipeline.errors import StorageError
from fusion_pipeline.storage.artefacts import Artefact, Kept, PairTables, open_pair, write_artefact
from fusion_pipeline.storage.atomic import recover
from fusion_pipeline.storage.layout import Layout
from fusion_pipeline.storage.receipts import write_receipt
from fusion_pipeline.storage.remote import Remote
from fusion_pipeline.storage.tables import TableRef

MAY_BE_NONE = "may be none"
"""Metadata of an input of which a partition need not have any, such as the pools among the donors of a pair."""


class ParquetIOManager(dg.ConfigurableIOManager):
    """Writes `Artefact`s atomically; gives handles back."""

    root: str
    remote: str | None = None
    """Address of the object store that artefacts are sent to and fetched from."""

    def handle_output(self, context: dg.OutputContext, obj: Artefact) -> None:
        """Write the artefact of the step's partition and its receipt; leave alone what is kept."""
        if isinstance(obj, Kept):
            return
        partition = context.partition_key if context.has_partition_key else None
        path = self._path(context.asset_key, partition, pair=not hasattr(obj.tables, "schema"))
        write_artefact(path, obj)
        write_receipt(
            Layout(Path(self.root)),
            context.asset_key.to_user_string(),
            partition,
            obj.digest,
            [path, *obj.beside],
            provenance=obj.provenance,
            sound=obj.sound,
            account=obj.account,
        )
        if self.remote and not obj.volatile:  # what says where things lie here is of no use elsewhere
            Remote(self.remote).publish(
                Layout(Path(self.root)), context.asset_key.to_user_string(), partition
            )
        context.add_output_metadata({"path": dg.MetadataValue.path(path)})

    def load_input(self, context: dg.InputContext) -> Any:
        """Open the upstream artefact, or all of them that the partition mapping names."""
        wanted = context.dagster_type.typing_type
        if not context.has_asset_partitions:
            return self._open(context.asset_key, None, wanted)
        keys = sorted(context.asset_partition_keys)
        if not keys and not (context.definition_metadata or {}).get(MAY_BE_NONE):
            raise StorageError(
                f"{context.asset_key.to_user_string()}",
                "has no partition that maps to the one being made.",
                "Add the fusion pair's donors and recipient to fusion_pipeline/registry.yaml.",
            )
        if get_origin(wanted) is dict:
            element = wanted.__args__[1]
            return {key: self._open(context.asset_key, key, element) for key in keys}
        (key,) = keys
        return self._open(context.asset_key, key, wanted)

    def _open(self, asset: dg.AssetKey, partition: str | None, wanted: Any) -> TableRef | PairTables:
        path = self._path(asset, partition, pair=wanted is PairTables)
        if self.remote:
            Remote(self.remote).fetch(Layout(Path(self.root)), asset.to_user_string(), partition)
        recover(path)
        if not path.exists():
            raise StorageError(
                f"{asset.to_user_string()}[{partition or ''}]",
                f"has not been materialized ({path} does not exist).",
                self._remedy(asset, partition, pair=wanted is PairTables),
            )
        return open_pair(path) if wanted is PairTables else TableRef(path)

    def _remedy(self, asset: dg.AssetKey, partition: str | None, *, pair: bool) -> str:
        other = Layout(Path(self.root)).other
        if not self._path(asset, partition, pair=pair, layout=other).exists():
            return "Materialize it first, in the UI or with `fusion run PAIR`."
        return (
            f"It is there for {other.origin} raw files, in {other.root}, and the UI shows both: set "
            f"FUSION_SOURCE={other.origin}{' (or FUSION_RAW to the mirror folder)' if other.origin == 'public' else ''}"
            " and start again, or materialize it for these settings."
        )

    def _path(
        self, asset: dg.AssetKey, partition: str | None, *, pair: bool, layout: Layout | None = None
    ) -> Path:
        layout = layout or Layout(Path(self.root))
        return layout.tables(asset.path, str(partition)) if pair else layout.table(asset.path, partition)
