"""What the command line makes again when one thing changes: exactly that."""

import dagster as dg
import pytest

from fusion_pipeline.errors import StorageError
from fusion_pipeline.running import chunk_runs, run_all, run_pair
from tests.conftest import PAIR, Run
from tests.edits import ACS, RECS, change_answer, in_the_way
from tests.lineage import Made, chunks, downstream, of_pair

pytestmark = pytest.mark.slow


def made(outcomes) -> set[Made]:
    """Asset partitions that were really made."""
    return {
        (m.asset_key.to_user_string(), m.partition)
        for _, outcome in outcomes
        if outcome is not None
        for m in outcome.materialized
        if not m.metadata["reused"].value
    }


def again(run: Run, **how) -> set:
    return made(run_pair(PAIR, run.settings, run.instance, **how))


def test_nothing_changed_and_nothing_is_made(complete_pair) -> None:
    assert again(complete_pair) == set()


def test_change_of_recs_makes_what_depends_on_it_and_nothing_else(complete_pair) -> None:
    change_answer(complete_pair.layout, RECS)
    assert again(complete_pair) == downstream(RECS) & of_pair()


def test_change_of_an_acs_year_makes_what_depends_on_it_and_nothing_else(complete_pair) -> None:
    change_answer(complete_pair.layout, ACS)
    assert again(complete_pair) == downstream(ACS) & of_pair()


def test_lost_chunk_is_made_alone_with_the_same_bytes(complete_pair) -> None:
    file = complete_pair.layout.implicate(PAIR, 7)
    before = file.read_bytes()
    file.unlink()
    # What is made from the chunk stays: the chunk came out as it was.
    assert again(complete_pair) == chunks("06-10")
    assert file.read_bytes() == before


def test_range_of_chunks_is_drawn_by_itself_and_the_pair_then_reuses_it(complete_pair) -> None:
    for m in range(1, 6):
        complete_pair.layout.implicate(PAIR, m).unlink()
    with dg.DagsterInstance.ephemeral() as elsewhere:
        alone = made(run_all(chunk_runs(PAIR, "01-05"), complete_pair.settings, elsewhere))
    assert alone == chunks("01-05")
    assert again(complete_pair) == set()


def test_failed_chunk_is_made_alone_once_its_cause_is_mended(complete_pair) -> None:
    with in_the_way(complete_pair.layout, 7), pytest.raises(StorageError, match=r"implicate=07\.parts"):
        again(complete_pair)
    assert again(complete_pair) == chunks("06-10")


def test_force_makes_everything_again(complete_pair) -> None:
    assert again(complete_pair, force=True) == of_pair()
