"""The real NHTS household files of 2017 and 2022 (and the vehicles of 2022) say what their publisher says of them."""

from __future__ import annotations

import numpy as np
import pytest

from fusion_pipeline.registry import load_registry
from fusion_pipeline.settings import load_settings
from fusion_pipeline.surveys.codebook import load_codebook
from fusion_pipeline.surveys.ingest import RawPart, ingest_with_report

pytestmark = pytest.mark.realdata


def ingested(shared, key: str, tmp_path):
    from fusion_pipeline.definitions import raw_files

    vintage = load_registry().surveys[key]
    settings = load_settings(data=tmp_path, raw=shared / "data", source="public", offline=True)
    files = raw_files(settings).survey(vintage)
    parts = {file.role: [RawPart(file.path, file.absent, file.member)] for file in files}
    return ingest_with_report(parts["households"], load_codebook(vintage.codebook), "households", parts)


@pytest.fixture(scope="module")
def nhts_2017(shared, tmp_path_factory):
    return ingested(shared, "NHTS_2017", tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def nhts_2022(shared, tmp_path_factory):
    return ingested(shared, "NHTS_2022", tmp_path_factory.mktemp("data"))


def shares(table, name: str) -> dict[str, float]:
    """Weighted shares of all households, those that did not answer among them."""
    frame = table.select(["weight", name]).to_pandas()
    return (frame.groupby(name, observed=False)["weight"].sum() / frame["weight"].sum()).to_dict()


def test_households_of_2017_are_those_published(nhts_2017) -> None:
    table, report = nhts_2017
    assert report.rows_read == report.rows_kept == 129_696
    assert table["weight"].to_numpy().sum() == pytest.approx(118_208_251, abs=1)
    vehicles = np.average(table["hhvehcnt"].to_numpy(), weights=table["weight"].to_numpy())
    assert vehicles == pytest.approx(1.88, abs=0.005)


def test_what_persons_vehicles_trips_and_replicates_would_tell_of_2017_is_left_out_by_name(nhts_2017) -> None:
    table, report = nhts_2017
    reasons = {
        name: report.left_out[name] for name in ("gstotcst", "tripnum_work", "health", "rep_1", "rep_98")
    }
    assert reasons == {
        "gstotcst": "file vehicles",
        "tripnum_work": "file trips",
        "health": "file persons",
        "rep_1": "file replicates",
        "rep_98": "file replicates",
    }
    assert set(load_codebook("nhts_2017").households.variables) <= set(table.column_names)


@pytest.mark.parametrize(
    ("name", "unanswered", "agree"),
    [
        # Weighted counts of the publisher's codebook v1.1: BIKE2SAVE's 7,271,218 agree and 3,047,925 strongly agree.
        ("bike2save", 5894, (7_271_217.9 + 3_047_924.8) / 118_208_251),
        ("place", 3253, None),
        ("price", 1007, None),
        ("ptrans", 5189, None),
    ],
)
def test_opinions_of_2017_have_the_published_frequencies(nhts_2017, name, unanswered, agree) -> None:
    table, report = nhts_2017
    assert report.missing[name] == unanswered
    found = shares(table, name)
    assert list(found) == [
        "Strongly disagree",
        "Disagree",
        "Neither Agree or Disagree",
        "Agree",
        "Strongly agree",
    ]
    assert all(0.02 < share < 0.5 for share in found.values())
    if agree is not None:
        assert found["Agree"] + found["Strongly agree"] == pytest.approx(agree, abs=1e-6)


def test_divisions_of_2017_weigh_what_the_codebook_says(nhts_2017) -> None:
    found = shares(nhts_2017[0], "division")
    published = {"New England": 5_628_844, "Middle Atlantic": 15_377_694, "Pacific": 17_874_256}
    for division, households in published.items():
        assert found[division] * 118_208_251 == pytest.approx(households, abs=2)


def test_households_and_vehicles_of_2022_are_those_published_and_agree(nhts_2022) -> None:
    table, report = nhts_2022
    vehicles = report.relations["vehicles"]
    assert table.num_rows == 7_893
    assert (vehicles.rows, vehicles.outside, vehicles.differing) == (14_684, 0, 0)
    assert table["vehicles"].to_pylist() == table["hhvehcnt"].to_pylist()
    assert table["weight"].to_numpy().sum() == pytest.approx(127_544_707, rel=1e-6)
    assert "annmiles" in table.column_names
    assert report.left_out["tripnum"] == "file trips"
