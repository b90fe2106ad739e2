"""What backfills of a running instance make when one thing changes: exactly that.

Each asks for more than has to be made, and what need not be made says `reused`: what is asserted is found out by the
instance, not launched.
"""

import time

import dagster as dg
import pytest

from fusion_pipeline.partitions import IMPLICATES, REGISTRY
from fusion_pipeline.running import JobRun, run_all
from fusion_pipeline.settings import load_settings
from tests.conftest import PAIR
from tests.edits import ACS, RECS, change_answer, double_incomes, in_the_way
from tests.launching import backfill, end, launch, launch_failed, launch_ranges, materialized_since, told
from tests.lineage import Made, chunks, downstream, of_pair
from tests.serving import MANY, SIZES

pytestmark = pytest.mark.slow

POOL = "CEI_2015-2019"
SERVED = chunks(*MANY.chunks)
WHOLE = of_pair() - chunks(*IMPLICATES.chunks) | SERVED
"""All of the pair as the running instance cuts it, with more chunks than this process knows."""


def behind(raw: Made) -> set[Made]:
    """Return what of the pair depends on a raw file, as the running instance cuts it."""
    return downstream(raw) & of_pair() - chunks(*IMPLICATES.chunks) | SERVED


def test_backfill_of_an_acs_year_makes_what_depends_on_its_changed_file_and_reuses_what_does_not(ui) -> None:
    # The pair's own part is made by the next test, of which that of the year is reused.
    year = {made for made in behind(ACS) if made[1] == "2015"}
    beside = {made for made in WHOLE if made[1] in ("RECS_2015", "puma10")}
    change_answer(ui.layout, ACS)
    assert backfill(ui, year | beside) == told(year | beside, year)


def test_backfill_makes_what_depends_on_a_changed_survey_year_and_reuses_what_does_not(ui) -> None:
    beside = {made for made in WHOLE if made[1] in ("2015", "puma10")}
    change_answer(ui.layout, RECS)
    assert backfill(ui, behind(RECS) | beside) == told(behind(RECS) | beside, behind(RECS))


def test_backfill_of_a_pool_makes_its_changed_year_and_reuses_another(ui) -> None:
    years = REGISTRY.behind(POOL)
    ingesting = [*(JobRun("ingest_survey", year) for year in years), JobRun("pool_survey", POOL)]
    size = {name.removeprefix("FUSION_").lower(): value for name, value in SIZES.items()}
    settings = load_settings(data=ui.layout.root.parent, source="simulated", **size)
    with dg.DagsterInstance.ephemeral() as elsewhere:
        for _ in run_all(ingesting, settings, elsewhere):
            pass
    double_incomes(ui.layout.simulated_raw / "cei_2017" / "intrvw17.zip")
    changed = {at for at in downstream(("survey/raw", "CEI_2017")) if at[1] in ("CEI_2017", POOL)}
    beside = {at for at in downstream(("survey/raw", "CEI_2018")) if at[1] == "CEI_2018"}
    assert backfill(ui, changed | beside) == told(changed | beside, changed)


def test_backfill_of_a_range_of_chunks_draws_those_that_are_lost_and_leaves_others_alone(ui) -> None:
    lost = {m: ui.layout.implicate(PAIR, m) for m in (3, 7, 13)}
    before = {m: file.read_bytes() for m, file in lost.items()}
    for file in lost.values():
        file.unlink()
    started = time.time()
    identity = launch_ranges(ui, {"fusion/implicates": [(f"{PAIR}|06-10", f"{PAIR}|16-20")]})
    assert end(ui, identity) == "COMPLETED_SUCCESS"
    new = chunks("06-10", "11-15")
    assert materialized_since(ui, started) == told(new | chunks("16-20"), new)
    assert not lost[3].exists(), "its chunk was not in the range"
    assert backfill(ui, SERVED) == told(SERVED, chunks("01-05"))
    assert {m: file.read_bytes() for m, file in lost.items()} == before


def test_chunk_that_failed_in_a_backfill_is_launched_again_alone(ui) -> None:
    before = ui.layout.implicate(PAIR, 13).read_bytes()
    started = time.time()
    with in_the_way(ui.layout, 13):
        failed = launch(ui, SERVED, **{"fusion/force": "true"})
        assert end(ui, failed) == "COMPLETED_FAILED"
    alone = chunks("11-15")
    assert materialized_since(ui, started) == dict.fromkeys(SERVED - alone, False)
    started = time.time()
    assert end(ui, launch_failed(ui, failed)) == "COMPLETED_SUCCESS"
    assert materialized_since(ui, started) == dict.fromkeys(alone, False)
    assert ui.layout.implicate(PAIR, 13).read_bytes() == before


def test_two_backfills_of_the_same_chunk_at_once_both_end_well_and_leave_the_same_bytes(ui) -> None:
    file = ui.layout.implicate(PAIR, 7)
    before = file.read_bytes()
    only = chunks("06-10")
    for identity in [launch(ui, only, **{"fusion/force": "true"}) for _ in range(2)]:
        assert end(ui, identity) == "COMPLETED_SUCCESS"
    assert file.read_bytes() == before
    assert backfill(ui, only) == dict.fromkeys(only, True)
