import json

import numpy as np
import pyarrow as pa
import pytest
import yaml

from fusion_pipeline.errors import GeographyError, RegistryError
from fusion_pipeline.geography.dataset_summaries import summarize_dataset
from fusion_pipeline.geography.datasets import SpatialDataset, choose_vintage
from fusion_pipeline.registry import PATH, load_registry

REGISTRY = load_registry()


@pytest.fixture(scope="module")
def concordances(categories):
    """Two states, three PUMAs of 2010 of which the second was split after 2020."""
    rows = [
        # state, puma10, puma20, county, tract10, tract20, zcta, units
        ("09", "00100", "20100", "09001", "09001000100", "09001000100", "06001", 10.0),
        ("10", "00101", "00101", "10001", "10001000100", "10001000100", "19901", 30.0),
        ("10", "00101", "00101", "10001", "10001000100", "10001000100", "19902", 10.0),
        ("10", "00102", "00102", "10003", "10003000100", "10003000101", "19902", 20.0),
        ("10", "00102", "00103", "10003", "10003000100", "10003000102", "19903", 20.0),
    ]
    state, puma10, puma20, county, tract10, tract20, zcta, units = zip(*rows, strict=True)
    shared = {"state": categories(state), "county": categories(county), "weight": pa.array(units)}

    def table(puma, tract, other_puma, other_tract, name):
        return pa.table(
            {
                name: categories(puma),
                **shared,
                "tract": pa.array(tract),
                "zcta": pa.array(zcta),
                "other_tract": pa.array(other_tract),
                "other_puma": categories(other_puma),
            }
        )

    return {
        "puma10": table(puma10, tract10, puma20, tract20, "puma10"),
        "puma20": table(puma20, tract20, puma10, tract10, "puma20"),
    }


def dataset(
    unit: str, *, key=("unit",), vintages=("2015",), name="values_{vintage}.csv", **more
) -> SpatialDataset:
    more.setdefault("variables", [{"name": "x", "of": "X"}])
    table = {"file": {"name": name, "url": "https://example.org/x"}, "key": list(key)}
    table |= {field: more.pop(field) for field in ("weight", "layout", "item", "codes") if field in more}
    return SpatialDataset.model_validate(
        {"description": "Made up", "unit": unit, "vintages": vintages, "tables": {"t": table}, **more}
    )


def summarized(folder, entry: SpatialDataset, concordances, **texts: str):
    """Summaries by PUMA of every definition; notes are of PUMAs of 2010, or of what there is."""
    paths = {}
    for role, text in texts.items():
        paths[role] = folder / f"{role}.csv"
        paths[role].write_text(text)
    results = {p: summarize_dataset("made", entry, paths, table) for p, table in concordances.items()}
    frames = {p: result.table.to_pandas().astype({"vintage": str}) for p, result in results.items()}
    return next(iter(results.values())), frames


def of(frames: dict, pumas: str, variable: str = "made..x", vintage: str | None = None) -> list[float]:
    frame = frames[pumas]
    frame = frame if vintage is None else frame[frame["vintage"] == vintage]
    return [None if np.isnan(x) else round(float(x), 4) for x in frame[variable]]


def test_mean_of_zip_codes_is_weighed_by_the_housing_units_of_the_intersection(tmp_path, concordances):
    text = "unit,X\n06001,7\n19901,1\n19902,2\n19903,4\n"
    _, frame = summarized(tmp_path, dataset("zcta"), concordances, t_2015=text)
    assert of(frame, "puma10") == [7, (30 * 1 + 10 * 2) / 40, 3]
    assert of(frame, "puma20") == [7, 1.25, 2, 4]
    assert frame["puma10"]["weight"].tolist() == [10, 40, 40]


def test_median_is_the_value_with_half_of_the_units_below_it(tmp_path, concordances):
    entry = dataset("zcta", variables=[{"name": "x", "of": "X", "statistic": "median"}])
    _, frame = summarized(
        tmp_path, entry, concordances, t_2015="unit,X\n19901,5\n19902,1\n19903,4\n06001,9\n"
    )
    assert of(frame, "puma10") == [9, 5, 1]


def test_several_utilities_of_a_zip_code_count_by_their_median(tmp_path, concordances):
    entry = dataset("zcta", variables=[{"name": "x", "of": "X", "statistic": "median", "positive": True}])
    text = "unit,X\n6001,1\n6001,2\n6001,9\n6001,0\n"
    result, frame = summarized(tmp_path, entry, concordances, t_2015=text)
    assert of(frame, "puma10")[0] == 2
    assert "cells without value: {'x': 1}" in " ".join(result.notes.values())


def test_share_counts_the_units_with_a_level(tmp_path, concordances):
    entry = dataset("tract", variables=[{"name": "x", "of": "X", "statistic": "share", "levels": ["yes"]}])
    text = "unit,X\n09001000100,yes\n10001000100,no\n10003000100,yes\n"
    _, frame = summarized(tmp_path, entry, concordances, t_2015=text)
    assert of(frame, "puma10") == [1, 0, 1]


def test_ratio_is_of_sums_over_the_classes_of_a_unit(tmp_path, concordances):
    variables = [
        {"name": "x", "of": "A", "per": "N", "factor": 1000},
        {"name": "rich", "of": "N", "where": {"stub": ["6"]}, "per": "N"},
    ]
    text = "unit,stub,A,N\n06001,1,10,3\n06001,6,50,1\n"
    _, frame = summarized(tmp_path, dataset("zcta", variables=variables), concordances, t_2015=text)
    assert of(frame, "puma10")[0] == 15_000
    assert of(frame, "puma10", "made..rich")[0] == 0.25


def test_block_groups_weigh_by_their_housing_units_within_a_tract(tmp_path, concordances):
    entry = dataset("block_group", key=("S", "C", "T", "B"), weight="HU", missing=[-99999])
    text = "S,C,T,B,X,HU\n10,1,100,1,1,30\n10,1,100,2,5,10\n10,1,100,3,-99999,60\n"
    _, frame = summarized(tmp_path, entry, concordances, t_2015=text)
    assert of(frame, "puma10") == [None, 2, None]


def test_tracts_of_2010_reach_pumas_of_2020_through_the_overlap(tmp_path, concordances):
    text = "unit,X\n10001000100,1\n10003000100,2\n"
    _, frame = summarized(tmp_path, dataset("tract"), concordances, t_2015=text)
    assert of(frame, "puma20") == [None, 1, 2, 2]


def test_pumas_of_either_census_reach_the_other_through_the_overlap(tmp_path, concordances):
    entry = dataset("puma", key=("S", "P"), census={"2010": 2012, "2020": 2022}, vintages=["2015", "2023"])
    old = "S,P,X\n09,00100,7\n10,00101,1\n10,00102,2\n"
    new = "S,P,X\n9,20100,7\n10,101,1\n10,102,2\n10,103,6\n"
    _, frame = summarized(tmp_path, entry, concordances, t_2015=old, t_2023=new)
    assert of(frame, "puma10", vintage="2015") == [7, 1, 2]
    assert of(frame, "puma20", vintage="2015") == [7, 1, 2, 2]
    assert of(frame, "puma10", vintage="2023") == [7, 1, 4]


def test_planning_regions_of_connecticut_stand_for_its_counties(tmp_path, concordances):
    text = (
        "unit,X\n0500000US09110,4\n0500000US09120,6\n0500000US10001,1\n0500000US10003,2\n860Z200US10003,99\n"
    )
    result, frame = summarized(tmp_path, dataset("county"), concordances, t_2015=text)
    assert of(frame, "puma10") == [5, 1, 2]
    assert "unknown" not in " ".join(result.notes.values())


def test_a_dataset_of_tracts_in_planning_regions_has_no_value_in_connecticut(tmp_path, concordances):
    text = "unit,X\n09110000100,4\n10001000100,1\n10003000100,2\n"
    result, frame = summarized(tmp_path, dataset("tract"), concordances, t_2015=text)
    assert of(frame, "puma10") == [None, 1, 2]
    assert any("units unknown to the concordance: 1" in note for note in result.notes.values())


def test_puerto_rico_is_left_out_and_counted(tmp_path, concordances):
    text = "unit,X\n10001000100,1\n72001000100,3\n"
    result, _ = summarized(tmp_path, dataset("tract"), concordances, t_2015=text)
    assert any("units in territories: 1" in note for note in result.notes.values())


def test_unit_that_the_concordance_has_not_is_counted(tmp_path, concordances):
    text = "unit,X\n10001000100,1\n10001999999,3\n"
    result, frame = summarized(tmp_path, dataset("tract"), concordances, t_2015=text)
    assert any("units unknown to the concordance: 1" in note for note in result.notes.values())
    assert of(frame, "puma10")[1] == 1


def test_units_of_another_census_are_refused(tmp_path, concordances, monkeypatch):
    # A small concordance knows few units anyhow: the check is for complete ones.
    monkeypatch.setattr("fusion_pipeline.geography.dataset_summaries.states", lambda: {"09": 1, "10": 2})
    with pytest.raises(
        GeographyError, match="100% of its units are not in the concordance, such as 10001999998"
    ):
        summarized(tmp_path, dataset("tract"), concordances, t_2015="unit,X\n10001999998,1\n10001999999,3\n")


def test_value_that_covers_less_than_half_of_a_puma_is_none(tmp_path, concordances):
    _, frame = summarized(tmp_path, dataset("zcta"), concordances, t_2015="unit,X\n19902,2\n19903,4\n")
    assert of(frame, "puma10") == [None, None, 3]


def test_series_give_a_vintage_for_each_of_their_years(tmp_path, concordances):
    entry = dataset(
        "state", key=("State",), name="all.csv", layout="series", item="MSN", codes="usps", vintages=["2014..2016"],
        variables=[{"name": "x", "of": "ES", "positive": True}],
    )  # fmt: skip
    text = "Status,State,MSN,2013,2014,2015\nF,DE,ES,1,2,3\nF,CT,ES,1,0,\nF,US,ES,9,9,9\nF,DE,NG,5,5,5\n"
    _, frame = summarized(tmp_path, entry, concordances, t=text)
    assert of(frame, "puma10", vintage="2014") == [None, 2, 2]
    assert of(frame, "puma10", vintage="2015") == [None, 3, 3]
    assert set(frame["puma10"]["vintage"]) == {"2014", "2015"}
    with pytest.raises(GeographyError, match="has MSN ES of DE more than once"):
        summarized(tmp_path, entry, concordances, t=text + "F,DE,ES,1,2,3\n")


STATIONS = "USC00060001{:12d}S\nUSC00060002{:12d}S\nUSC00070001{:12d}S\nCAW00064757{:12d}S\n"


def normals(**more) -> SpatialDataset:
    more = {
        "key": (),
        "vintages": ["always"],
        "name": "normals.txt",
        "layout": "stations",
        "codes": "noaa",
    } | more
    return dataset("state", **more, variables=[{"name": "x", "of": "value", "statistic": "median"}])


def test_state_takes_the_median_of_its_cooperative_stations(tmp_path, concordances):
    _, frame = summarized(tmp_path, normals(), concordances, t=STATIONS.format(10, 30, -7777, 99))
    assert of(frame, "puma10") == [20, 0, 0]


def test_state_without_a_station_has_no_normals_and_borrows_none(tmp_path, concordances):
    result, frame = summarized(tmp_path, normals(), concordances, t=STATIONS.format(-9999, -6666, 5, 99))
    assert of(frame, "puma10") == [None, 5, 5]
    assert "PUMAs without value: {'x': 1}" in result.notes["always"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text[:-3], "line 4 is not a station"),
        (lambda text: text.replace("10S", "1 0S", 1), "line 1 is not a station"),
        (lambda text: text.replace("   30S", "-1234S"), "line 2 has the unknown code -1234"),
    ],
)
def test_damaged_normals_are_refused(tmp_path, concordances, change, message):
    with pytest.raises(GeographyError, match=message):
        summarized(tmp_path, normals(), concordances, t=change(STATIONS.format(10, 30, 20, 99)))


def test_api_answer_is_a_table_of_text_and_signs_for_no_value(tmp_path, concordances):
    entry = dataset("puma", key=("state", "public use microdata area"), missing=[-666666666])
    path = tmp_path / "medians.json"
    rows = [
        ["X", "state", "public use microdata area"],
        ["1.5", "10", "00101"],
        ["-666666666", "10", "00102"],
    ]
    path.write_text(json.dumps([*rows, [None, "09", "00100"]]))
    result = summarize_dataset("made", entry, {"t_2015": path}, concordances["puma10"])
    assert of({"puma10": result.table.to_pandas()}, "puma10") == [None, 1.5, None]


def test_dataset_whose_files_are_not_at_hand_is_an_empty_table_with_all_its_names(concordances):
    result = summarize_dataset("irs", REGISTRY.spatial["irs"], {}, concordances["puma10"])
    assert result.table.num_rows == 0
    assert {f"irs..{v.name}" for v in REGISTRY.spatial["irs"].variables} < set(result.table.column_names)
    assert "income_per_return" in result.notes["without any value"]


def test_concordance_that_does_not_know_the_units_leaves_the_dataset_out_by_name(tmp_path, concordances):
    poor = {"puma10": concordances["puma10"].select(["state", "puma10", "weight"])}
    result, _ = summarized(tmp_path, dataset("zcta"), poor, t_2015="unit,X\n19902,2\n")
    assert result.notes["2015"] == "left out, the concordance has no zcta"


def test_file_without_its_key_is_refused(tmp_path, concordances):
    with pytest.raises(GeographyError, match=r"t_2015\.csv: has no column unit"):
        summarized(tmp_path, dataset("zcta"), concordances, t_2015="zip,X\n19902,2\n")


def test_entry_in_the_registry_is_all_that_a_new_dataset_takes(tmp_path, concordances):
    content = yaml.safe_load(PATH.read_text())
    content["spatial"]["trees"] = {
        "description": "Trees by tract",
        "unit": "tract",
        "vintages": ["2011", "2016"],
        "tables": {"canopy": {"file": {"name": "trees_{vintage}.csv", "url": "https://example.org/{vintage}"},
        "key": ["GEOID"]}}, "variables": [{"name": "cover", "of": "PctCanopy", "factor": 0.01}],
    }  # fmt: skip
    path = tmp_path / "registry.yaml"
    path.write_text(yaml.safe_dump(content))
    entry = load_registry(path).spatial["trees"]
    assert {role: file.name for role, file in entry.files.items()} == {
        "canopy_2011": "trees_2011.csv",
        "canopy_2016": "trees_2016.csv",
    }
    assert entry.files["canopy_2016"].url == "https://example.org/2016"
    trees = tmp_path / "trees_2016.csv"
    trees.write_text("GEOID,PctCanopy\n10001000100,40\n10003000100,20\n")
    found = summarize_dataset("trees", entry, {"canopy_2016": trees}, concordances["puma10"])
    assert of({"puma10": found.table.to_pandas()}, "puma10", "trees..cover") == [None, 0.4, 0.2]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(variables=d["variables"] * 2), "is named twice"),
        (lambda d: d["variables"][0].update(statistic="share"), "a share, and only a share, has levels"),
        (lambda d: d["variables"][0].update(table="elsewhere"), "there is no table elsewhere"),
        (lambda d: d.update(vintages=["always", "2015"]), "has no other vintage"),
        (lambda d: d["tables"]["returns"].update(key=[]), "a table has a key"),
    ],
)
def test_entry_that_contradicts_itself_is_refused(tmp_path, change, message):
    content = yaml.safe_load(PATH.read_text())
    change(content["spatial"]["irs"])
    path = tmp_path / "registry.yaml"
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(RegistryError, match=message):
        load_registry(path)


@pytest.mark.parametrize(
    ("vintages", "year", "chosen"),
    [
        (["always"], 1066, "always"),
        (["2013", "2015"], 2015, "2015"),
        # The earlier of two.
        (["2013", "2015"], 2014, "2013"),
        (["2010", "2017"], 2015, "2017"),
        # A gap that the window does not close.
        (["2010", "2017"], 2013, None),
        # Edges extend, however far.
        (["2012", "2015"], 2024, "2015"),
        (["2012", "2015"], 2001, "2012"),
        # A period covers its years.
        (["2015-2019", "2020"], 2017, "2015-2019"),
        (["2015-2019", "2021"], 2020, "2015-2019"),
        ([], 2015, None),
    ],
)
def test_year_takes_the_nearest_vintage_within_the_window(vintages, year, chosen):
    assert choose_vintage(vintages, year, window=2) == chosen
