"""Declared benchmarks hold together, and their figures are read from the right file, year and area."""

from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from fusion_pipeline.errors import RegistryError
from fusion_pipeline.geography.unit_values import read_vintages
from fusion_pipeline.inference.estimands import read_estimand
from fusion_pipeline.registry import load_registry
from fusion_pipeline.validation.published import (
    PATH,
    Benchmark,
    FromDataset,
    FromRecipient,
    Published,
    dataset_figures,
    load_published,
)

PRICE = FromDataset(dataset="eia", table="prices", column="ESRCD", positive=True)
DECLARED = yaml.safe_load(PATH.read_text())["benchmarks"]


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    prices = tmp_path / "pr_all.csv"
    prices.write_text(
        '"Data_Status","State","MSN","2014","2015"\n'
        '"2019F","DE","ESRCD",37.7,39.34\n"2019F","CA","ESRCD",49.0,0\n"2019F","US","ESRCD",36.0,37.08\n'
        '"2019F","DE","NGRCD",12.0,11.99\n'
    )
    return {"prices": prices}


@pytest.mark.parametrize("benchmark", load_published().benchmarks, ids=lambda b: b.name)
def test_every_benchmark_is_of_some_pair_and_can_be_estimated(benchmark) -> None:
    assert any(set(benchmark.fused) <= set(pair.variables) for pair in load_registry().pairs.values())
    read_estimand(benchmark.estimand)
    if isinstance(benchmark.figures, FromRecipient):
        read_estimand(benchmark.figures.estimand)
    assert benchmark.source.url.startswith("https://www")


def test_figures_of_a_year_are_by_state_without_the_nation_and_without_zeros(files) -> None:
    assert dataset_figures(PRICE, 2015, files).to_numpy().tolist() == [["10", 39.34]]
    assert dataset_figures(PRICE, 2014, files)["area"].tolist() == ["06", "10"]


def test_figures_that_are_not_at_hand_say_why(files) -> None:
    assert "neither in mirror nor cache" in dataset_figures(PRICE, 2015, {})
    assert "no ESRCD of 2016" in dataset_figures(PRICE, 2016, files)
    assert "not published for 1999" in dataset_figures(PRICE, 1999, files)


def test_a_table_of_figures_alone_is_not_read_for_predictors(files, tmp_path) -> None:
    damaged = tmp_path / "use_all_btu.csv"
    damaged.write_text("no csv of ours")
    found = list(read_vintages(load_registry().spatial["eia"], {**files, "use": damaged}))
    assert [values.vintage for values in found] == ["2014", "2015"]


def test_a_share_is_its_part_over_its_whole() -> None:
    [report] = [b for b in load_published().benchmarks if b.name == "homes_with_gas_nation"]
    assert report.figures.of("United States") == pytest.approx(68.6 / 118.2)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("homes_with_gas", {"figures": {"year": 2015, "values": {"Middle Earth": 1}}}, "Middle Earth"),
        ("homes_with_gas", {"area": "county"}, "area"),
        ("electricity_price", {"area": "puma"}, "are by state"),
        ("electricity_price", {"expect": {"correlation": 2}}, "correlation"),
        ("electricity_price", {"invented": 1}, "invented"),
    ],
)
def test_an_entry_that_contradicts_itself_is_refused(name, change, message) -> None:
    [entry] = [entry for entry in DECLARED if entry["name"] == name]
    with pytest.raises(ValidationError, match=message):
        Benchmark.model_validate({**entry, **change})


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([DECLARED[0], DECLARED[0]], "declared twice"),
        (
            [{**DECLARED[0], "figures": {"dataset": "eia", "table": "none", "column": "X"}}],
            "no dataset by state",
        ),
        (
            [{**DECLARED[0], "figures": {"dataset": "irs", "table": "returns", "column": "X"}}],
            "no dataset by state",
        ),
    ],
)
def test_a_registry_that_contradicts_itself_is_refused(entries, message) -> None:
    with pytest.raises(ValidationError, match=message):
        Published.model_validate({"benchmarks": entries})


def test_a_damaged_file_is_named(tmp_path) -> None:
    broken = tmp_path / "published.yaml"
    broken.write_text("benchmarks: [{name: x}]")
    with pytest.raises(RegistryError, match=r"published\.yaml"):
        load_published(broken)
