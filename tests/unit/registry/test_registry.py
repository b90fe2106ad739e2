"""The registry holds together, and the partitions and mappings made from it are total."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from fusion_pipeline import partitions
from fusion_pipeline.errors import RegistryError
from fusion_pipeline.registry import PATH, Implicates, load_registry

REGISTRY = load_registry()


def test_every_pair_is_reached_from_each_of_its_donors_and_its_acs_year_and_nothing_else() -> None:
    for name, pair in REGISTRY.pairs.items():
        for mapping, upstream, expected in (
            (partitions.SURVEYS_TO_PAIR, partitions.SURVEY_YEARS, set(pair.donors) - set(REGISTRY.pools)),
            (partitions.POOLS_TO_PAIR, partitions.POOLS, set(pair.donors) & set(REGISTRY.pools)),
            (partitions.ACS_TO_PAIR, partitions.ACS_YEARS, {pair.recipient}),
        ):
            found = mapping.get_upstream_mapped_partitions_result_for_partitions(
                partitions.PAIRS.subset_with_partition_keys([name]), partitions.PAIRS, upstream
            )
            assert set(found.partitions_subset.get_partition_keys()) == expected


def test_every_upstream_partition_reaches_exactly_the_pairs_that_use_it() -> None:
    for mapping, upstream, uses in (
        (partitions.SURVEYS_TO_PAIR, partitions.SURVEY_YEARS, lambda pair, key: key in pair.donors),
        (partitions.ACS_TO_PAIR, partitions.ACS_YEARS, lambda pair, key: key == pair.recipient),
    ):
        for key in upstream.get_partition_keys():
            found = mapping.get_downstream_partitions_for_partitions(
                upstream.subset_with_partition_keys([key]), upstream, partitions.PAIRS
            )
            expected = {name for name, pair in REGISTRY.pairs.items() if uses(pair, key)}
            assert set(found.get_partition_keys()) == expected


def test_a_pool_depends_on_its_survey_years_and_on_those_it_learns_from() -> None:
    for name, pool in REGISTRY.pools.items():
        for mapping, expected in (
            (partitions.YEARS_TO_POOL, set(pool.years)),
            (partitions.SURVEYS_TO_POOL, {*pool.years, *pool.learns_from}),
        ):
            found = mapping.get_upstream_mapped_partitions_result_for_partitions(
                partitions.POOLS.subset_with_partition_keys([name]), partitions.POOLS, partitions.SURVEY_YEARS
            )
            assert set(found.partitions_subset.get_partition_keys()) == expected
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
