"""The implicates of a fusion pair, chunk by chunk, and the complete, checked set of them.

Belongs here: what is drawn, and checks of it. Does not belong here: the models it is drawn from (`models.py`), what it
says of the population (`external.py`, `quality.py`).
"""

import dagster as dg
import pyarrow as pa

from assets import figures, pairs, recipes
from assets.publishing import column_schema, provenance, publish
from assets.reuse import forced, reusable, tried_before
from fusion_pipeline.fusion import diagnostics, fusing
from fusion_pipeline.partitions import IMPLICATES, PAIR_CHUNKS, PAIR_TO_CHUNKS
from fusion_pipeline.storage.artefacts import PairTables
from fusion_pipeline.storage.tables import TableRef
from fusion_pipeline.validation import figures as drawing
from fusion_pipeline.validation import implicates as validity
from fusion_pipeline.validation.comparable import BEYOND, beyond
from fusion_pipeline.validation.pair_marginals import pair_marginals
from fusion_pipeline.validation.words import columns_of
from resources.compute import Compute
from resources.store import FusionStore


@pairs.pair_asset(
    "fusion",
    "implicates",
    partitions=PAIR_CHUNKS,
    kinds={"parquet"},
    pool="fusing",
    code_version=fusing.VERSION,
    ins={"prepared": dg.AssetIn(["fusion", "prepared"], partition_mapping=PAIR_TO_CHUNKS)},
    deps=[dg.AssetDep(["fusion", "models"], partition_mapping=PAIR_TO_CHUNKS)],
    check_specs=[
        pairs.check("fusion", "implicates", name, description, partitions=PAIR_CHUNKS, blocking=True)
        for name, description in validity.CHECKS.items()
    ],
)
@reusable(recipes.libraries, seeded=True)
def fusion_implicates(
    context: dg.AssetExecutionContext, compute: Compute, store: FusionStore, prepared: PairTables
) -> dg.MaterializeResult:
    """One chunk of implicates, streamed to Parquet: ids and fusion variables of every recipient household."""
    cell = context.partition_key.keys_by_dimension
    pair, members = cell["fusion"], IMPLICATES.chunks[cell["implicates"]]
    models = store.model_set(pair)
    fusing.fuse(
        prepared.recipient,
        models,
        implicates=members,
        seed=compute.seed,
        out=store.layout.implicates(pair),
        threads=compute.threads,
        memory_limit=compute.memory_limit,
        stream_name=pair,
        # Another attempt goes on where the first was stopped.
        resume=tried_before(context) or not forced(context),
    )
    files = [store.layout.implicate(pair, m) for m in members]
    reach, use = diagnostics.watch_draws(
        prepared.recipient, models, implicates=members[:1], seed=compute.seed, stream_name=pair
    )
    outcome = validity.check_implicates(files, prepared.recipient, prepared.donor, models.plan)
    return dg.MaterializeResult(
        data_version=dg.DataVersion(validity.digest(validity.data_card(files))),
        metadata={
            "dagster/row_count": prepared.recipient.num_rows * len(members),
            "dagster/column_schema": column_schema(TableRef(files[0]).schema, columns_of(pair)),
            "implicates": ", ".join(map(str, members)),
            "path": dg.MetadataValue.path(store.layout.implicates(pair)),
            f"reach of the donors, implicate {members[0]}": figures.frame_table(reach),
            f"use of the donors, implicate {members[0]}": figures.frame_table(use),
            "provenance": dg.MetadataValue.json(
                provenance(context, [prepared], {f"fusion/models[{pair}]": models.fingerprint[:32]})
            ),
        },
        check_results=[
            dg.AssetCheckResult(
                check_name=name, passed=not found, metadata={"found": found or "nothing amiss"}
            )
            for name, found in outcome.items()
        ],
    )


@pairs.pair_asset(
    "fusion",
    "microdata",
    kinds={"duckdb", "parquet"},
    code_version=validity.VERSION,
    ins={
        "prepared": dg.AssetIn(["fusion", "prepared"]),
        "donors": pairs.from_donors("households"),
        "pools": pairs.from_pools("households"),
        "households": pairs.from_recipient("households"),
    },
    deps=[dg.AssetDep(["fusion", "implicates"], partition_mapping=PAIR_TO_CHUNKS)],
    check_specs=[
        pairs.check(
            "fusion",
            "microdata",
            "complete",
            "Every implicate has one row for every recipient household.",
            blocking=True,
        ),
        pairs.check(
            "fusion",
            "microdata",
            "marginals",
            "Weighted means, spreads and shares of the fused variables against those of comparable donors.",
        ),
    ],
)
@reusable(recipes.complete, seeded=True)
def fusion_microdata(
    context: dg.AssetExecutionContext,
    compute: Compute,
    store: FusionStore,
    prepared: PairTables,
    donors: dict[str, TableRef],
    pools: dict[str, TableRef],
    households: TableRef,
):  # Dagster takes no return annotation beside check_specs when there is a value
    """The complete, checked set of implicates: a card with every implicate's rows and checksum."""
    pair, donors = context.partition_key, donors | pools
    files = store.implicates(pair, IMPLICATES.chunks)
    removed = store.remove_implicates_beyond(pair, IMPLICATES.chunks, force=forced(context))
    card = validity.data_card(files)
    missing = validity.incomplete(card, prepared.recipient.num_rows)
    marginals = pair_marginals(
        pair,
        files,
        prepared=prepared,
        donors=donors,
        households=households,
        plan=store.plan(pair),
        seed=compute.seed,
        memory_limit=compute.memory_limit,
        threads=compute.threads,
    )
    far = beyond(marginals.table)
    inputs: list[TableRef | PairTables] = [prepared, *donors.values(), households]
    versions = {
        f"fusion/plan[{pair}]": store.plan_version(pair),
        **{
            f"fusion/implicates[{pair}|{chunk}]": validity.digest(card[card["implicate"].isin(members)])
            for chunk, members in IMPLICATES.chunks.items()
        },
    }
    store.write_marginals(
        pair,
        pa.Table.from_pandas(marginals.table, preserve_index=False),
        provenance(context, inputs, versions),
    )
    return publish(
        context,
        pa.Table.from_pandas(card, preserve_index=False),
        inputs=inputs,
        versions=versions,
        beside=(store.layout.marginals(pair),),
        descriptions=validity.CARD,
        metadata={
            "rows of all implicates": int(card["rows"].sum()),
            "removed, left of a run with more implicates": ", ".join(map(str, removed)) or "none",
            "path": dg.MetadataValue.path(store.layout.implicates(pair)),
        },
        checks=[
            dg.AssetCheckResult(
                check_name="complete", passed=not missing, metadata={"found": missing or "all"}
            ),
            dg.AssetCheckResult(
                check_name="marginals",
                passed=not far,
                severity=dg.AssetCheckSeverity.WARN,
                metadata={
                    "beyond": ", ".join(far) or "none",
                    "how many": len(far),
                    "z_max": float(marginals.table["z"].abs().max()),
                    "comparable donors": marginals.donors.words,
                    "marginals": figures.frame_table(marginals.table),
                    "z": figures.image(drawing.differences(marginals.table, beyond=BEYOND, source=pair)),
                },
            ),
        ],
    )
