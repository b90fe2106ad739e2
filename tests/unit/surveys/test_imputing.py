"""Missing answers are filled with what similar records answered; everything else stays as it was."""

import numpy as np
import pyarrow as pa
import pytest

from fusion_pipeline.randomness import stream
from fusion_pipeline.storage.tables import categorical, codes_of
from fusion_pipeline.surveys.codebook import load_codebook
from fusion_pipeline.surveys.imputing import impute_missing

RACES = load_codebook("recs_2015").households.variables["householder_race"].labels


@pytest.fixture(scope="module")
def survey() -> tuple[pa.Table, np.ndarray]:
    random = stream(1, "test", "imputing")
    n = 1_200
    income = random.integers(0, 8, n)
    race = (random.random(n) < 0.1 + 0.1 * income).astype(int)
    hidden = race.copy()
    hidden[random.random(n) < 0.25] = -1
    entry = load_codebook("recs_2015").households
    table = pa.table(
        {
            "hid": np.arange(n),
            "weight": random.uniform(1, 3, n),
            "moneypy": categorical(income, entry.variables["moneypy"].labels, ordered=True),
            "nhsldmem": pa.array(random.integers(1, 6, n), pa.int8()),
            "householder_race": categorical(hidden, RACES),
            "hhage": pa.array([None] * n, pa.int16()),
        }
    )
    return table, race


def test_answers_given_stay_and_missing_ones_follow_similar_records(survey) -> None:
    table, truth = survey
    filled, counts = impute_missing(table, load_codebook("recs_2015").households, seed=1)
    before, after = (codes_of(t["householder_race"]) for t in (table, filled))
    absent = before < 0
    assert counts == {"householder_race": int(absent.sum())}
    assert (after[~absent] == before[~absent]).all()
    assert set(after[absent]) <= {0, 1}
    income = codes_of(table["moneypy"])
    for group in (income < 4, income >= 4):
        drawn, real = after[absent & group].mean(), truth[absent & group].mean()
        assert abs(drawn - real) < 4 * np.sqrt(0.5 / (absent & group).sum())
    assert filled.drop_columns(["householder_race"]).equals(table.drop_columns(["householder_race"]))


def test_variable_nobody_answered_stays_missing_and_the_seed_decides(survey) -> None:
    table, _ = survey
    entry = load_codebook("recs_2015").households
    first, again = (impute_missing(table, entry, seed=1)[0] for _ in range(2))
    assert first["hhage"].null_count == table.num_rows
    assert first.equals(again)
    assert not first.equals(impute_missing(table, entry, seed=2)[0])


def test_full_universe_amounts_are_not_predicted_by_what_only_their_reporters_have():
    households = load_codebook("acs_2015").households
    assert {"grntp", "rntp", "ten", "valp"} <= households.never_predicts("rentval")
    assert {"valp", "ten", "grntp", "taxamt"} <= households.never_predicts("propval")
    assert not {"hincp", "rmsp", "bld", "puma10"} & households.never_predicts("rentval")


def test_the_minute_of_arrival_is_one_that_somebody_alike_told():
    entry = load_codebook("nhts_2017").respondent("persons")
    rng = stream(1, "test", "arrival")
    works = rng.random(800) < 0.5
    minutes = rng.choice([450, 480, 525, 540], 800)
    told = np.where(works, 1 + minutes, 0)
    hidden = np.where(rng.random(800) < 0.2, -1, told)
    levels = entry.variables["wrktime"].labels
    table = pa.table(
        {
            "weight": np.ones(800),
            "worker": categorical(works.astype(int), entry.variables["worker"].labels),
            "wrktime": categorical(hidden, levels, ordered=True),
        }
    )
    filled, counts = impute_missing(table, entry, seed=1)
    after, gap = codes_of(filled["wrktime"]), hidden < 0
    assert counts == {"wrktime": gap.sum()}
    assert filled.schema == table.schema
    assert [levels[place] for place in sorted(set(after))] == [
        "No arrival time at work", "07.30", "08.00", "08.45", "09.00",
    ]  # fmt: skip
    assert (after[~gap] == told[~gap]).all()
    assert ((after[gap] > 0) == works[gap]).mean() > 0.95


def test_where_a_household_lives_is_never_imputed(toy):
    table = pa.table(
        {
            "weight": pa.array([1.0] * 4),
            "puma": pa.array(["00100", None, "00200", "00100"]).dictionary_encode(),
            "rooms": pa.array([1, 2, 3, 4]),
        }
    )
    filled, counts = impute_missing(table, toy.households, seed=1)
    assert (filled["puma"].null_count, counts) == (1, {})


def test_rent_of_owners_is_drawn_from_what_renters_of_such_homes_pay():
    entry = load_codebook("acs_2015").households
    rng = stream(1, "test", "rent")
    rooms = rng.integers(1, 9, 600)
    owner = rng.random(600) < 0.5
    rent = 200.0 * rooms
    table = pa.table(
        {
            "weight": np.ones(600),
            "rmsp": rooms,
            "grntp": np.where(owner, 0.0, rent),
            "rentval": pa.array(12 * rent, mask=owner),
        }
    )
    filled, counts = impute_missing(table, entry, seed=1)
    assert counts == {"rentval": int(owner.sum())}
    # Drawn among similar homes, so not 1; were the owners' own rent of zero a predictor, it would be near 0.
    assert np.corrcoef(filled["rentval"].to_numpy()[owner], rent[owner])[0, 1] > 0.7


def test_what_is_derived_agrees_with_the_answers_that_were_imputed(toy):
    rng = stream(1, "test", "late")
    n = 400
    rooms = rng.integers(1, 9, n)
    late = np.where(rng.random(n) < 0.2, -1, (rooms > 4).astype(int) + (rooms > 6))
    levels = ["Never", "Sometimes", "Often"]
    table = pa.table(
        {
            "hid": np.arange(n),
            "weight": np.ones(n),
            "rep_1": rng.random(n),
            "late": categorical(late, levels, ordered=True),
            "cold": categorical(np.zeros(n, dtype=int), levels, ordered=True),
            "rooms": rooms,
            "insecure": categorical(np.where(late < 0, -1, (late <= 0).astype(int)), ["Yes", "No"]),
        }
    )
    filled, counts = impute_missing(table, toy.households, seed=1)
    absent = late < 0
    assert counts == {"late": int(absent.sum()), "insecure": int(absent.sum())}
    assert ((codes_of(filled["late"]) > 0) == (codes_of(filled["insecure"]) == 0)).all()
    assert ((codes_of(filled["late"]) > 0) == (rooms > 4))[absent].mean() > 0.9


def test_keys_weights_and_replicate_weights_predict_nothing(toy):
    n = 300
    answer = stream(1, "test", "keys").integers(0, 2, n)
    hidden = np.where(np.arange(n) % 3, answer, -1)
    telling = answer + np.linspace(0, 0.1, n)
    table = pa.table(
        {
            "hid": (1_000 * telling).astype(int),
            "weight": 1 + telling,
            "rep_1": telling,
            "rep_2": telling,
            "rooms": stream(2, "test", "keys").integers(1, 5, n),
            "fuel": categorical(hidden, ["Gas", "Wood"]),
        }
    )
    drawn = codes_of(impute_missing(table, toy.households, seed=1)[0]["fuel"])
    absent = hidden < 0
    assert 0.3 < (drawn == answer)[absent].mean() < 0.7
