"""Area errors of a fusion pair: which variables are proxies, and what is measured on a small population."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from fusion_pipeline.errors import RegistryError
from fusion_pipeline.estimating import area_error_of
from fusion_pipeline.inference.area_error import AreaError, Proxy
from fusion_pipeline.registry import load_registry
from fusion_pipeline.storage.layout import Layout
from fusion_pipeline.storage.tables import TableRef, write_table
from fusion_pipeline.surveys.codebook import load_codebook
from fusion_pipeline.validation import area_proxies, pair_area_error
from fusion_pipeline.validation.area_proxies import Proxies, load_proxies

PAIR = "RECS_2015__ACS_2015"


def test_declared_proxies_are_acs_variables_with_their_levels() -> None:
    variables = load_codebook("acs_2015").households.variables
    declared = load_proxies()
    for one in (declared.group, *declared.proxies):
        labels = {str(label) for label in (variables[one.column].levels or {}).values()}
        assert set(one.levels) <= labels, one.name


def _values(tmp_path: Path, predictors: set[str], **columns: list) -> tuple:
    file = tmp_path / "households.parquet"
    table = {"hid": [3, 1, 2], "ten": ["Rented", "Other", "Rented"], **columns}
    write_table(file, pa.table(table), {})
    declared = Proxies.model_validate(
        {
            "group": {"name": "renter", "column": "ten", "levels": ["Rented"]},
            "proxies": [
                {"name": "value", "column": "valp"},
                {"name": "stamps", "column": "fs", "levels": ["Yes"]},
            ],
        }
    )
    recipient = pa.table({"hid": [1, 2, 3]})
    return pair_area_error._values(TableRef(file), recipient, declared, predictors)


def test_values_come_in_the_order_of_the_recipients(tmp_path) -> None:
    values, left_out = _values(tmp_path, set(), valp=[30.0, 10.0, 20.0], fs=["Yes", "No", "No"])
    assert values["value"].tolist() == [10, 20, 30]
    assert values["stamps"].tolist() == [False, False, True] and values["stamps"].dtype == bool
    assert values["renter"].tolist() == [False, True, True] and left_out == []


@pytest.mark.parametrize(
    ("predictors", "columns", "reason"),
    [
        ({"valp"}, {"valp": [1.0, 2.0, 3.0]}, "value: a predictor of the pair"),
        (set(), {}, "value: not in this vintage"),
        (set(), {"valp": [1.0, None, 3.0]}, "value: 1 answers are missing"),
        (set(), {"valp": [1.0, 1.0, 1.0]}, "value: the same everywhere"),
    ],
)
def test_unfit_proxies_are_left_out_by_name(tmp_path, predictors, columns, reason) -> None:
    values, left_out = _values(tmp_path, predictors, fs=["Yes", "No", "No"], **columns)
    assert left_out == [reason] and list(values.columns) == ["renter", "stamps"]


def test_group_that_parts_nobody_is_named(tmp_path) -> None:
    with pytest.raises(RegistryError, match=r"group renter.*same everywhere"):
        _values(tmp_path, set(), ten=["Rented"] * 3, valp=[1.0, 2.0, 3.0], fs=["Yes", "No", "No"])


def test_damaged_declaration_is_named(tmp_path) -> None:
    (tmp_path / "proxies.yaml").write_text("group: {name: renter}\nproxies: []\n")
    with pytest.raises(RegistryError, match=r"proxies\.yaml"):
        area_proxies.load_proxies(tmp_path / "proxies.yaml")


def test_spatial_predictors_made_from_a_proxy_do_not_predict_it() -> None:
    own = pair_area_error._own(
        ["property_value", "insurance"], ["acs..home_value", "acs..rooms", "noaa..hdd"]
    )
    assert own == {"property_value": ("acs..home_value",), "insurance": ()}


def test_some_areas_are_whole_areas_up_to_the_limit() -> None:
    recipient = pa.table({"state": ["1"] * 60 + ["2"] * 40, "puma10": ["a"] * 30 + ["b"] * 70})
    kept = pair_area_error._some_areas(recipient, PAIR, 1, 70)
    sizes = [int(kept[rows].sum()) for rows in (slice(0, 30), slice(30, 60), slice(60, 100))]
    assert sum(sizes) <= 70 and all(
        size in (0, whole) for size, whole in zip(sizes, (30, 30, 40), strict=True)
    )
    assert sum(sizes) >= 60


def test_estimates_take_a_measured_error_and_no_other(tmp_path) -> None:
    layout = Layout(tmp_path)
    assert area_error_of(PAIR, layout) is None
    proxies = tuple(
        Proxy(variable=v, icc=0.02, standard_error=0.01, icc_finer=0.02, part=0.5, residual_share=0.5, spread=0.1,
              areas=20) for v in "abcde"
    )  # fmt: skip
    for found in (proxies, ()):
        error = AreaError(area=("state", "puma10"), proxies=found, measured_on={})
        error.write(layout.area_error(PAIR))
        assert area_error_of(PAIR, layout) == (error if found else None)
    assert PAIR in load_registry().pairs
