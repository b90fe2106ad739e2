"""The registry holds together, and the partitions and mappings made from it are total."""

from pathlib import Path

import dagster as dg
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from fusion_pipeline import partitions
from fusion_pipeline.errors import RegistryError
from fusion_pipeline.registry import PATH, Implicates, load_registry

REGISTRY = load_registry()


SURVEYS, POOLS = set(REGISTRY.surveys), set(REGISTRY.pools)
# Mapping -> upstream, downstream, and what each downstream partition is made from, read off the registry.
DRAWN = {
    "SURVEYS_TO_PAIR": (partitions.SURVEY_YEARS, partitions.PAIRS, lambda pair: donors(pair) & SURVEYS),
    "POOLS_TO_PAIR": (partitions.POOLS, partitions.PAIRS, lambda pair: donors(pair) & POOLS),
    "ACS_TO_PAIR": (partitions.ACS_YEARS, partitions.PAIRS, lambda pair: {REGISTRY.pair(pair).recipient}),
    "PUMAS_TO_PAIR": (
        partitions.PUMAS,
        partitions.PAIRS,
        lambda pair: {REGISTRY.pumas_of(REGISTRY.pair(pair).recipient)},
    ),
    "PUMAS_TO_ACS": (partitions.PUMAS, partitions.ACS_YEARS, lambda year: {REGISTRY.pumas_of(year)}),
    "DATASETS_TO_SUMMARIES": (
        partitions.DATASETS,
        partitions.DATASETS_BY_PUMAS,
        lambda key: {REGISTRY.summaries[key][0]},
    ),
    "PUMAS_TO_SUMMARIES": (
        partitions.PUMAS,
        partitions.DATASETS_BY_PUMAS,
        lambda key: {REGISTRY.summaries[key][1]},
    ),
    "SUMMARIES_TO_PAIR": (
        partitions.DATASETS_BY_PUMAS,
        partitions.PAIRS,
        lambda pair: {
            f"{dataset}_{REGISTRY.pumas_of(REGISTRY.pair(pair).recipient)}" for dataset in REGISTRY.spatial
        },
    ),
    "YEARS_TO_POOL": (
        partitions.SURVEY_YEARS,
        partitions.POOLS,
        lambda pool: set(REGISTRY.pools[pool].years),
    ),
    "SURVEYS_TO_POOL": (
        partitions.SURVEY_YEARS,
        partitions.POOLS,
        lambda pool: {*REGISTRY.pools[pool].years, *REGISTRY.pools[pool].learns_from},
    ),
    "PAIR_TO_CHUNKS": (partitions.PAIRS, partitions.PAIR_CHUNKS, lambda cell: {cell.partition("|")[0]}),
}


def donors(pair: str) -> set[str]:
    return set(REGISTRY.pair(pair).donors)


def test_every_mapping_of_the_graph_is_among_those_tested_here() -> None:
    declared = {name for name, value in vars(partitions).items() if isinstance(value, dg.PartitionMapping)}
    assert declared == set(DRAWN)


@pytest.mark.parametrize("name", DRAWN)
def test_every_downstream_partition_is_made_from_what_the_registry_says_and_nothing_else(name: str) -> None:
    (upstream, downstream, made_from), mapping = DRAWN[name], getattr(partitions, name)
    for key in downstream.get_partition_keys():
        found = mapping.get_upstream_mapped_partitions_result_for_partitions(
            downstream.subset_with_partition_keys([key]), downstream, upstream
        )
        assert set(found.partitions_subset.get_partition_keys()) == made_from(key)
        assert not found.required_but_nonexistent_subset.get_partition_keys()


@pytest.mark.parametrize("name", DRAWN)
def test_every_upstream_partition_reaches_exactly_what_is_made_from_it(name: str) -> None:
    (upstream, downstream, made_from), mapping = DRAWN[name], getattr(partitions, name)
    for key in upstream.get_partition_keys():
        found = mapping.get_downstream_partitions_for_partitions(
            upstream.subset_with_partition_keys([key]), upstream, downstream
        )
        expected = {made for made in downstream.get_partition_keys() if key in made_from(made)}
        assert set(found.get_partition_keys()) == expected


def test_a_pool_stands_for_its_survey_years_and_those_it_learns_from() -> None:
    for name, pool in REGISTRY.pools.items():
        assert REGISTRY.behind(name) == (*pool.years, *pool.learns_from)
    # Places are described for the middle of its years.
    assert REGISTRY.year("CEI_2015-2019") == 2017


@given(st.integers(2, 100), st.integers(1, 100))
def test_chunks_hold_every_implicate_once_in_order(count: int, chunk: int) -> None:
    members = [m for chunk_ in Implicates(count=count, chunk=chunk).chunks.values() for m in chunk_]
    assert members == list(range(1, count + 1))


def broken(tmp_path: Path, change) -> Path:
    content = yaml.safe_load(PATH.read_text())
    change(content)
    path = tmp_path / "registry.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def test_an_entry_that_comes_twice_is_named(tmp_path: Path) -> None:
    path = tmp_path / "registry.yaml"
    path.write_text(PATH.read_text() + "\npairs: {}\n")
    with pytest.raises(RegistryError, match="'pairs' comes twice"):
        load_registry(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["pairs"]["RECS_2015__ACS_2015"].update(donors=["RECS_1066"]), "RECS_1066"),
        (lambda c: c["pairs"]["RECS_2015__ACS_2015"].update(recipient="1066"), "1066"),
        (
            lambda c: c["pairs"]["RECS_2015__ACS_2015"].update(donors=["CEI_2015"]),
            "CEI_2015 is part of a pool",
        ),
        (lambda c: c["pools"]["CEI_2015-2019"].update(learns_from=["RECS_1066"]), "RECS_1066"),
        (lambda c: c["pools"].update(RECS_2015=c["pools"]["CEI_2015-2019"]), "are surveys too"),
        (lambda c: c["pairs"]["RECS_2015__ACS_2015"].update(fuse=["btuel", "btuel"]), "listed twice"),
        (lambda c: c["pairs"]["RECS_2015__ACS_2015"].update(fuse=["cooltype"]), "quantity"),
        (lambda c: c["surveys"]["RECS_2015"].update(colour="blue"), "colour"),
        (lambda c: c["surveys"]["RECS_2015"]["files"]["households"].update(url="ftp//eia.gov"), "url"),
        (lambda c: c["surveys"]["RECS_2015"]["files"]["households"].update(name="../recs.csv"), "name"),
        (lambda c: c["surveys"].update({"RECS|2015": c["surveys"]["RECS_2015"]}), "pattern"),
    ],
)
def test_contradiction_is_named(tmp_path: Path, change, message: str) -> None:
    with pytest.raises(RegistryError, match=message):
        load_registry(broken(tmp_path, change))


def test_unknown_pair_and_survey_year_list_those_there_are() -> None:
    with pytest.raises(RegistryError, match="RECS_2015__ACS_2015"):
        REGISTRY.pair("NHTS_1066")
    with pytest.raises(RegistryError, match="RECS_2015"):
        REGISTRY.survey_year("1066")
