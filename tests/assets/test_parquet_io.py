"""The IO manager: what a step gives it, what the next gets, and what it says when there is nothing to get."""

import dagster as dg
import pyarrow as pa
import pytest

from fusion_pipeline.errors import StorageError
from fusion_pipeline.storage.artefacts import Artefact, PairTables
from fusion_pipeline.storage.layout import Layout
from fusion_pipeline.storage.tables import TableRef
from resources.parquet_io import MAY_BE_NONE, ParquetIOManager

YEARS = dg.StaticPartitionsDefinition(["A_2017", "A_2015", "A_2016"])
POOLS = dg.StaticPartitionsDefinition(["pooled", "forgotten"])
TABLE = pa.table({"hid": [1, 2, 3]})


@pytest.fixture
def io(tmp_path) -> ParquetIOManager:
    return ParquetIOManager(root=str(tmp_path))


@pytest.fixture
def layout(tmp_path) -> Layout:
    return Layout(tmp_path)


def hand_over(io, name: str, tables, partition: str | None = None):
    context = dg.build_output_context(asset_key=dg.AssetKey(name.split("/")), partition_key=partition)
    io.handle_output(context, Artefact(tables, {"asset": name}))
    return context


def ask(io, name: str, wanted: type, partition: str | None = None):
    keys = None if partition is None else dg.PartitionKeyRange(partition, partition)
    context = dg.build_input_context(
        asset_key=dg.AssetKey(name.split("/")),
        dagster_type=dg.PythonObjectDagsterType(wanted),
        asset_partition_key_range=keys,
        asset_partitions_def=YEARS if partition else None,
    )
    return io.load_input(context)


def test_table_of_a_partition_lies_under_its_key_and_comes_back_as_a_handle(io, layout) -> None:
    context = hand_over(io, "survey/households", TABLE, "A_2015")
    path = layout.table(("survey", "households"), "A_2015")
    assert context.get_logged_metadata()["path"].value == str(path)
    handle = ask(io, "survey/households", TableRef, "A_2015")
    assert handle == TableRef(path)
    assert handle.read() == TABLE
    assert handle.provenance["asset"] == "survey/households"


def test_table_without_partitions_is_one_file(io, layout) -> None:
    hand_over(io, "geography/concordance", TABLE)
    assert ask(io, "geography/concordance", TableRef).path == layout.root / "geography/concordance.parquet"


def test_donor_and_recipient_are_one_artefact_and_come_back_as_a_pair(io) -> None:
    other = pa.table({"hid": [9]})
    hand_over(io, "fusion/located", {"donor": TABLE, "recipient": other}, "A_2015")
    pair = ask(io, "fusion/located", PairTables, "A_2015")
    assert (pair.donor.read(), pair.recipient.read()) == (TABLE, other)
    assert pair.donor.provenance["digest"] == pair.recipient.provenance["digest"]


def test_equal_content_is_written_as_equal_bytes(io, layout) -> None:
    path = layout.table(("survey", "households"), "A_2015")
    hand_over(io, "survey/households", TABLE, "A_2015")
    first = path.read_bytes()
    hand_over(io, "survey/households", pa.concat_tables([TABLE.slice(0, 1), TABLE.slice(1)]), "A_2015")
    assert path.read_bytes() == first


@pytest.mark.parametrize(
    ("name", "wanted"), [("survey/households", TableRef), ("fusion/located", PairTables)]
)
def test_artefact_that_is_not_there_is_named_with_the_remedy(io, name, wanted) -> None:
    with pytest.raises(StorageError, match=rf"{name}\[A_2015\]: has not been materialized.*fusion run PAIR"):
        ask(io, name, wanted, "A_2015")


def test_artefact_without_partitions_that_is_not_there_is_named_too(io) -> None:
    with pytest.raises(StorageError, match=r"geography/concordance\[\]: has not been materialized"):
        ask(io, "geography/concordance", TableRef)


def pooling(io, mapping: dict, **metadata) -> tuple[dg.Definitions, list]:
    """Three survey-years, and an asset that pools those that the mapping names."""
    seen: list = []

    @dg.asset(key=["survey", "households"], partitions_def=YEARS)
    def households(context) -> Artefact:
        year = int(context.partition_key[-4:])
        return Artefact(pa.table({"year": [year]}), {"asset": context.partition_key})

    @dg.asset(
        key=["fusion", "harmonized"],
        partitions_def=POOLS,
        ins={
            "donors": dg.AssetIn(
                ["survey", "households"],
                partition_mapping=dg.StaticPartitionMapping(mapping),
                metadata=metadata,
            )
        },
    )
    def harmonized(donors: dict[str, TableRef]) -> Artefact:
        seen.append({key: ref.read()["year"].to_pylist() for key, ref in donors.items()})
        return Artefact(TABLE)

    definitions = dg.Definitions(assets=[households, harmonized], resources={"io_manager": io})
    return definitions, seen


def make(definitions: dg.Definitions, *runs: tuple[str, str]) -> None:
    instance = dg.DagsterInstance.ephemeral()
    assets = {key.to_user_string(): key for key in definitions.resolve_asset_graph().get_all_asset_keys()}
    for name, partition in runs:
        job = definitions.resolve_implicit_global_asset_job_def().get_subset(asset_selection={assets[name]})
        job.execute_in_process(partition_key=partition, instance=instance)


def test_several_upstream_partitions_come_sorted_whatever_order_they_were_declared_in(io) -> None:
    definitions, seen = pooling(io, dict.fromkeys(YEARS.get_partition_keys(), "pooled"))
    make(
        definitions,
        *(("survey/households", year) for year in YEARS.get_partition_keys()),
        ("fusion/harmonized", "pooled"),
    )
    assert [list(d.items()) for d in seen] == [[("A_2015", [2015]), ("A_2016", [2016]), ("A_2017", [2017])]]


def test_one_missing_year_among_several_is_named(io) -> None:
    definitions, _ = pooling(io, dict.fromkeys(YEARS.get_partition_keys(), "pooled"))
    with pytest.raises(StorageError, match=r"survey/households\[A_2016\]: has not been materialized"):
        make(
            definitions,
            ("survey/households", "A_2015"),
            ("survey/households", "A_2017"),
            ("fusion/harmonized", "pooled"),
        )


def test_partition_that_the_mapping_forgets_is_an_error_that_names_the_registry(io) -> None:
    definitions, seen = pooling(io, {"A_2015": "pooled"})
    with pytest.raises(StorageError, match=r"survey/households: has no partition.*registry\.yaml"):
        make(definitions, ("survey/households", "A_2015"), ("fusion/harmonized", "forgotten"))
    assert seen == []


def test_input_that_may_have_no_partition_comes_as_nothing(io) -> None:
    definitions, seen = pooling(io, {"A_2015": "pooled"}, **{MAY_BE_NONE: True})
    make(definitions, ("survey/households", "A_2015"), ("fusion/harmonized", "forgotten"))
    assert seen == [{}]


@pytest.mark.parametrize(("here", "there"), [("simulated", "public"), ("public", "simulated")])
def test_artefact_of_the_other_origin_is_named_with_the_setting_that_leads_to_it(
    tmp_path, here, there
) -> None:
    hand_over(
        ParquetIOManager(root=str(tmp_path / there)),
        "fusion/located",
        {"donor": TABLE, "recipient": TABLE},
        "A_2015",
    )
    with pytest.raises(StorageError, match=rf"has not been materialized.*FUSION_SOURCE={there}") as told:
        ask(ParquetIOManager(root=str(tmp_path / here)), "fusion/located", PairTables, "A_2015")
    assert str(tmp_path / there) in str(told.value)
    # The other year is in neither folder.
    with pytest.raises(StorageError, match="fusion run PAIR"):
        ask(ParquetIOManager(root=str(tmp_path / here)), "fusion/located", PairTables, "A_2017")
