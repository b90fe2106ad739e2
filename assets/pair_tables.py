"""The tables of a fusion pair: donor and recipient harmonized, put in their places, prepared to train and to predict.

Belongs here: what has one table for the donors and one for the recipients. Does not belong here: what is fitted to them
(`models.py`), what is drawn (`implicates.py`).
"""

from collections.abc import Mapping

import dagster as dg

from assets import figures, lineage, pairs, recipes
from assets.publishing import publish
from assets.reuse import reusable
from fusion_pipeline import harmonize, preparation
from fusion_pipeline.geography import predictors as spatial
from fusion_pipeline.geography import puma_imputation
from fusion_pipeline.harmonize.pairs import HarmonizedPair
from fusion_pipeline.harmonize.similarity import SIMILARITY_THRESHOLD, similarity_numbers
from fusion_pipeline.partitions import REGISTRY
from fusion_pipeline.raw import from_table
from fusion_pipeline.storage.artefacts import Artefact, PairTables
from fusion_pipeline.storage.tables import TableRef
from fusion_pipeline.validation import figures as drawing
from resources.compute import Compute


@pairs.pair_asset(
    "fusion",
    "harmonized",
    kinds={"yaml", "parquet"},
    code_version=harmonize.VERSION,
    ins={
        "donors": pairs.from_donors("households"),
        "donor_persons": pairs.from_donors("persons"),
        "pools": pairs.from_pools("households"),
        "pool_persons": pairs.from_pools("persons"),
        "households": pairs.from_recipient("households"),
        "persons": pairs.from_recipient("persons"),
    },
    check_specs=[
        pairs.check(
            "fusion",
            "harmonized",
            "similarity",
            "Donor and recipient answer alike: similarity of every harmonized predictor >= 0.8.",
        )
    ],
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
    found = harmonize.similarity(result.donor, result.recipient)
    numbers, alike = similarity_numbers(found), found.to_pandas()
    kept = _information_kept(pair.donors[0], donors, donor_persons, households, persons, harmonies, result)
    for role, shares in kept.items():
        alike[f"information kept, {role}"] = alike["predictor"].map(shares)
    low = alike.loc[alike["similarity"] < SIMILARITY_THRESHOLD, "predictor"].tolist()
    similarity_figure = drawing.similarity(
        alike, threshold=SIMILARITY_THRESHOLD, source=context.partition_key
    )
    groups = {name: entry.names for name, entry in harmonies[pair.donors[0]].entries.items()}
    panels = harmonize.side_by_side(
        result.donor, result.recipient, harmonize.least_alike(alike, SIMILARITY_THRESHOLD), groups
    )
    distributions = drawing.side_by_side(panels, source=context.partition_key)
    return publish(
        context,
        {"donor": result.donor, "recipient": result.recipient},
        inputs=[*donors.values(), *donor_persons.values(), households, persons],
        metadata={
            **lineage.of_harmonized(pair, REGISTRY, harmonies, result.predictors),
            "harmonized predictors": len(alike),
            **numbers,
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
                    **numbers,
                    "predictors": figures.frame_table(alike),
                    "distributions": figures.image(*distributions),
                    "similarity": figures.image(similarity_figure),
                },
            )
        ],
    )


def _information_kept(
    survey: str,
    donors: Mapping[str, TableRef],
    donor_persons: Mapping[str, TableRef],
    households: TableRef,
    persons: TableRef,
    harmonies: Mapping[str, harmonize.Harmony],
    result: HarmonizedPair,
) -> dict[str, dict[str, float]]:
    """Measure on both sides what harmonies keep; of a pooled donor, on one survey-year."""
    of_pair = harmonies[survey]
    of_pair = of_pair.model_copy(update={"entries": {n: of_pair.entries[n] for n in result.predictors}})
    return {
        "donor": harmonize.information_kept(donors[survey], donor_persons.get(survey), of_pair, "donor"),
        "recipient": harmonize.information_kept(households, persons, of_pair, "recipient"),
    }


@pairs.pair_asset(
    "fusion",
    "located",
    kinds={"parquet"},
    code_version=f"{puma_imputation.VERSION}.{preparation.VERSION}.{spatial.VERSION}",
    ins={
        "harmonized": dg.AssetIn(["fusion", "harmonized"]),
        "concordance": pairs.from_pumas("concordance"),
        "recipient_raw": pairs.from_recipient("raw"),
        "donors": pairs.from_donors("households"),
        "pools": pairs.from_pools("households"),
        "summaries": pairs.SUMMARIES,
        "datasets": pairs.DATASETS,
    },
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
    result = preparation.locate_pair(
        pair,
        REGISTRY,
        harmonized,
        donors,
        concordance.read(),
        summaries.read(),
        pairs.by_dataset(datasets),
        covered_states=sorted({s for file in from_table(recipient_raw.read()) for s in file.states}),
        seed=compute.seed,
    )
    return publish(
        context,
        {"donor": result.donor, "recipient": result.recipient, "draws": result.draws},
        inputs=[harmonized, concordance, recipient_raw, *donors.values(), summaries, *datasets.values()],
        metadata={"PUMA imputation": dg.MetadataValue.json(result.report)},
    )


@pairs.pair_asset(
    "fusion",
    "prepared",
    kinds={"parquet"},
    code_version=f"{preparation.VERSION}.{spatial.VERSION}",
    ins={
        "located": dg.AssetIn(["fusion", "located"]),
        "donors": pairs.from_donors("households"),
        "pools": pairs.from_pools("households"),
        "summaries": pairs.SUMMARIES,
        "datasets": pairs.DATASETS,
    },
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
    places = pairs.by_dataset(datasets)
    result = preparation.prepare_pair(pair, REGISTRY, located, donors, summaries.read(), places)
    return publish(
        context,
        {"donor": result.donor, "recipient": result.recipient, "draws": result.draws},
        inputs=[located, summaries, *datasets.values(), *donors.values()],
        metadata={
            "predictors": len(result.predictors),
            "vintages of spatial datasets": dg.MetadataValue.json(result.vintages),
            "dropped spatial predictors": figures.reasons(result.dropped),
            "skipped fusion variables": figures.reasons(result.skipped),
        },
        left_out={"fusion variable": result.skipped, "spatial predictor": result.dropped},
    )
