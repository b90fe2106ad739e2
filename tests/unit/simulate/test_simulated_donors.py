"""AHS and RECS 2020 as they are simulated: read by their codebooks, with the truth that was written beside them."""

from __future__ import annotations

import numpy as np
import pytest

from fusion_pipeline.registry import load_registry
from fusion_pipeline.simulate.mirror import simulate_folders
from fusion_pipeline.storage.tables import TableRef
from fusion_pipeline.surveys.codebook import load_codebook
from fusion_pipeline.surveys.ingest import RawPart, ingest_with_report, match_records

SIZE = 500
KEYS = ["AHS_2019", "RECS_2020"]


@pytest.fixture(scope="module")
def mirror(tmp_path_factory):
    folder = tmp_path_factory.mktemp("simulated") / "raw"
    folders = [load_registry().surveys[key].folder for key in KEYS]
    simulate_folders(folder, folders, households=500, donors=SIZE, seed=3)
    return folder


def _read(mirror, key, kind="households"):
    vintage = load_registry().surveys[key]
    file = vintage.files[kind]
    part = RawPart(mirror / vintage.folder / file.name, (), file.member)
    codebook = load_codebook(vintage.codebook)
    return ingest_with_report([part], codebook, kind), codebook


@pytest.mark.parametrize("key", KEYS)
def test_a_simulated_donor_is_read_whole_and_agrees_with_its_truth(mirror, key) -> None:
    (table, report), _ = _read(mirror, key)
    assert (table.num_rows, report.left_out) == (SIZE, {})
    folder = load_registry().surveys[key].folder
    truth = TableRef(mirror / "truth" / f"{folder}.parquet").read()
    assert truth["hid"].to_pylist() == table["hid"].to_pylist()
    shared = [n for n in truth.column_names if n in table.column_names and n not in ("hid", "state")]
    assert len(shared) >= 5
    for name in shared:
        told, true = table[name].to_pylist(), truth[name].to_pylist()
        if isinstance(true[0], float):
            assert np.allclose(told, true, atol=0.01)
        else:
            answered = [i for i, value in enumerate(told) if value is not None]
            differing = [i for i in answered if told[i] != true[i]]
            # Renters are not asked about improvements, and answer No.
            assert not differing


@pytest.mark.parametrize(("key", "total"), [("AHS_2019", 124_135_000), ("RECS_2020", 123_529_025)])
def test_every_replicate_adds_up_to_the_households_of_the_country(mirror, key, total) -> None:
    (table, _), codebook = _read(mirror, key)
    assert codebook.households.replicates is not None
    for name in ("weight", "rep_1", f"rep_{codebook.households.replicates.count}"):
        assert np.sum(table[name].to_numpy(), dtype=np.float64) == pytest.approx(total, rel=1e-4)


def test_the_reference_person_is_found_by_relation_not_by_line_number(mirror) -> None:
    (households, _), codebook = _read(mirror, "AHS_2019")
    (persons, _), _ = _read(mirror, "AHS_2019", "persons")
    kept, relation = match_records(persons, households, codebook.respondent("persons"), "persons")
    assert (relation.outside, relation.without) == (0, 0)
    heads = kept.filter(kept["pid"].to_numpy() == 1)
    assert heads["age"].to_pylist() == households["hhage"].to_pylist()
    counts = np.bincount(np.searchsorted(households["hid"].to_numpy(), kept["hid"].to_numpy()))
    assert counts.tolist() == households["numpeople"].to_pylist()
