"""The job `ingest_survey` on a small mirror folder: versions, provenance, checks that stop, bad raw input."""

import shutil
from dataclasses import replace

import dagster as dg
import pytest

from assets import recipes
from assets.ingestion import check_related
from assets.recipient import acs_households, acs_persons
from assets.survey import survey_households, survey_persons
from fusion_pipeline.errors import CheckError, IngestError, RawFileError
from fusion_pipeline.fusion import imputation
from fusion_pipeline.storage.tables import TableRef
from fusion_pipeline.surveys import imputing, ingest
from fusion_pipeline.surveys.codebook import load_codebook
from fusion_pipeline.surveys.relating import Relation
from fusion_pipeline.validation import specifications
from fusion_pipeline.validation.expectations import TableSpec
from tests.assets.conftest import HOUSEHOLDS, INGEST, recs_columns, write_recs

HOUSEHOLDS_KEY = dg.AssetKey(["survey", "households"])
DICTIONARY_KEY = dg.AssetKey(["survey", "dictionary"])


def versions(outcome) -> dict[str, str]:
    return {m.asset_key.to_user_string(): m.tags["dagster/data_version"] for m in outcome.materialized}


def metadata(outcome, name: str) -> dict:
    [found] = [m for m in outcome.materialized if m.asset_key.to_user_string() == name]
    return {key: value.value for key, value in found.metadata.items()}


def failed_checks(place) -> set[tuple[str, str]]:
    [run] = place.instance.get_runs()
    logged = place.instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
    found = (entry.dagster_event.event_specific_data for entry in logged)
    return {(check.asset_key.to_user_string(), check.check_name) for check in found if not check.passed}


def test_chain_is_made_and_every_check_passes(ingested) -> None:
    place, outcome = ingested
    made = list(versions(outcome))
    tables = ["survey/dictionary", "survey/dictionary_page", "survey/households", "survey/persons"]
    assert sorted(made) == [*tables, "survey/raw"]
    assert made[:2] == ["survey/raw", "survey/households"]
    assert {(c.asset_key.to_user_string(), c.check_name) for c in outcome.checks} == {
        (f"survey/{table}", aspect)
        for table in ("households", "persons", "dictionary")
        for aspect in ("schema", "values")
    } | {
        (f"survey/{table}", aspect)
        for table in ("households", "persons")
        for aspect in ("budget", "related_records")
    }
    assert all(check.passed for check in outcome.checks)
    assert TableRef(place.layout.table(("survey", "households"), "RECS_2015")).num_rows == HOUSEHOLDS


def test_materialization_shows_rows_columns_origin_and_what_was_dropped(ingested) -> None:
    _, outcome = ingested
    assert metadata(outcome, "survey/raw")["origin"] == "mirror"
    shown = metadata(outcome, "survey/households")
    assert shown["dagster/row_count"] == shown["rows read"] == HOUSEHOLDS
    names = [column.name for column in shown["dagster/column_schema"].columns]
    assert names[0] == "hid"
    assert "rep_1 .. rep_96" in names
    assert shown["variables left out"] == {}


def test_provenance_lists_the_versions_of_the_inputs_in_metadata_and_file(ingested) -> None:
    place, outcome = ingested
    version = versions(outcome)
    shown = metadata(outcome, "survey/households")["provenance"]
    # Everybody in the sample was asked everything; numbers that may be skipped are counted all the same.
    recs = load_codebook("recs_2015").households.variables
    skippable = [name for name, v in recs.items() if not v.categorical and v.not_applicable is not None]
    assert shown == {
        "asset": "survey/households",
        "partition": "RECS_2015",
        "code_version": f"{ingest.VERSION}.{imputing.VERSION}.{imputation.VERSION}",
        "inputs": {"survey/raw[RECS_2015]": version["survey/raw"]},
        "imputed": {},
        "outside": {name: [0, 0.0] for name in skippable},
        "settings": {**recipes.imputed("RECS_2015"), "seed": 1},
    }
    for name, upstream in (("households", ["raw"]), ("dictionary", ["households", "persons"])):
        written = TableRef(place.layout.table(("survey", name), "RECS_2015")).provenance
        assert written["digest"] == version[f"survey/{name}"]
        assert written["inputs"] == {f"survey/{u}[RECS_2015]": version[f"survey/{u}"] for u in upstream}


def test_same_input_gives_the_same_versions_and_bytes(place, ingested) -> None:
    elsewhere, before = ingested
    again = place.run()
    # Another folder, another instance: the record of raw files says where they lie, its version does not.
    assert versions(again) == versions(before)
    for name in ("households", "dictionary"):
        paths = [p.layout.table(("survey", name), "RECS_2015") for p in (place, elsewhere)]
        assert paths[0].read_bytes() == paths[1].read_bytes()


def test_unknown_code_stops_the_run_with_file_column_and_value_and_what_was_there_stays(
    place, ingested
) -> None:
    elsewhere, before = ingested
    shutil.copytree(elsewhere.layout.root, place.layout.root)
    tables = {n: place.layout.table(("survey", n), "RECS_2015") for n in ("households", "dictionary")}
    bytes_before = {name: path.read_bytes() for name, path in tables.items()}
    path = place.rewrite(FUELHEAT=["1"] * (HOUSEHOLDS - 2) + ["99", "99"])

    with pytest.raises(IngestError) as error:
        place.run()
    for part in (path.name, "FUELHEAT", "99", "2"):
        assert part in str(error.value)
    # The new record of raw files was complete and is published; what is made from it is the old.
    assert {name: path.read_bytes() for name, path in tables.items()} == bytes_before
    record = TableRef(place.layout.table(("survey", "raw"), "RECS_2015"))
    assert record.provenance["digest"] != versions(before)["survey/raw"]
    assert place.instance.get_latest_materialization_event(HOUSEHOLDS_KEY) is None

    # Put right, but not as it was: every version is another one, but that of the persons, of whom there are none.
    place.rewrite(TOTROOMS=["4"] * HOUSEHOLDS)
    after = versions(place.run())
    assert [n for n, version in versions(before).items() if after[n] == version] == ["survey/persons"]


def test_raw_file_without_a_column_stops_the_run_with_its_name(place) -> None:
    columns = recs_columns()
    del columns["TYPEHUQ"]
    path = write_recs(place.settings.raw, columns)
    with pytest.raises(IngestError, match=f"{path.name}.*TYPEHUQ"):
        place.run()
    assert not place.layout.table(("survey", "households"), "RECS_2015").exists()


def test_mirror_without_the_raw_file_stops_the_run_with_the_places_looked_at(place) -> None:
    (place.settings.raw / "recs_2015" / "recs2015_public_v4.csv").unlink()
    with pytest.raises(RawFileError, match=r"recs2015_public_v4\.csv.*Looked at.*https://www\.eia\.gov"):
        place.run()


def test_blocking_check_that_fails_stops_what_is_downstream(place, monkeypatch) -> None:
    original = specifications._microdata

    def stricter(*arguments) -> TableSpec:
        spec = original(*arguments)
        columns = [replace(c, maximum=2) if c.name == "totrooms" else c for c in spec.columns]
        return replace(spec, columns=tuple(columns))

    monkeypatch.setattr(specifications, "_microdata", stricter)
    with pytest.raises(
        CheckError, match=r"ingest_survey RECS_2015: 1 blocking.*survey/households: values; nothing"
    ):
        place.run()
    assert failed_checks(place) == {("survey/households", "values")}
    # The table itself is published, so that one can look at what is wrong; nothing is made from it.
    assert place.layout.table(("survey", "households"), "RECS_2015").exists()
    assert place.instance.get_latest_materialization_event(HOUSEHOLDS_KEY) is not None
    assert place.instance.get_latest_materialization_event(DICTIONARY_KEY) is None
    assert not place.layout.table(("survey", "dictionary"), "RECS_2015").exists()
    [run] = place.instance.get_runs()
    assert run.status == dg.DagsterRunStatus.FAILURE
    assert run.job_name == INGEST.job


@pytest.mark.parametrize(
    ("differing", "passed", "severity"), [(0, True, "WARN"), (1, False, "WARN"), (11, False, "ERROR")]
)
def test_records_of_other_households_stop_what_follows_beyond_what_the_codebook_tolerates(
    differing, passed, severity
) -> None:
    relation = Relation(1_500, 0, 0, differing, telling=1_000, tolerated=0.01)
    found = check_related({"vehicles": relation, "trips": Relation(5, 0, 990)})
    assert (found.passed, found.severity.value) == (passed, severity)
    assert f"{differing} of 1,000 say" in found.metadata["found"].value


def test_checks_of_related_records_stop_what_follows() -> None:
    for definition in (survey_households, survey_persons, acs_households, acs_persons):
        [spec] = [spec for spec in definition.check_specs if spec.name == "related_records"]
        assert spec.blocking
