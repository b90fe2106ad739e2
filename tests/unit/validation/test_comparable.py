"""Donors made comparable with a recipient: who counts, how much, and what it takes to call a marginal different."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from fusion_pipeline.storage.tables import TableRef, categorical, write_table
from fusion_pipeline.validation import comparable
from fusion_pipeline.validation.comparable import beyond, comparable_donors

TENURE = ["Owned", "Rented"]


def store(path, table: pa.Table) -> TableRef:
    write_table(path, table)
    return TableRef(path)


def population(
    rng: np.random.Generator, n: int, renters: float, rooms: float, division: str = "South"
) -> pa.Table:
    """Households whose electricity depends on tenure and rooms, and on nothing else."""
    rents = rng.random(n) < renters
    size = rng.normal(rooms, 1.5, n)
    levels = ["North", "South"]
    return pa.table(
        {
            "weight": rng.uniform(0.5, 2, n),
            "tenure__ten": categorical(rents.astype(int), TENURE),
            "rooms__rmsp": pa.array(size, pa.float32()),
            "recs_division": categorical(np.full(n, levels.index(division)), levels),
            "electricity": 20 + 4 * size - 6 * rents + rng.normal(0, 2, n),
        }
    )


def compared(tmp_path, donor: pa.Table, recipient: pa.Table, locations=("recs_division",)):
    return comparable_donors(
        store(tmp_path / "donor.parquet", donor),
        store(tmp_path / "recipient.parquet", recipient),
        recipient["weight"].to_numpy(),
        predictors=["tenure__ten", "rooms__rmsp"],
        locations=locations,
        seed=1,
    )


def test_weighted_by_odds_donors_answer_as_the_recipients_would(tmp_path) -> None:
    rng = np.random.default_rng(1)
    donor, recipient = population(rng, 4_000, 0.3, 6.0), population(rng, 3_000, 0.6, 5.0)
    found = compared(tmp_path, donor, recipient)
    weight = donor["weight"].to_numpy()
    truth = np.average(recipient["electricity"], weights=recipient["weight"])
    assert abs(np.average(donor["electricity"], weights=weight) - truth) > 4
    assert np.average(donor["electricity"], weights=weight * found.odds) == pytest.approx(truth, abs=0.3)
    assert found.is_sound
    assert found.unlike < 0.05


def test_donors_of_the_recipients_own_kind_keep_their_weights(tmp_path) -> None:
    rng = np.random.default_rng(2)
    found = compared(tmp_path, population(rng, 4_000, 0.3, 6.0), population(rng, 4_000, 0.3, 6.0))
    assert found.odds.mean() == pytest.approx(1, abs=0.05)
    assert found.odds.std() < 0.2
    assert found.effective > 3_000


def test_donors_of_locations_without_recipients_do_not_count(tmp_path) -> None:
    rng = np.random.default_rng(3)
    donor = pa.concat_tables([population(rng, 300, 0.3, 6.0), population(rng, 200, 0.3, 6.0, "North")])
    found = compared(tmp_path, donor, population(rng, 300, 0.3, 6.0))
    assert (found.odds[:300] > 0).all()
    assert (found.odds[300:] == 0).all()


def test_all_donors_count_where_none_shares_a_location(tmp_path, caplog) -> None:
    rng = np.random.default_rng(4)
    found = compared(tmp_path, population(rng, 300, 0.3, 6.0, "North"), population(rng, 300, 0.3, 6.0))
    assert (found.odds > 0).all()
    assert "no donor shares the recipients' recs_division" in caplog.text


def test_a_donors_missing_answer_neither_counts_for_nor_against_it(tmp_path) -> None:
    rng = np.random.default_rng(5)
    donor, recipient = population(rng, 4_000, 0.3, 6.0), population(rng, 3_000, 0.3, 6.0)
    silent = rng.random(4_000) < 0.2
    codes = np.where(silent, -1, np.asarray(donor["tenure__ten"].to_pandas().cat.codes))
    donor = donor.set_column(1, "tenure__ten", categorical(codes, TENURE))
    odds = compared(tmp_path, donor, recipient).odds
    assert odds[silent].mean() == pytest.approx(odds[~silent].mean(), rel=0.1)


def test_a_large_recipient_is_sampled_with_nearly_the_same_odds(tmp_path, monkeypatch) -> None:
    rng = np.random.default_rng(6)
    donor, recipient = population(rng, 2_000, 0.3, 6.0), population(rng, 6_000, 0.6, 5.0)
    whole = compared(tmp_path, donor, recipient).odds
    monkeypatch.setattr(comparable, "MOST_RECIPIENTS", 3_000)
    part = compared(tmp_path, donor, recipient).odds
    assert np.corrcoef(np.log(whole), np.log(part))[0, 1] > 0.98
    assert (part == compared(tmp_path, donor, recipient).odds).all()


def test_donors_that_cannot_be_made_alike_are_called_so(tmp_path) -> None:
    rng = np.random.default_rng(7)
    found = compared(tmp_path, population(rng, 500, 0.01, 9.0), population(rng, 500, 0.95, 3.0))
    assert not found.is_sound
    assert "z says little" in found.words


def test_marginals_far_from_comparable_donors_are_named() -> None:
    marginals = pd.DataFrame(
        {
            "variable": ["gas", "gas", "cooling", "cooling"],
            "level": ["mean", "sd", "Room", "Central"],
            "z": [-3.1, 2.9, np.inf, np.nan],
        }
    )
    assert beyond(marginals) == ["gas mean", "cooling Room"]
    assert beyond(marginals, standard_errors=2) == ["gas mean", "gas sd", "cooling Room"]
