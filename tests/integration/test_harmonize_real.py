"""The real RECS 2015 and ACS 2013 Delaware files meet in the harmonies: every level that occurs has a group."""

import os
from pathlib import Path

import pytest

from fusion_pipeline.harmonize import common, harmonize_donor, harmonize_recipient, load_harmonies, similarity
from fusion_pipeline.registry import load_registry
from fusion_pipeline.surveys.codebook import load_codebook
from fusion_pipeline.surveys.ingest import RawPart, ingest, match_records

pytestmark = pytest.mark.realdata
DATA = Path(os.environ.get("FUSION_SHARED", Path(__file__).parents[2] / ".." / "shared")) / "data"


@pytest.fixture(scope="module")
def surveys():
    registry = load_registry()
    recs = registry.surveys["RECS_2015"].files["households"].alternatives[0]
    acs = registry.recipients["2013"].files
    codebook = load_codebook("acs_2013")
    donor_book = load_codebook("recs_2015")
    absent = recs.lacks(donor_book.raw_columns("households"))
    donors = ingest([RawPart(DATA / recs.path, absent=absent)], donor_book, "households")
    households = ingest([RawPart(DATA / acs["households"].alternatives[0].path)], codebook, "households")
    persons = ingest([RawPart(DATA / acs["persons"].alternatives[0].path)], codebook, "persons")
    return (
        donors,
        households,
        match_records(persons, households, codebook.persons, "persons")[0],
    )


@pytest.mark.parametrize("harmony_set", ["current", "paper"])
def test_thirteen_harmonies_join_the_partial_recs_file_and_delaware(surveys, harmony_set):
    donors, households, persons = surveys
    harmony = load_harmonies("RECS", "2015", "2013", harmony_set)
    donor, recipient, skipped = common(
        harmonize_donor(donors, harmony), harmonize_recipient(households, persons, harmony)
    )
    alike = similarity(donor, recipient).to_pandas().set_index("predictor")["similarity"]
    assert len(alike) == 13
    assert len(alike) + len(skipped) == len(harmony.entries)
    assert (alike > 0.8).all()
    assert alike["hhage__agep"] > 0.95
