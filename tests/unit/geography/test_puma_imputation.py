import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusion_pipeline.errors import GeographyError
from fusion_pipeline.geography.puma_imputation import impute_puma, locate_recipients
from fusion_pipeline.storage.tables import categorical, levels_of

PUMAS = [("10", "00001"), ("10", "00002"), ("24", "00001"), ("41", "00001"), ("41", "00003")]


def recipients(categories, n=400, seed=0, pumas=PUMAS):
    rng = np.random.default_rng(seed)
    state, puma = zip(*[pumas[i] for i in rng.integers(0, len(pumas), n)], strict=True)
    return pa.table(
        {
            "year": pa.array([2015] * n, pa.int16()),
            "hid": pa.array(rng.permutation(n)),
            "weight": rng.uniform(1, 9, n),
            "state": categories(state, ["10", "24", "41"]),
            "puma10": categories(puma, ["00001", "00002", "00003"]),
            "rooms__rmsp": pa.array(rng.integers(1, 9, n), pa.float32()),
            "fuel__hfl": categorical(rng.integers(0, 3, n), ["1", "2", "3"]),
        }
    )


def donors(categories, zones, divisions=None, seed=1):
    rng, n = np.random.default_rng(seed), len(zones)
    return pa.table(
        {
            "hid": pa.array(rng.permutation(n)),
            "weight": [1.0] * n,
            "zone": categories(zones, ["cold", "hot", "mild"]),
            "division": categories(divisions or [None] * n, ["Atlantic", "Pacific"]),
            "rooms__rmsp": pa.array(rng.integers(1, 9, n), pa.float32()),
            "fuel__hfl": categorical(rng.integers(-1, 3, n), ["1", "2", "3"]),
        }
    )


def impute(donor, recipient, concordance, **options):
    arguments = {"locations": ["zone", "division"], "predictors": ["rooms__rmsp", "fuel__hfl"], "seed": 1}
    return impute_puma(donor, recipient, concordance, **arguments | options)


def places(table):
    return list(zip(table["state"].to_pylist(), table["puma10"].to_pylist(), strict=True))


zone_lists = st.lists(st.sampled_from(["cold", "hot", "mild", None]), min_size=1, max_size=30)


@given(zones=zone_lists, seed=st.integers(0, 3))
@settings(max_examples=25)
def test_every_donor_gets_one_puma_within_its_disclosed_location(categories, concordance, zones, seed):
    inside = {
        "cold": {("10", "00001"), ("10", "00002"), ("24", "00001")},
        "hot": {("10", "00002"), ("24", "00001")},
        "mild": {("41", "00001"), ("41", "00003")},
        None: set(PUMAS),
    }
    donor = donors(categories, zones)
    result = impute(donor, recipients(categories), concordance, seed=seed)
    assert result.table.num_rows == len(zones) == result.report["donors"]
    assert all(place in inside[zone] for place, zone in zip(places(result.table), zones, strict=True))
    assert result.table["hid"].equals(donor["hid"])
    assert result.table["zone"].to_pylist() == zones


@given(seed=st.integers(0, 100))
@settings(max_examples=15)
def test_the_order_of_rows_does_not_matter(categories, concordance, seed):
    donor = donors(categories, ["cold", "hot", None, "mild"] * 10)
    recipient = recipients(categories)
    rng = np.random.default_rng(seed)
    shuffled = [t.take(pa.array(rng.permutation(t.num_rows))) for t in (donor, recipient, concordance)]
    straight, mixed = impute(donor, recipient, concordance), impute(*shuffled)
    assert straight.report == mixed.report
    first, second = straight.table, mixed.table
    assert dict(zip(first["hid"].to_pylist(), places(first), strict=True)) == dict(
        zip(second["hid"].to_pylist(), places(second), strict=True)
    )


def test_draws_in_one_location_do_not_depend_on_donors_of_another(categories, concordance):
    donor = donors(categories, ["cold"] * 30 + ["hot"] * 30)
    alone = donor.slice(30)
    recipient = recipients(categories)
    # A number is measured by its range over both tables, so that has to be the same in both runs.
    assert set(donor["rooms__rmsp"].to_pylist()) <= set(recipient["rooms__rmsp"].to_pylist())
    together = impute(donor, recipient, concordance).table.slice(30)
    assert places(together) == places(impute(alone, recipient, concordance).table)


def test_another_seed_gives_other_draws(categories, concordance):
    donor, recipient = donors(categories, ["cold"] * 50), recipients(categories)
    first, second = (impute(donor, recipient, concordance, seed=s).table for s in (1, 2))
    assert places(first) != places(second)


def test_with_nothing_else_known_draw_frequencies_follow_weight_times_share(categories, concordance):
    n = 30_000
    recipient = pa.table(
        {
            "hid": [1, 2, 3],
            "weight": [2.0, 3.0, 4.0],
            "state": categories(["10", "10", "24"]),
            "puma10": categories(["00001", "00002", "00001"]),
            "rooms__rmsp": pa.array([2, 4, 9], pa.float32()),
        }
    )
    donor = pa.table({"hid": range(n), "zone": categories(["cold"] * n)})
    result = impute(donor, recipient, concordance, locations=["zone"], predictors=[])
    # Shares of the PUMAs in the cold zone: 4/4, 2/4, 6/8.
    expected = np.array([2 * 1, 3 * 0.5, 4 * 0.75])
    expected /= expected.sum()
    drawn = places(result.table)
    frequency = np.array([drawn.count(p) for p in [("10", "00001"), ("10", "00002"), ("24", "00001")]]) / n
    assert (np.abs(frequency - expected) < 4 * np.sqrt(expected * (1 - expected) / n)).all()
    assert result.report["candidates"]["predictors"] == pytest.approx(
        np.exp(-(expected * np.log(expected)).sum()), abs=0.1
    )


def test_a_predictor_that_tells_pumas_apart_places_donors(categories, concordance):
    recipient = recipients(categories, n=2000, pumas=[PUMAS[0], PUMAS[2]])
    away = np.array(recipient["state"].to_pylist()) == "24"
    rooms = pa.array(np.where(away, 7, 3) + np.arange(2000) % 2, pa.float32())
    recipient = recipient.set_column(recipient.column_names.index("rooms__rmsp"), "rooms__rmsp", rooms)
    donor = donors(categories, ["cold"] * 400)
    donor = donor.set_column(
        donor.column_names.index("rooms__rmsp"), "rooms__rmsp", pa.array(np.repeat([3, 8], 200), pa.float32())
    )
    state = impute(donor, recipient, concordance).table["state"].to_pylist()
    assert np.mean([s == "10" for s in state[:200]]) > 0.9
    assert np.mean([s == "24" for s in state[200:]]) > 0.9


def test_a_missing_answer_tells_nothing(categories, concordance):
    recipient = recipients(categories, n=2000)
    fuel = categorical(np.full(600, -1), ["1", "2", "3"])
    donor = donors(categories, ["cold"] * 600)
    donor = donor.set_column(donor.column_names.index("fuel__hfl"), "fuel__hfl", fuel)
    donor = donor.set_column(
        donor.column_names.index("rooms__rmsp"), "rooms__rmsp", pa.nulls(600, pa.float32())
    )
    drawn = places(impute(donor, recipient, concordance).table)
    # Every PUMA of the zone is as likely as its weighted households: 1, 1/2 and 3/4 of equally many.
    frequency = [drawn.count(p) / 600 for p in [("10", "00001"), ("10", "00002"), ("24", "00001")]]
    assert frequency == pytest.approx([1 / 2.25, 0.5 / 2.25, 0.75 / 2.25], abs=0.07)


def test_draws_of_a_donor_spread_over_its_candidates(categories, concordance):
    donor, recipient = donors(categories, ["cold"] * 300), recipients(categories)
    result = impute(donor, recipient, concordance, draws=4)
    assert result.draws.num_rows == 3 * 300 and set(result.draws["draw"].to_pylist()) == {2, 3, 4}
    drawn = np.array([*places(result.table), *places(result.draws)]).reshape(4, 300, 2)
    same = [len({tuple(place) for place in drawn[:, i]}) for i in range(300)]
    # None of the three PUMAs has half of the probability: four evenly spread draws cannot all agree.
    assert min(same) >= 2
    once = impute(donor, recipient, concordance)
    assert places(once.table) == places(result.table) and once.draws.num_rows == 0


def test_location_columns_take_the_levels_of_the_concordance(categories, concordance):
    table = impute(donors(categories, ["cold", "mild"]), recipients(categories), concordance).table
    assert levels_of(table["zone"]) == levels_of(concordance["zone"])
    assert levels_of(table["puma10"]) == levels_of(concordance["puma10"])


def test_a_disclosed_state_is_kept(categories, concordance):
    donor = donors(categories, ["cold"] * 20).append_column("state", categories(["24"] * 20))
    table = impute(donor, recipients(categories), concordance, locations=["state"]).table
    assert set(places(table)) == {("24", "00001")}
    assert table.column_names.count("state") == 1


def test_where_the_recipient_covers_few_states_the_rest_is_drawn_by_weight(categories, concordance):
    n = 4000
    recipient = recipients(categories, pumas=PUMAS[:2])
    donor = donors(categories, ["cold"] * n)
    result = impute(donor, recipient, concordance, covered_states=["10"])
    drawn = places(result.table)
    # Of the cold zone's weight, 4 + 2 of 12 lie in the covered state.
    assert np.mean([state == "10" for state, _ in drawn]) == pytest.approx(0.5, abs=0.03)
    assert result.report["donors_by_concordance_weight"] == sum(state == "24" for state, _ in drawn)


def test_a_location_outside_the_covered_states_is_drawn_by_weight_alone(categories, concordance):
    n = 4000
    recipient = recipients(categories, pumas=PUMAS[:2])
    result = impute(donors(categories, ["mild"] * n), recipient, concordance, covered_states=["10"])
    drawn = places(result.table)
    assert np.mean([p == ("41", "00001") for p in drawn]) == pytest.approx(0.75, abs=0.03)
    assert result.report["donors_by_concordance_weight"] == n


def test_a_covered_location_without_households_is_an_error(categories, concordance):
    recipient = recipients(categories, pumas=PUMAS[:2])
    with pytest.raises(GeographyError, match="zone=mild, division=Pacific: has no recipient household"):
        impute(donors(categories, ["mild"], ["Pacific"]), recipient, concordance)


def test_a_combination_that_does_not_exist_is_an_error(categories, concordance):
    with pytest.raises(GeographyError, match="zone=mild, division=Atlantic: is a combination"):
        impute(donors(categories, ["mild"], ["Atlantic"]), recipients(categories), concordance)


def test_a_location_the_concordance_lacks_is_named(categories, concordance):
    donor = donors(categories, ["cold"]).set_column(2, "zone", categories(["tropical"]))
    with pytest.raises(GeographyError, match="column zone: holds 'tropical', which the concordance has not"):
        impute(donor, recipients(categories), concordance)


def test_a_location_column_nobody_has_is_named(categories, concordance):
    donor = donors(categories, ["cold"])
    with pytest.raises(GeographyError, match="location county: is not a column of the concordance"):
        impute(donor, recipients(categories), concordance, locations=["county"])
    with pytest.raises(GeographyError, match="donor table: has no location column zone"):
        impute(donor.drop_columns(["zone"]), recipients(categories), concordance)


def test_a_recipient_puma_of_another_vintage_is_named(categories, concordance):
    recipient = recipients(categories, pumas=[("10", "00003")])
    with pytest.raises(GeographyError, match="recipient table, state 10, puma10 00003: is not in the conc"):
        impute(donors(categories, ["cold"]), recipient, concordance)


def renamed(table, name):
    return table.rename_columns([name if c == "puma10" else c for c in table.column_names])


def test_donors_get_pumas_in_the_definition_of_the_recipient(categories, concordance):
    donor, recipient = donors(categories, ["cold", "mild"] * 5), recipients(categories)
    old = impute(donor, recipient, concordance).table
    new = impute(donor, renamed(recipient, "puma20"), renamed(concordance, "puma20")).table
    assert new.equals(renamed(old, "puma20"))


def test_pumas_of_two_definitions_are_never_held_against_each_other(categories, concordance):
    donor, recipient = donors(categories, ["cold"]), renamed(recipients(categories), "puma20")
    with pytest.raises(GeographyError, match=r"recipient table: has puma20 .* and the concordance puma10"):
        impute(donor, recipient, concordance)
    with pytest.raises(GeographyError, match="concordance table: has no column puma10 or puma20"):
        impute(donor, recipient, renamed(concordance, "puma30"))


def test_households_of_a_state_said_not_to_be_covered_are_an_error(categories, concordance):
    with pytest.raises(GeographyError, match="recipient table, state 24: has households, but is not among"):
        impute(donors(categories, ["cold"]), recipients(categories), concordance, covered_states=["10", "41"])


def test_a_recipient_in_an_undivided_puma_gets_its_location_and_a_split_puma_is_shared(
    categories, concordance
):
    n = 8000
    recipient = recipients(categories, n=n)
    zone = np.array(
        locate_recipients(recipient, concordance, ["zone", "division"], seed=1)["zone"].to_pylist()
    )
    where = np.array(places(recipient))
    first = (where == ("10", "00001")).all(axis=1)
    split = (where == ("24", "00001")).all(axis=1)
    assert set(zone[first]) == {"cold"}
    assert np.mean(zone[split] == "hot") == pytest.approx(0.25, abs=0.04)


def test_recipient_locations_do_not_depend_on_row_order(categories, concordance):
    recipient = recipients(categories)
    order = np.random.default_rng(4).permutation(recipient.num_rows)
    straight = locate_recipients(recipient, concordance, ["zone"], seed=1)["zone"].to_pylist()
    mixed = locate_recipients(recipient.take(pa.array(order)), concordance, ["zone"], seed=1)[
        "zone"
    ].to_pylist()
    assert mixed == [straight[i] for i in order]


def test_recipients_keep_their_own_state(categories, concordance):
    recipient = recipients(categories)
    assert locate_recipients(recipient, concordance, ["state"], seed=1).equals(recipient)
