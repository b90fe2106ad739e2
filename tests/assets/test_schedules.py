"""What each tick of a schedule or sensor asks for, on an instance that remembers what was made."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from fusion_pipeline.definitions import build_defs, raw_files
from fusion_pipeline.errors import StorageError
from fusion_pipeline.partitions import REGISTRY
from fusion_pipeline.schedules import SCHEDULES
from fusion_pipeline.sensors import SENSORS, new_raw_files
from fusion_pipeline.settings import load_settings
from fusion_pipeline.storage.layout import Layout
from fusion_pipeline.storage.receipts import write_receipt

WHEN = datetime(2027, 3, 2, 3, tzinfo=UTC)
RECS = REGISTRY.surveys["RECS_2015"].files["households"].name


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as made:
        yield made


@pytest.fixture
def on_disk():
    """A schedule's context takes no instance in memory."""
    with dg.instance_for_test() as made:
        yield made


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    """A mirror folder with RECS 2015 and the household file, not the person file, of ACS 2015."""
    put(tmp_path / "mirror", "recs_2015", RECS)
    put(tmp_path / "mirror", "acs_2015", "csv_hus.zip")
    return tmp_path / "mirror"


def put(mirror: Path, folder: str, name: str, text: str = "x") -> Path:
    path = mirror / folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, ns=(0, len(text)))
    return path


def resources(folder: Path, mirror: Path | None) -> dict:
    origin = "public" if mirror else "simulated"
    return {"raw_files": raw_files(load_settings(data=folder, raw=mirror, source=origin))}


def made(instance: dg.DagsterInstance, *assets: tuple[str, str]) -> None:
    for name, partition in assets:
        instance.report_runless_asset_event(dg.AssetMaterialization(name.split("/"), partition=partition))


def asked(result) -> list[tuple[str | None, str | None]]:
    requests = result.run_requests if isinstance(result, dg.SensorResult) else result
    return [(request.job_name, request.partition_key) for request in requests]


def tick(name: str, instance, **more):
    [schedule] = [schedule for schedule in SCHEDULES if schedule.name == name]
    with dg.build_schedule_context(instance=instance, scheduled_execution_time=WHEN, **more) as context:
        return schedule(context)


def look(instance, cursor: str | None, folder: Path, mirror: Path | None):
    with dg.build_sensor_context(
        instance=instance, cursor=cursor, resources=resources(folder, mirror)
    ) as context:
        return new_raw_files(context)


def test_everything_that_starts_runs_by_itself_is_off_until_switched_on() -> None:
    definitions = build_defs()
    assert {s.name for s in definitions.schedules} == {s.name for s in SCHEDULES}
    assert {s.name for s in definitions.sensors} == {s.name for s in SENSORS}
    assert all(s.default_status == dg.DefaultScheduleStatus.STOPPED for s in definitions.schedules)
    on = {s.name for s in definitions.sensors if s.default_status == dg.DefaultSensorStatus.RUNNING}
    assert on == {"killed_runs"}, "which starts nothing"


def test_code_location_loads_with_all_of_it() -> None:
    dg.Definitions.validate_loadable(build_defs())


def test_refresh_before_anything_was_made_is_skipped_with_the_reason(on_disk, tmp_path, mirror) -> None:
    result = tick("monthly_ingest_survey", on_disk, resources=resources(tmp_path, mirror))
    assert "Nothing has been ingested yet" in result.skip_message


def test_refresh_looks_at_what_was_made_and_lies_in_the_mirror(on_disk, tmp_path, mirror) -> None:
    made(on_disk, ("survey/raw", "RECS_2015"), ("acs/raw", "2015"))
    here = {"resources": resources(tmp_path, mirror)}
    [request] = tick("monthly_ingest_survey", on_disk, **here)
    assert (request.partition_key, request.run_key) == ("RECS_2015", "2027-03-02:RECS_2015")
    assert "lies in" in tick("monthly_ingest_recipient", on_disk, **here).skip_message
    put(mirror, "acs_2015", "csv_pus.zip")
    assert asked(tick("monthly_ingest_recipient", on_disk, **here)) == [("ingest_recipient", "2015")]
    made(on_disk, ("spatial/raw", "irs"))
    assert "lies in" in tick("monthly_find_places", on_disk, **here).skip_message
    # One of its vintages is enough: the others are left out.
    put(mirror, "spatial", "15zpallagi.csv")
    assert asked(tick("monthly_find_places", on_disk, **here)) == [("find_places", "irs")]


def test_refresh_of_simulated_surveys_asks_for_all_that_were_made_and_the_geography(
    on_disk, tmp_path
) -> None:
    made(on_disk, ("acs/raw", "2015"), ("geography/raw", "puma10"), ("spatial/raw", "eia"))
    here = {"resources": resources(tmp_path, None)}
    assert asked(tick("monthly_ingest_recipient", on_disk, **here)) == [("ingest_recipient", "2015")]
    assert asked(tick("monthly_build_concordance", on_disk, **here)) == [("build_concordance", "puma10")]
    assert asked(tick("monthly_find_places", on_disk, **here)) == [("find_places", "eia")]


def test_new_vintage_is_one_that_a_pair_needs_and_nobody_has_made(on_disk) -> None:
    pairs = REGISTRY.pairs.values()
    needed = {key for pair in pairs for donor in pair.donors for key in REGISTRY.behind(donor)}
    needed |= {pair.recipient for pair in pairs}
    years = needed & set(REGISTRY.recipients)
    assert {key for _, key in asked(tick("yearly_ingest_recipient", on_disk))} == years
    made(on_disk, ("acs/raw", "2015"))
    assert {key for _, key in asked(tick("yearly_ingest_recipient", on_disk))} == years - {"2015"}
    made(on_disk, *(("survey/raw", key) for key in needed & set(REGISTRY.surveys)))
    assert "has been ingested" in tick("yearly_ingest_survey", on_disk).skip_message


def test_weekly_validation_asks_once_a_tick(instance) -> None:
    assert tick("weekly_validation", instance).run_key == "2027-03-02"


def test_validation_of_the_store_names_what_is_not_as_it_was_written(instance, tmp_path) -> None:
    settings = load_settings(data=tmp_path, source="simulated")
    layout, job = Layout(settings.root), build_defs(settings).resolve_job_def("validate_store")
    report = layout.report("A__B")
    report.parent.mkdir(parents=True)
    report.write_text("whole")
    origin = {"asset": "quality/report", "partition": "A__B"}
    write_receipt(layout, "quality/report", "A__B", "1", [report], provenance=origin)
    assert job.execute_in_process(instance=instance).success
    report.write_text("half")
    with pytest.raises(
        StorageError, match=r"quality/report\[A__B\]: reports/A__B\.html is not as it was written"
    ):
        job.execute_in_process(instance=instance)


def test_weekly_comparison_asks_for_the_pairs_that_are_published(on_disk) -> None:
    assert "published yet" in tick("weekly_comparison", on_disk).skip_message
    pairs = list(REGISTRY.pairs)[:2]
    made(on_disk, *(("fusion/microdata", pair) for pair in pairs))
    assert [pair for _, pair in asked(tick("weekly_comparison", on_disk))] == pairs


def test_pairs_with_models_are_validated_weekly_on_their_own_donors(on_disk) -> None:
    assert "No pair has models" in tick("weekly_internal_validation", on_disk).skip_message
    made(on_disk, ("fusion/models", "RECS_2015__ACS_2015"), ("fusion/plan", "RECS_2015__ACS_2013"))
    [request] = tick("weekly_internal_validation", on_disk)
    assert (request.partition_key, request.run_key) == (
        "RECS_2015__ACS_2015",
        "2027-03-02:RECS_2015__ACS_2015",
    )


def test_report_follows_its_inputs_though_its_pair_was_not_validated_which_nothing_asks_for(instance) -> None:
    pair, definitions = "RECS_2015__ACS_2015", build_defs()
    report, validated = (dg.AssetKey(["quality", name]) for name in ("report", "internal"))
    before = ("fusion/harmonized", "fusion/prepared", "fusion/plan", "fusion/microdata")
    inputs = (*before, "quality/area_error", "quality/external")
    made(
        instance, ("acs/households", "2015"), ("geography/raw", "puma10"), ("geography/concordance", "puma10")
    )
    made(instance, *((name, pair) for name in (*inputs, "quality/report")))

    def asked(cursor=None):
        found = dg.evaluate_automation_conditions(
            definitions, instance, dg.AssetSelection.assets(report, validated), cursor=cursor
        )
        return found.cursor, found.get_num_requested(report), found.get_num_requested(validated)

    cursor, *_ = asked()
    made(instance, ("fusion/microdata", pair))
    cursor, *wanted = asked(cursor)
    assert wanted == [1, 0]
    made(instance, ("quality/report", pair))
    cursor, *wanted = asked(cursor)
    assert wanted == [0, 0]
    # Once it was validated, that is an input like the others.
    made(instance, ("quality/internal", pair))
    _, *wanted = asked(cursor)
    assert wanted == [1, 0]


def test_sensor_waits_until_a_file_stands_still_and_asks_once(instance, tmp_path, mirror) -> None:
    first = look(instance, None, tmp_path, mirror)
    assert asked(first) == []
    second = look(instance, first.cursor, tmp_path, mirror)
    assert asked(second) == [("ingest_survey", "RECS_2015")]
    third = look(instance, second.cursor, tmp_path, mirror)
    assert asked(third) == []
    assert "none of them new" in third.skip_reason.skip_message


def test_sensor_asks_again_when_a_file_changed_and_never_for_half_a_survey_year(
    instance, tmp_path, mirror
) -> None:
    cursor = None
    for _ in range(2):
        cursor = look(instance, cursor, tmp_path, mirror).cursor
    put(mirror, "recs_2015", RECS, "revised")
    growing = look(instance, cursor, tmp_path, mirror)
    assert asked(growing) == []
    again = look(instance, growing.cursor, tmp_path, mirror)
    assert asked(again) == [("ingest_survey", "RECS_2015")]
    assert "2015" not in json.loads(again.cursor)["last"], "ACS 2015 has households and no persons"
    [request] = again.run_requests
    assert request.run_key.endswith(f"{RECS}:7:7")


def test_sensor_without_a_mirror_folder_is_skipped_with_the_reason(instance, tmp_path) -> None:
    assert "FUSION_RAW" in look(instance, None, tmp_path, None).skip_message


def test_automation_makes_what_follows_from_a_raw_file_and_nothing_else(instance) -> None:
    """A change of RECS 2015 asks for its households; a pair follows only once they are made."""
    definitions = build_defs()
    upstream = [("survey/raw", "RECS_2015"), ("acs/raw", "2015"), ("acs/households", "2015")]
    made(instance, *upstream)
    first = dg.evaluate_automation_conditions(definitions, instance)
    assert first.total_requested == 0
    made(instance, ("survey/raw", "RECS_2015"))
    second = dg.evaluate_automation_conditions(definitions, instance, cursor=first.cursor)
    found = {
        (key.to_user_string(), partition)
        for key in definitions.resolve_asset_graph().get_all_asset_keys()
        for partition in second.get_requested_partitions(key)
    }
    # What has never been made waits for all of its inputs; the chain of one partition is asked for at once.
    chain = ("households", "persons", "dictionary", "dictionary_page")
    assert found == {(f"survey/{name}", "RECS_2015") for name in chain}
