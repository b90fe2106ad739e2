"""A fusion pair from harmonized tables to checked implicates."""

import dagster as dg
import pyarrow as pa

from assets import figures, lineage, recipes
from assets.publishing import column_schema, provenance, publish
from assets.reuse import forced, reusable, tried_before
from fusion_pipeline import harmonize, preparation
from fusion_pipeline.fusion import diagnostics, fusing, screening, training
from fusion_pipeline.fusion.constraints import constrain
from fusion_pipeline.fusion.importance import importance
from fusion_pipeline.fusion.support import common_support, poor_support
from fusion_pipeline.geography import predictors as spatial
from fusion_pipeline.geography import puma_imputation
from fusion_pipeline.harmonize.similarity import SIMILARITY_THRESHOLD
from fusion_pipeline.partitions import (
    ACS_TO_PAIR,
    IMPLICATES,
    PAIR_CHUNKS,
    PAIR_TO_CHUNKS,
    PAIRS,
    POOLS_TO_PAIR,
    PUMAS_TO_PAIR,
    REGISTRY,
    SURVEYS_TO_PAIR,
)
from fusion_pipeline.raw import from_table
from fusion_pipeline.storage.artefacts import Artefact, PairTables
from fusion_pipeline.storage.tables import TableRef
from fusion_pipeline.validation import figures as drawing
from fusion_pipeline.validation import implicates as validity
from fusion_pipeline.validation.comparable import BEYOND, beyond
from fusion_pipeline.validation.pair_marginals import pair_marginals
from resources.compute import Compute
from resources.parquet_io import MAY_BE_NONE
from resources.store import FusionStore


def _donors(asset: str) -> dg.AssetIn:
    """Survey-years among the donors; a pair may have pools only."""
    return dg.AssetIn(["survey", asset], partition_mapping=SURVEYS_TO_PAIR, metadata={MAY_BE_NONE: True})


def _pools(asset: str) -> dg.AssetIn:
    return dg.AssetIn(["pool", asset], partition_mapping=POOLS_TO_PAIR, metadata={MAY_BE_NONE: True})


def _recipient(asset: str) -> dg.AssetIn:
    return dg.AssetIn(["acs", asset], partition_mapping=ACS_TO_PAIR)


def _check(
    asset: str,
    name: str,
    description: str,
    *,
    partitions: dg.PartitionsDefinition = PAIRS,
    blocking: bool = False,
) -> dg.AssetCheckSpec:
    return dg.AssetCheckSpec(
        name, asset=["fusion", asset], description=description, partitions_def=partitions, blocking=blocking
    )


@dg.asset(
    key=["fusion", "harmonized"],
    partitions_def=PAIRS,
    kinds={"yaml", "parquet"},
    code_version=harmonize.VERSION,
    ins={
        "donors": _donors("households"),
        "donor_persons": _donors("persons"),
        "pools": _pools("households"),
        "pool_persons": _pools("persons"),
        "households": _recipient("households"),
        "persons": _recipient("persons"),
    },
    check_specs=[
        _check(
            "harmonized",
            "similarity",
            "Donor and recipient answer alike: similarity of every harmonized predictor >= 0.8.",
        )
    ],
    group_name="fusion",
    owners=["team:fusion"],
)
@reusable(recipes.harmony)
def fusion_harmonized(
    context: dg.AssetExecutionContext,
    donors: dict[str, TableRef],
    donor_persons: dict[str, TableRef],
    pools: dict[str, TableRef],
    pool_persons: dict[str, TableRef],
    households: TableRef,
    persons: TableRef,
):  # Dagster takes no return annotation beside check_specs when there is a value
    """Donor and recipient with the same predictors in the same categories."""
    pair = REGISTRY.pair(context.partition_key)
    donors, donor_persons = donors | pools, donor_persons | pool_persons
    harmonies = harmonize.pair_harmonies(pair, REGISTRY)
    result = harmonize.harmonize_pair(
        donors, households, persons, harmonies, donor_persons=donor_persons, locations=pair.locations
    )
    alike = harmonize.similarity(result.donor, result.recipient).to_pandas()
    first = pair.donors[0]
    kept = harmonize.information_kept(donors[first], harmonies[first])
    alike["information kept"] = alike["predictor"].map(kept)
    low = alike.loc[alike["similarity"] < SIMILARITY_THRESHOLD, "predictor"].tolist()
    similarity_figure = drawing.similarity(
        alike, threshold=SIMILARITY_THRESHOLD, source=context.partition_key
    )
    return publish(
        context,
        {"donor": result.donor, "recipient": result.recipient},
        inputs=[*donors.values(), *donor_persons.values(), households, persons],
        metadata={
            **lineage.of_harmonized(pair, REGISTRY, harmonies, result.predictors),
            "harmonized predictors": len(alike),
            "skipped harmonies": figures.reasons(result.skipped),
            "similarity": figures.image(similarity_figure),
        },
        left_out={"harmony": result.skipped},
        checks=[
            dg.AssetCheckResult(
                check_name="similarity",
                passed=not low,
                severity=dg.AssetCheckSeverity.WARN,
                metadata={
                    "below 0.8": ", ".join(low) or "none",
                    "how many": len(low),
                    "predictors": figures.frame_table(alike),
                    "similarity": figures.image(similarity_figure),
                },
            )
        ],
    )


@dg.asset(
    key=["fusion", "located"],
    partitions_def=PAIRS,
    kinds={"parquet"},
    code_version=f"{puma_imputation.VERSION}.{preparation.VERSION}.{spatial.VERSION}",
    ins={
        "harmonized": dg.AssetIn(["fusion", "harmonized"]),
        "concordance": dg.AssetIn(["geography", "concordance"], partition_mapping=PUMAS_TO_PAIR),
        "recipient_raw": _recipient("raw"),
        "donors": _donors("households"),
        "pools": _pools("households"),
        "summaries": dg.AssetIn(["geography", "predictors"], partition_mapping=ACS_TO_PAIR),
        "datasets": dg.AssetIn(["spatial", "summaries"], partition_mapping=dg.AllPartitionMapping()),
    },
    group_name="fusion",
    owners=["team:fusion"],
)
@reusable(recipes.located, seeded=True)
def fusion_located(
    context: dg.AssetExecutionContext,
    compute: Compute,
    harmonized: PairTables,
    concordance: TableRef,
    recipient_raw: TableRef,
    donors: dict[str, TableRef],
    pools: dict[str, TableRef],
    summaries: TableRef,
    datasets: dict[str, TableRef],
) -> dg.MaterializeResult[Artefact]:
    """Donors with imputed PUMAs inside their disclosed location; recipients with the same location columns."""
    pair, donors = REGISTRY.pair(context.partition_key), donors | pools
    donor, recipient, places = harmonized.donor.read(), harmonized.recipient.read(), concordance.read()
    states = sorted({state for file in from_table(recipient_raw.read()) for state in file.states})
    fused = preparation.fusion_variables(
        donors, donor.select(["survey", "hid"]), preparation.drawn_variables(pair), pair.prices
    )
    windows = {name: entry.window for name, entry in REGISTRY.spatial.items()}
    known = spatial.place_predictors(summaries.read(), datasets, windows, REGISTRY.year(pair.recipient))
    located = puma_imputation.impute_puma(
        donor,
        recipient,
        places,
        locations=pair.locations,
        predictors=[name for name in donor.column_names if "__" in name],
        seed=compute.seed,
        covered_states=states,
        draws=pair.location_draws or puma_imputation.draws_for(donor.num_rows),
        evidence=puma_imputation.Evidence(fused.table, known.table),
    )
    recipient = puma_imputation.locate_recipients(recipient, places, pair.locations, seed=compute.seed)
    return publish(
        context,
        {"donor": located.table, "recipient": recipient, "draws": located.draws},
        inputs=[harmonized, concordance, recipient_raw, *donors.values(), summaries, *datasets.values()],
        metadata={"PUMA imputation": dg.MetadataValue.json(located.report)},
    )


@dg.asset(
    key=["fusion", "prepared"],
    partitions_def=PAIRS,
    kinds={"parquet"},
    code_version=f"{preparation.VERSION}.{spatial.VERSION}",
    ins={
        "located": dg.AssetIn(["fusion", "located"]),
        "donors": _donors("households"),
        "pools": _pools("households"),
        "summaries": dg.AssetIn(["geography", "predictors"], partition_mapping=ACS_TO_PAIR),
        "datasets": dg.AssetIn(["spatial", "summaries"], partition_mapping=dg.AllPartitionMapping()),
    },
    group_name="fusion",
    owners=["team:fusion"],
)
@reusable(recipes.prepared)
def fusion_prepared(
    context: dg.AssetExecutionContext,
    located: PairTables,
    donors: dict[str, TableRef],
    pools: dict[str, TableRef],
    summaries: TableRef,
    datasets: dict[str, TableRef],
) -> dg.MaterializeResult[Artefact]:
    """The training table (predictors, fusion variables, weight) and the prediction table (ids, predictors)."""
    pair, donors = REGISTRY.pair(context.partition_key), donors | pools
    acs, windows = summaries.read(), {name: entry.window for name, entry in REGISTRY.spatial.items()}
    years = {key: REGISTRY.year(key) for key in (*pair.donors, pair.recipient)}
    of_year = {y: spatial.place_predictors(acs, datasets, windows, y) for y in sorted(set(years.values()))}
    of_survey = {key: of_year[years[key]].table for key in pair.donors}
    donor = spatial.attach_by_survey(located.donor.read(), of_survey)
    recipient = spatial.attach_predictors(located.recipient.read(), of_year[years[pair.recipient]].table)
    kept, dropped = spatial.usable_predictors(donor, recipient)
    names = [name for name in donor.column_names if "__" in name or name in pair.locations] + kept
    fused = preparation.fusion_variables(
        donors, donor.select(["survey", "hid"]), preparation.drawn_variables(pair), pair.prices
    )
    training_table = donor.select(["survey", "hid", "weight", *names])
    for name in fused.table.column_names:
        training_table = training_table.append_column(name, fused.table[name])
    assert located.draws is not None
    draws = spatial.attach_by_survey(located.draws.read(), of_survey).select(["survey", "hid", "draw", *kept])
    return publish(
        context,
        {"donor": training_table, "recipient": recipient.select(["year", "hid", *names]), "draws": draws},
        inputs=[located, summaries, *datasets.values(), *donors.values()],
        metadata={
            "predictors": len(names),
            "vintages of spatial datasets": dg.MetadataValue.json(
                {str(year): of.vintages for year, of in of_year.items()}
            ),
            "dropped spatial predictors": figures.reasons(dropped),
            "skipped fusion variables": figures.reasons(fused.skipped),
        },
        left_out={"fusion variable": fused.skipped, "spatial predictor": dropped},
    )


@dg.asset(
    key=["fusion", "plan"],
    partitions_def=PAIRS,
    kinds={"sklearn"},
    code_version=screening.VERSION,
    ins={"prepared": dg.AssetIn(["fusion", "prepared"])},
    group_name="fusion",
    owners=["team:fusion"],
)
@reusable(recipes.plan, seeded=True)
def fusion_plan(
    context: dg.AssetExecutionContext, compute: Compute, store: FusionStore, prepared: PairTables
) -> dg.MaterializeResult:
    """Fusion order, blocks, and the predictors of every step that survive the screen."""
    pair = REGISTRY.pair(context.partition_key)
    donor = preparation.training_table(prepared)
    there = set(donor.column_names)
    steps = [[v for v in ([s] if isinstance(s, str) else s.block) if v in there] for s in pair.fuse]
    plan = screening.prepare(
        donor,
        y=[step for step in steps if step],
        x=[name for name in prepared.recipient.columns if name not in ("year", "hid")],
        weight="weight",
        forced=[name for name in pair.forced if name in there],
        order=pair.order,
        seed=compute.seed,
    )
    plan = preparation.add_price_steps(plan, pair.prices, donor.column_names)
    plan = preparation.add_universes(plan, pair.universes, donor.column_names)
    harmony = next(iter(harmonize.pair_harmonies(pair, REGISTRY).values()))
    rules = preparation.rules_at_hand(pair.rules, harmony, donor.column_names)
    plan = constrain(plan, rules, prepared.donor)
    absent = preparation.absent_predictors(pair.forced, pair.prices, donor.column_names)
    version = store.write_plan(context.partition_key, plan)
    return dg.MaterializeResult(
        data_version=dg.DataVersion(version),
        metadata={
            "donor rows": donor.num_rows,
            "fusion order": " → ".join(plan.variables),
            "steps": figures.plan_table(plan),
            "predictors asked for and not there": figures.reasons(absent),
            "provenance": dg.MetadataValue.json(provenance(context, [prepared])),
        },
    )


@dg.asset(
    key=["fusion", "models"],
    partitions_def=PAIRS,
    kinds={"lightgbm", "faiss"},
    pool="training",
    code_version=training.VERSION,
    ins={"prepared": dg.AssetIn(["fusion", "prepared"])},
    deps=[dg.AssetKey(["fusion", "plan"])],
    check_specs=[
        dg.AssetCheckSpec(
            "common_support",
            asset=["fusion", "models"],
            partitions_def=PAIRS,
            description="Donors cover the recipient in every predictor: overlap, recipients beyond donors, means.",
        )
    ],
    group_name="fusion",
    owners=["team:fusion"],
)
@reusable(recipes.libraries, seeded=True)
def fusion_models(
    context: dg.AssetExecutionContext, compute: Compute, store: FusionStore, prepared: PairTables
) -> dg.MaterializeResult:
    """The fitted model set: every conditional expectation, and the donor pools."""
    pair = context.partition_key
    table = preparation.training_table(prepared)
    models = training.train(
        table,
        store.plan(pair),
        groups=preparation.HOUSEHOLD,
        draws=table.num_rows // prepared.donor.num_rows,
        out=store.layout.model_set(pair),
        seed=compute.seed,
        threads=compute.threads,
    )
    support = common_support(prepared.donor, prepared.recipient, models.plan.predictors, weight="weight")
    poor = poor_support(support)
    report = models.report()
    return dg.MaterializeResult(
        data_version=dg.DataVersion(models.fingerprint[:32]),
        metadata={
            "path": dg.MetadataValue.path(store.layout.model_set(pair)),
            "donor rows": prepared.donor.num_rows,
            "models": len(report),
            "sets of redrawn donor weights": models.bootstraps,
            "importance": figures.image(drawing.importance(importance(models), source=pair)),
            "report": figures.frame_table(report),
            "provenance": dg.MetadataValue.json(
                provenance(context, [prepared], {f"fusion/plan[{pair}]": store.plan_version(pair)})
            ),
        },
        check_results=[
            dg.AssetCheckResult(
                check_name="common_support",
                passed=not poor,
                severity=dg.AssetCheckSeverity.WARN,
                metadata={
                    "poor": ", ".join(poor) or "none",
                    "how many": len(poor),
                    "support": figures.frame_table(support),
                },
            )
        ],
    )


@dg.asset(
    key=["fusion", "implicates"],
    partitions_def=PAIR_CHUNKS,
    kinds={"parquet"},
    pool="fusing",
    code_version=fusing.VERSION,
    ins={"prepared": dg.AssetIn(["fusion", "prepared"], partition_mapping=PAIR_TO_CHUNKS)},
    deps=[dg.AssetDep(["fusion", "models"], partition_mapping=PAIR_TO_CHUNKS)],
    check_specs=[
        _check("implicates", name, description, partitions=PAIR_CHUNKS, blocking=True)
        for name, description in validity.CHECKS.items()
    ],
    group_name="fusion",
    owners=["team:fusion"],
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
            "dagster/column_schema": column_schema(TableRef(files[0]).schema, {}),
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


@dg.asset(
    key=["fusion", "microdata"],
    partitions_def=PAIRS,
    kinds={"duckdb", "parquet"},
    code_version=validity.VERSION,
    ins={
        "prepared": dg.AssetIn(["fusion", "prepared"]),
        "donors": _donors("households"),
        "pools": _pools("households"),
        "households": _recipient("households"),
    },
    deps=[dg.AssetDep(["fusion", "implicates"], partition_mapping=PAIR_TO_CHUNKS)],
    check_specs=[
        _check(
            "microdata",
            "complete",
            "Every implicate has one row for every recipient household.",
            blocking=True,
        ),
        _check(
            "microdata",
            "marginals",
            "Weighted means, spreads and shares of the fused variables against those of comparable donors.",
        ),
    ],
    group_name="fusion",
    owners=["team:fusion"],
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
    removed = store.remove_implicates_beyond(pair, IMPLICATES.chunks)
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
                    "comparable donors": marginals.donors.words,
                    "marginals": figures.frame_table(marginals.table),
                    "z": figures.image(drawing.differences(marginals.table, beyond=BEYOND, source=pair)),
                },
            ),
        ],
    )
