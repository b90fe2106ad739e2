"""What every asset tells in the UI, and the whole graph as a literal: a rename in Dagster orphans history."""

import pytest

from fusion_pipeline.definitions import build_defs
from fusion_pipeline.partitions import IMPLICATES
from fusion_pipeline.registry import load_registry

DONOR, POOL, RECIPIENT, PAIRS = "survey-year", "pool", "ACS year", "pair"
PUMAS, DATASET, BY_PUMAS = "PUMA definition", "spatial dataset", "spatial dataset and PUMA definition"
# Partitions, and what an asset is made from. Change a name here only with a note in CHANGELOG.md.
GRAPH = {
    "survey": {
        "survey/raw": (DONOR, []),
        "survey/households": (DONOR, ["survey/raw"]),
        "survey/persons": (DONOR, ["survey/households", "survey/raw"]),
        "survey/dictionary": (DONOR, ["survey/households", "survey/persons"]),
        "survey/dictionary_page": (DONOR, ["survey/dictionary"]),
    },
    "pool": {
        "pool/households": (POOL, ["survey/households"]),
        "pool/persons": (POOL, ["pool/households", "survey/households", "survey/persons"]),
        "pool/dictionary": (POOL, ["pool/households", "pool/persons"]),
        "pool/dictionary_page": (POOL, ["pool/dictionary"]),
    },
    "recipient": {
        "acs/raw": (RECIPIENT, []),
        "acs/households": (RECIPIENT, ["acs/raw"]),
        "acs/persons": (RECIPIENT, ["acs/households", "acs/raw"]),
        "acs/dictionary": (RECIPIENT, ["acs/households", "acs/persons"]),
        "acs/dictionary_page": (RECIPIENT, ["acs/dictionary"]),
    },
    "geography": {
        "geography/raw": (PUMAS, []),
        "geography/concordance": (PUMAS, ["geography/raw"]),
        "geography/predictors": (RECIPIENT, ["acs/households", "geography/concordance"]),
    },
    "spatial": {
        "spatial/raw": (DATASET, []),
        "spatial/summaries": (BY_PUMAS, ["geography/concordance", "spatial/raw"]),
    },
    "fusion": {
        "fusion/harmonized": (
            PAIRS,
            [
                "acs/households",
                "acs/persons",
                "pool/households",
                "pool/persons",
                "survey/households",
                "survey/persons",
            ],
        ),
        "fusion/located": (
            PAIRS,
            ["acs/raw", "fusion/harmonized", "geography/concordance", "geography/predictors", "pool/households",
             "spatial/summaries", "survey/households"],
        ),
        "fusion/prepared": (
            PAIRS,
            ["fusion/located", "geography/predictors", "pool/households", "spatial/summaries", "survey/households"],
        ),
        "fusion/plan": (PAIRS, ["fusion/prepared"]),
        "fusion/models": (PAIRS, ["fusion/plan", "fusion/prepared"]),
        "fusion/implicates": ("pair | chunk", ["fusion/models", "fusion/prepared"]),
        "fusion/microdata": (
            PAIRS,
            ["acs/households", "fusion/implicates", "fusion/prepared", "pool/households", "survey/households"],
        ),
    },
    "quality": {
        "quality/area_error": (
            PAIRS,
            ["acs/households", "acs/raw", "fusion/located", "fusion/prepared", "geography/concordance",
             "geography/predictors", "spatial/summaries"],
        ),
        "quality/internal": (PAIRS, ["fusion/plan", "fusion/prepared"]),
        "quality/external": (
            PAIRS,
            ["acs/households", "fusion/microdata", "fusion/prepared", "quality/area_error", "spatial/raw"],
        ),
        "quality/report": (
            PAIRS,
            ["acs/households", "fusion/harmonized", "fusion/microdata", "fusion/prepared", "geography/concordance",
             "geography/raw", "quality/area_error", "quality/external", "quality/internal"],
        ),
    },
}  # fmt: skip
JOBS = {
    "ingest_survey": (
        DONOR,
        ["survey/dictionary", "survey/dictionary_page", "survey/households", "survey/persons", "survey/raw"],
    ),
    "pool_survey": (
        POOL,
        ["pool/dictionary", "pool/dictionary_page", "pool/households", "pool/persons"],
    ),
    "ingest_recipient": (
        RECIPIENT,
        ["acs/dictionary", "acs/dictionary_page", "acs/households", "acs/persons", "acs/raw"],
    ),
    "build_concordance": (PUMAS, ["geography/concordance", "geography/raw"]),
    "find_places": (DATASET, ["spatial/raw"]),
    "summarize_places": (BY_PUMAS, ["spatial/summaries"]),
    "summarize_pumas": (RECIPIENT, ["geography/predictors"]),
    "fit_pair": (
        PAIRS,
        ["fusion/harmonized", "fusion/located", "fusion/models", "fusion/plan", "fusion/prepared"],
    ),
    "fuse_chunk": ("pair | chunk", ["fusion/implicates"]),
    "publish_pair": (
        PAIRS,
        ["fusion/microdata", "quality/area_error", "quality/external", "quality/report"],
    ),
    "compare_pair": (PAIRS, ["quality/external"]),
    "validate_pair": (PAIRS, ["quality/internal"]),
    "validate_store": (None, []),
}
CHECKED_TABLES = [
    "survey/households",
    "survey/persons",
    "survey/dictionary",
    "pool/households",
    "pool/persons",
    "pool/dictionary",
    "acs/households",
    "acs/persons",
    "acs/dictionary",
    "geography/concordance",
    "geography/predictors",
    "spatial/summaries",
    "fusion/harmonized",
    "fusion/located",
    "fusion/prepared",
]
BLOCKING = {
    **{name: {"schema", "values"} for name in CHECKED_TABLES},
    **{
        f"{who}/{what}": {"schema", "values", "related_records"}
        for who in ("survey", "acs")
        for what in ("households", "persons")
    },
    "fusion/implicates": {"complete", "no_missing", "rules", "within_support"},
    "fusion/microdata": {"complete"},
}
WARNING = {
    "survey/households": {"budget"},
    "acs/households": {"budget"},
    "fusion/harmonized": {"similarity", "budget"},
    "fusion/models": {"common_support", "budget"},
    "fusion/implicates": {"budget"},
    "fusion/microdata": {"marginals", "budget"},
    "quality/external": {"correlation", "error", "inside", "budget"},
    "quality/internal": {"coverage", "real_or_fused", "subset_error", "budget"},
    "survey/persons": {"budget"},
    "pool/households": {"budget"},
    "pool/persons": {"budget"},
    "acs/persons": {"budget"},
    "geography/concordance": {"budget"},
    "geography/predictors": {"budget"},
    "spatial/summaries": {"budget"},
    "fusion/located": {"budget"},
    "fusion/prepared": {"budget"},
    "fusion/plan": {"budget"},
    "quality/area_error": {"budget"},
}

ACS_YEARS = [
    "2013",
    "2013_5yr",
    "2014",
    "2014_5yr",
    "2015",
    "2015_5yr",
    "2016",
    "2016_5yr",
    "2017",
    "2017_5yr",
    "2018",
    "2018_5yr",
    "2019",
    "2019_5yr",
    "2021",
    "2022",
    "2023",
    "2024",
]

REGISTRY = load_registry()
DEFINITIONS = build_defs()
ASSETS = {key.to_user_string(): key for key in DEFINITIONS.resolve_asset_graph().get_all_asset_keys()}
KEYS = {
    None: [],
    DONOR: list(REGISTRY.surveys),
    POOL: list(REGISTRY.pools),
    RECIPIENT: ACS_YEARS,
    PUMAS: ["puma10", "puma20"],
    DATASET: ["eia", "noaa", "acs_sf", "acs_county", "epa", "irs", "nrel"],
    BY_PUMAS: list(REGISTRY.summaries),
    PAIRS: list(REGISTRY.pairs),
    "pair | chunk": [f"{pair}|{chunk}" for pair in REGISTRY.pairs for chunk in IMPLICATES.chunks],
}


def node(name: str):
    return DEFINITIONS.resolve_asset_graph().get(ASSETS[name])


def partitions(definition) -> str | None:
    keys = [] if definition is None else list(definition.get_partition_keys())
    return next(name for name, members in KEYS.items() if members == keys)


def test_graph_is_the_one_written_down() -> None:
    graph: dict = {}
    for name in ASSETS:
        found = node(name)
        made_from = sorted(key.to_user_string() for key in found.parent_keys)
        graph.setdefault(found.group_name, {})[name] = (partitions(found.partitions_def), made_from)
    assert graph == GRAPH


def test_jobs_are_the_ones_written_down() -> None:
    jobs = {}
    for name in (job.name for job in DEFINITIONS.jobs):
        job = DEFINITIONS.resolve_job_def(name)
        made = sorted(key.to_user_string() for key in job.asset_layer.selected_asset_keys)
        jobs[name] = (partitions(job.partitions_def), made)
    assert jobs == JOBS


@pytest.mark.parametrize("name", sorted(ASSETS))
def test_asset_says_what_it_is_whose_it_is_and_which_code_made_it(name) -> None:
    asset = node(name)
    assert asset.description
    assert len(asset.description) > 30
    assert all(owner.startswith("team:") for owner in asset.owners)
    assert asset.owners
    assert asset.group_name in GRAPH
    assert asset.kinds
    assert asset.code_version


def checks(blocking: bool) -> dict[str, set[str]]:
    graph, found = DEFINITIONS.resolve_asset_graph(), {}
    for key in graph.asset_check_keys:
        if graph.get_check_spec(key).blocking is blocking:
            found.setdefault(key.asset_key.to_user_string(), set()).add(key.name)
    return found


def test_tables_have_both_blocking_checks_and_statistics_only_warn() -> None:
    assert checks(blocking=True) == BLOCKING
    assert checks(blocking=False) == WARNING


def test_check_is_explained_and_cut_by_the_partitions_of_its_asset() -> None:
    graph = DEFINITIONS.resolve_asset_graph()
    for key in graph.asset_check_keys:
        spec = graph.get_check_spec(key)
        assert spec.description, key
        assert spec.partitions_def == node(key.asset_key.to_user_string()).partitions_def, key


def test_every_pair_finds_its_upstream_partitions() -> None:
    """A key that a static mapping leaves out would reach the asset as nothing at all."""
    for name in (
        "fusion/harmonized",
        "fusion/located",
        "fusion/prepared",
        "fusion/microdata",
        "quality/report",
    ):
        downstream = node(name)
        for parent in downstream.parent_keys:
            upstream = DEFINITIONS.resolve_asset_graph().get(parent)
            if upstream.partitions_def is None or upstream.partitions_def == downstream.partitions_def:
                continue
            mapping = downstream.partition_mappings.get(parent)
            for pair, entry in REGISTRY.pairs.items():
                subset = downstream.partitions_def.subset_with_partition_keys([pair])
                found = mapping.get_upstream_mapped_partitions_result_for_partitions(
                    subset, downstream.partitions_def, upstream.partitions_def
                ).partitions_subset
                keys = sorted(found.get_partition_keys())
                if parent.path[0] in ("survey", "pool"):
                    known = REGISTRY.pools if parent.path[0] == "pool" else REGISTRY.surveys
                    assert keys == sorted(donor for donor in entry.donors if donor in known)
                elif parent.path in (["geography", "concordance"], ["geography", "raw"]):
                    assert keys == [REGISTRY.pumas_of(entry.recipient)]
                elif parent.path[0] in ("acs", "geography"):
                    assert keys == [entry.recipient]
                elif parent.path == ["spatial", "summaries"]:
                    pumas = REGISTRY.pumas_of(entry.recipient)
                    assert keys == sorted(f"{dataset}_{pumas}" for dataset in KEYS[DATASET])
                else:
                    assert keys == [key for key in KEYS["pair | chunk"] if key.startswith(f"{pair}|")]
