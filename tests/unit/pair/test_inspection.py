"""What `fusion inspect` reads back from the files: versions, inputs, what is not there."""

import hashlib
import json

import pyarrow as pa
import pytest

from fusion_pipeline.fusion.modelset import FORMAT
from fusion_pipeline.inspection import artefacts_of
from fusion_pipeline.registry import load_registry
from fusion_pipeline.storage.artefacts import Artefact, write_artefact
from fusion_pipeline.storage.layout import Layout
from fusion_pipeline.storage.tables import write_table

NAME = "RECS_2015__ACS_2015"
PAIR = load_registry().pair(NAME)


@pytest.fixture
def layout(tmp_path) -> Layout:
    return Layout(tmp_path / "simulated")


def rows(layout: Layout) -> dict[str, tuple[str, ...]]:
    return {row[0]: row[1:] for row in artefacts_of(PAIR, NAME, layout)}


def test_every_stage_of_an_unmade_pair_is_listed_as_not_materialized(layout) -> None:
    found = rows(layout)
    assert list(found)[:7] == [
        *(f"survey/{stage}/RECS_2015" for stage in ("raw", "households", "persons", "dictionary")),
        *(f"acs/{stage}/2015" for stage in ("raw", "households", "persons")),
    ]
    assert {
        f"fusion/{stage}/{NAME}/{side}"
        for stage in ("harmonized", "located", "prepared")
        for side in ("donor", "recipient")
    } < set(found)
    assert {name for name in found if name.endswith("/draws")} == {
        f"fusion/{stage}/{NAME}/draws" for stage in ("located", "prepared")
    }
    assert list(found)[-8:] == [
        *(f"fusion/{stage}/{NAME}" for stage in ("microdata", "marginals")),
        f"quality/external/{NAME}",
        *(f"fusion/plan/{NAME}.json", f"models/{NAME}"),
        *(f"quality/area_error/{NAME}.json", f"quality/internal/{NAME}/summary.json", f"reports/{NAME}.html"),
    ]
    assert {row[2] for row in found.values()} == {"not materialized"}


def test_tables_of_a_pool_and_of_the_survey_years_behind_it_are_listed(layout) -> None:
    name = "CEI_2015-2019__ACS_2019"
    found = [row[0] for row in artefacts_of(load_registry().pair(name), name, layout)]
    assert {f"pool/{stage}/CEI_2015-2019" for stage in ("households", "persons", "dictionary")} < {*found}
    assert {"survey/raw/CEI_2017", "survey/persons/CEI_2017"} < {*found}


def test_artefact_shows_its_size_version_and_the_versions_it_was_made_from(layout) -> None:
    tables = {"donor": pa.table({"hid": [1, 2, 3]}), "recipient": pa.table({"hid": [1], "x": [2.0]})}
    artefact = Artefact(tables, {"inputs": {"survey/households[RECS_2015]": "0123456789abcdef"}})
    write_artefact(layout.tables(("fusion", "harmonized"), NAME), artefact)
    found = rows(layout)
    made_from = "survey/households[RECS_2015]@01234567"
    assert found[f"fusion/harmonized/{NAME}/donor"] == ("3", "1", artefact.digest[:8], made_from)
    assert found[f"fusion/harmonized/{NAME}/recipient"] == ("1", "2", artefact.digest[:8], made_from)
    assert found[f"fusion/located/{NAME}/donor"][2] == "not materialized"


def test_implicates_are_listed_in_order_with_their_model_set_and_recipient(layout) -> None:
    for implicate in (10, 2):
        origin = {"fingerprint": "f" * 64, "model_set": "a" * 64, "recipient": "b" * 64}
        write_table(layout.implicate(NAME, implicate), pa.table({"hid": [1, 2]}), origin)
    found = {name: row for name, row in rows(layout).items() if name.startswith("implicates")}
    assert list(found) == [f"implicates/{NAME}/implicate={m:02d}/part-0" for m in (2, 10)]
    assert set(found.values()) == {("2", "1", "ffffffff", "model_set@aaaaaaaa, recipient@bbbbbbbb")}


def test_plan_and_model_set_show_the_digests_by_which_others_name_them(layout) -> None:
    layout.plan(NAME).parent.mkdir(parents=True)
    layout.plan(NAME).write_text("{}")
    manifest = json.dumps({"files": {}, "format": FORMAT})
    layout.model_set(NAME).mkdir(parents=True)
    (layout.model_set(NAME) / "manifest.json").write_text(manifest)
    (layout.model_set(NAME) / "manifest.sha256").write_text(hashlib.sha256(manifest.encode()).hexdigest())
    plan, models = (hashlib.sha256(text.encode()).hexdigest()[:8] for text in ("{}", manifest))
    assert rows(layout)[f"fusion/plan/{NAME}.json"] == ("", "", plan, "")
    assert rows(layout)[f"models/{NAME}"] == ("", "", models, "")
