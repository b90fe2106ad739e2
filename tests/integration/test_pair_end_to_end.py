"""A fusion pair through the graph, on simulated surveys: what must be there, and be true, at the end."""

import itertools
import re
import shutil
from html.parser import HTMLParser

import dagster as dg
import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from dagster._serdes import serialize_value

from fusion_pipeline.definitions import build_defs
from fusion_pipeline.errors import StorageError
from fusion_pipeline.estimating import estimate_pair
from fusion_pipeline.geography.concordance import areas
from fusion_pipeline.inference.area_error import AreaError, Proxy
from fusion_pipeline.partitions import IMPLICATES
from fusion_pipeline.running import JobRun, execute, runs_of
from fusion_pipeline.storage.artefacts import open_pair
from fusion_pipeline.storage.layout import Layout
from fusion_pipeline.storage.tables import TableRef
from fusion_pipeline.validation import known_truth, pair_area_error, pair_external
from fusion_pipeline.validation.area_proxies import load_proxies
from fusion_pipeline.validation.published import Expected, Published, load_published
from tests.conftest import PAIR
from tests.lineage import of_pair

TWELVE = {
    "btuel", "btung", "btulp", "btufo",
    "dollarel", "dollarng", "dollarlp", "dollarfo",
    "cooltype", "insec", "noheat", "noac",
}  # fmt: skip
"""Fusion variables of RECS 2015: Ummel et al. 2024, Table 2."""


def test_every_asset_behind_the_pair_is_materialized_and_every_blocking_check_passes(small_run) -> None:
    made = {m.asset_key for outcome in small_run.outcomes.values() for m in outcome.materialized}
    expected = {dg.AssetKey.from_user_string(asset) for asset, _ in of_pair()}
    assert made == expected
    graph = build_defs(small_run.settings).resolve_asset_graph()
    checks = [check for outcome in small_run.outcomes.values() for check in outcome.checks]
    evaluated = {(check.asset_key, check.check_name) for check in checks}
    assert evaluated == {
        (key.asset_key, key.name) for key in graph.asset_check_keys if key.asset_key in expected
    }
    assert not [c for c in checks if not c.passed and c.severity == dg.AssetCheckSeverity.ERROR]


def test_events_tell_no_number_that_a_single_household_answered(small_run) -> None:
    """What the UI and its database hold is counts and aggregates, though every step has seen the answers."""
    events = [
        serialize_value(entry)
        for run in small_run.instance.get_runs()
        for entry in small_run.instance.all_logs(run.run_id)
    ]
    told = set(re.findall(r"(?<![\w.])\d+(?:\.\d+)?(?![\w.])", "\n".join(events)))
    assert len(told) > 1_000
    for asset, partition in (("survey", "RECS_2015"), ("acs", "2015")):
        answers = pq.read_table(small_run.layout.table((asset, "households"), partition)).to_pandas()
        once = answers.select_dtypes("number").apply(lambda column: [*column.drop_duplicates(keep=False)])
        # Short and round numbers are counts and bounds as well.
        single = {repr(float(n)).removesuffix(".0") for n in itertools.chain(*once) if n == n and n % 1_000}
        single = {n for n in single if len(n.replace(".", "").lstrip("0")) >= 6}
        assert len(single) > 500
        assert not single & told


@pytest.mark.parametrize(
    ("asset", "check", "numbers", "worst"),
    [
        ("fusion/harmonized", "similarity", ["similarity_min", "similarity_mean"], "worst predictor"),
        ("fusion/models", "common_support", ["overlap_min"], None),
        ("fusion/microdata", "marginals", ["z_max"], None),
        ("quality/external", "correlation", ["correlation_found", "correlation_beyond"], "worst benchmark"),
        ("quality/external", "error", ["error_found", "error_beyond"], "worst benchmark"),
        ("quality/external", "inside", ["inside_found", "inside_beyond"], "worst benchmark"),
    ],
)
def test_checks_tell_numbers_whose_history_the_ui_draws(small_run, asset, check, numbers, worst) -> None:
    [found] = [
        evaluation.metadata
        for outcome in small_run.outcomes.values()
        for evaluation in outcome.checks
        if (evaluation.asset_key.to_user_string(), evaluation.check_name) == (asset, check)
    ]
    for number in numbers:
        assert isinstance(found[number], dg.FloatMetadataValue)
        assert np.isfinite(found[number].value)
    assert worst is None or found[worst].value


def test_unlike_predictors_are_drawn_side_by_side_and_what_is_kept_is_told_of_both_sides(small_run) -> None:
    checks = [check for outcome in small_run.outcomes.values() for check in outcome.checks]
    (found,) = (check for check in checks if check.check_name == "similarity")
    assert "data:image/png;base64," in found.metadata["distributions"].value
    heading, _, *rows = found.metadata["predictors"].value.splitlines()
    assert "information kept, donor | information kept, recipient" in heading
    kept = {row.split(" | ")[0].strip("| "): row.strip(" |").split(" | ")[-2:] for row in rows}
    # Schooling of the ACS has 24 levels, which the harmony puts into five groups of persons.
    assert 0 < float(kept["education__schl"][1]) < 0.9
    assert "Donor and recipient side by side" in small_run.layout.report(PAIR).read_text()


def test_every_occupied_household_is_fused_in_every_implicate_and_none_else(small_run) -> None:
    households = (
        TableRef(small_run.layout.table(("acs", "households"), "2015")).read(["hid"])["hid"].to_pylist()
    )
    for implicate in range(1, IMPLICATES.count + 1):
        table = pq.ParquetFile(small_run.layout.implicate(PAIR, implicate)).read()
        assert table["hid"].to_pylist() == households
        assert set(table.column_names) >= TWELVE
        assert not any(column.null_count for column in table.columns)


def test_expenditure_is_zero_exactly_where_the_quantity_is(small_run) -> None:
    for fuel in ("el", "ng", "lp", "fo"):
        table = TableRef(small_run.layout.implicate(PAIR, 1)).to_pandas([f"btu{fuel}", f"dollar{fuel}"])
        assert ((table[f"btu{fuel}"] == 0) == (table[f"dollar{fuel}"] == 0)).all()
        prices = (table[f"dollar{fuel}"] / table[f"btu{fuel}"]).dropna()
        donor = TableRef(small_run.layout.tables(("fusion", "prepared"), PAIR) / "donor.parquet")
        known = donor.to_pandas([f"price_dollar{fuel}"])[f"price_dollar{fuel}"]
        assert prices.between(known.min() * (1 - 1e-6), known.max() * (1 + 1e-6)).all()


def test_implicates_are_one_table_for_duckdb(small_run) -> None:
    pattern = str(small_run.layout.implicates(PAIR) / "*/*.parquet")
    [(count, implicates)] = duckdb.sql(
        f"SELECT count(*), count(DISTINCT implicate) FROM read_parquet('{pattern}', hive_partitioning = true)"
    ).fetchall()
    assert (count, implicates) == (1_500 * IMPLICATES.count, IMPLICATES.count)


def test_national_means_differ_from_the_truth_by_no_more_than_the_donors_sampling_explains(small_run) -> None:
    """All eight lie within three standard errors, once the donors' own sampling error is added to the margins.

    Margins of the pair alone do not hold that error and are too narrow for the nation; nothing is claimed here
    about how often they cover.
    """
    truth = pq.read_table(small_run.layout.simulated_raw / "truth" / "acs_2015.parquet").to_pandas()
    weights = TableRef(small_run.layout.table(("acs", "households"), "2015")).to_pandas(["hid", "weight"])
    truth = weights.merge(truth, on="hid", validate="one_to_one")
    names = ["btuel", "btung", "btulp", "btufo", "dollarel", "dollarng", "dollarlp", "dollarfo"]
    found = estimate_pair(PAIR, small_run.layout, [f"mean({name})" for name in names]).table
    found = found.set_index("variable")
    expected = np.array([np.average(truth[name], weights=truth["weight"]) for name in names])
    donors = TableRef(small_run.layout.table(("survey", "households"), "RECS_2015")).to_pandas()
    replicates = donors[[name for name in donors if name.startswith("rep_")]].to_numpy(float)
    assert replicates.shape == (700, 96)
    values = donors[names].to_numpy(float)
    mean = donors["weight"].to_numpy() @ values / donors["weight"].sum()
    again = replicates.T @ values / replicates.sum(axis=0)[:, None]
    donor_error = np.sqrt(4 / 96 * ((again - mean) ** 2).sum(axis=0))
    error = np.hypot(found.loc[names, "standard_error"].to_numpy(), donor_error)
    z = (found.loc[names, "estimate"].to_numpy() - expected) / error
    assert (np.abs(z) < 3).all(), dict(zip(names, z.round(2), strict=True))


def test_report_is_one_file_without_outside_addresses(small_run) -> None:
    class Addresses(HTMLParser):
        found: list[str] = []

        def handle_starttag(self, tag, attributes) -> None:
            self.found += [v for k, v in attributes if k in ("src", "href") and v.startswith(("http", "//"))]

    text = small_run.layout.report(PAIR).read_text()
    parser = Addresses()
    parser.feed(text)
    assert not parser.found
    assert "true of populations, not of persons" in " ".join(text.split())


def test_report_begins_with_headlines_and_says_no_heading_twice(small_run) -> None:
    text = small_run.layout.report(PAIR).read_text()
    headings = re.findall(r"<h[123]>([^<]+)</h[123]>", text)
    assert len(headings) == len(set(headings))
    first = text[: text.index("<nav>")]
    electricity = re.search(
        r"<dt>Total site electricity usage, 2015</dt><dd>([\d,]+) ± ([\d,]+) thousand Btu", first
    )
    found = estimate_pair(PAIR, small_run.layout, ["mean(btuel)"]).table.iloc[0]
    shown, margin = (float(number.replace(",", "")) for number in electricity.groups())
    assert shown == pytest.approx(found["estimate"], abs=margin / 10)
    assert margin == pytest.approx(found["margin"], rel=0.05)


def test_report_has_maps_and_the_asset_a_small_one(small_run) -> None:
    text = small_run.layout.report(PAIR).read_text()
    # 1,500 households are too few for a map by PUMA.
    maps = text[text.index("<h2>Maps</h2>") : text.index("<h2>Fused against donor</h2>")]
    assert len(re.findall(r'<img alt="[^"]+, by state" ', maps)) == 3
    made = [m for outcome in small_run.outcomes.values() for m in outcome.materialized]
    [report] = [m for m in made if m.asset_key.path == ["quality", "report"]]
    assert report.metadata["estimates"].value.count("data:image/png;base64,") == 4


def test_lost_implicate_is_drawn_again_with_the_same_bytes_and_the_others_are_kept(
    small_run, tmp_path
) -> None:
    first, second = (small_run.layout.implicate(PAIR, m) for m in (6, 7))
    before, kept = first.read_bytes(), second.stat().st_mtime_ns
    shutil.rmtree(first.parent)
    chunk = next(run for run in runs_of(PAIR) if run.job == "fuse_chunk" and "06-10" in str(run.partition))
    execute(build_defs(small_run.settings), chunk, small_run.instance)
    assert first.read_bytes() == before
    assert second.stat().st_mtime_ns == kept


def test_truncated_table_stops_the_run_with_its_name_and_the_remedy(small_run, tmp_path) -> None:
    copy = tmp_path / "simulated"
    shutil.copytree(small_run.layout.root, copy)
    broken = copy / "fusion" / "prepared" / PAIR / "recipient.parquet"
    broken.write_bytes(broken.read_bytes()[:-100])
    shutil.rmtree(Layout(copy).implicate(PAIR, 1).parent)
    settings = small_run.settings.model_copy(update={"data": tmp_path})

    with pytest.raises(
        StorageError, match=r"recipient\.parquet: is not a readable Parquet file.*materialize"
    ):
        execute(build_defs(settings), JobRun("fuse_chunk", f"{PAIR}|01-05"), dg.DagsterInstance.ephemeral())


def test_areas_without_households_enough_are_not_measured_and_estimates_say_so(small_run) -> None:
    error = AreaError.read(small_run.layout.area_error(PAIR))
    assert not error.measured and error.measured_on["donors"] == 700
    found = estimate_pair(PAIR, small_run.layout, ["mean(btuel)"], ["state"])
    assert "area_error" not in found.table
    assert any("not measured" in note for note in found.notes)


def test_area_errors_are_measured_on_variables_of_the_recipient(small_run, monkeypatch) -> None:
    """Three households make an area here, so nothing is claimed about the size of what is found."""
    layout = small_run.layout
    cheap = load_proxies().model_copy(
        update={"proxies": tuple(one for one in load_proxies().proxies if one.levels or one.column == "insp")}
    )
    monkeypatch.setattr(known_truth, "SMALLEST_GROUP", 3)
    monkeypatch.setattr(pair_area_error, "load_proxies", lambda: cheap)
    located, prepared = (open_pair(layout.tables(("fusion", name), PAIR)) for name in ("located", "prepared"))
    homes = located.recipient.to_pandas(["state", "puma10"])
    known = prepared.recipient.to_pandas([name for name in prepared.recipient.columns if ".." in name])
    places = pa.Table.from_pandas(
        homes.join(known).drop_duplicates(["state", "puma10"]), preserve_index=False
    )
    found = pair_area_error.pair_area_error(
        PAIR,
        located=located,
        prepared=prepared,
        households=TableRef(layout.table(("acs", "households"), "2015")),
        places=places,
        concordance=TableRef(layout.table(("geography", "concordance"), "puma10")),
        covered_states=[],
        seed=1,
        threads=1,
    )
    assert {p.variable for p in found.proxies} == {one.name for one in cheap.proxies}
    assert found.area == ("state", "puma10") and found.wider == ("state",) and found.complete
    assert all(p.areas >= 10 and 0 < p.residual_share <= 1 for p in found.proxies)


def test_estimates_of_a_pair_hold_its_area_errors(small_run) -> None:
    file = small_run.layout.area_error(PAIR)
    kept = file.read_bytes()
    proxies = tuple(
        Proxy(variable=v, icc=0.9, standard_error=0.01, icc_finer=0.9, icc_wider=0.5, part=0.5,
              residual_share=0.5, spread=0.1, areas=20) for v in "abcde"
    )  # fmt: skip
    try:
        AreaError(area=("state", "puma10"), wider=("state",), proxies=proxies, measured_on={}).write(file)
        table = estimate_pair(PAIR, small_run.layout, ["mean(btuel)"], ["state"]).table
        without = estimate_pair(PAIR, small_run.layout, ["mean(btuel)"], ["state"], area_error=False).table
    finally:
        file.write_bytes(kept)
    assert (table["margin_without"].to_numpy() == without["margin"].to_numpy()).all()
    assert (table["area_error"] > 0).any() and (table["margin"] >= table["margin_without"]).all()


@pytest.fixture
def beside(small_run):
    return TableRef(small_run.layout.table(("quality", "external"), PAIR)).read()


def test_estimates_stand_beside_published_figures_of_the_same_world(small_run, beside) -> None:
    found = pair_external.summary(beside).set_index("estimand")
    assert found.loc["mean(dollarel)", "area"] == "puma"
    assert found.loc["sum(btuel)", "independence"] == "independent"
    assert found.loc["ratio(dollarel, btuel)", "independence"] == "also a predictor"
    sales = found.loc["sum(btuel)"]
    assert sales["areas"] == 51
    assert sales["correlation"] > 0.9
    assert abs(sales["bias"]) < 0.1
    assert found.loc["ratio(dollarel, btuel)", "median_error"] < 0.2
    assert "Fused against published, by state" in small_run.layout.report(PAIR).read_text()


def test_figures_of_another_world_or_of_other_surveys_are_left_out_by_name(small_run) -> None:
    layout = small_run.layout
    prepared = open_pair(layout.tables(("fusion", "prepared"), PAIR))
    found = pair_external.pair_external(
        PAIR,
        layout,
        variables=["btuel", "btung"],
        predictors=prepared.recipient.columns,
        households=TableRef(layout.table(("acs", "households"), "2015")),
        files={},
        implicates=2,
    )
    assert found.table.num_rows == 0
    assert found.left_out["electricity_spending"] == "elec not fused"
    assert "simulated" in found.left_out["homes_with_gas"]
    assert "neither in mirror nor cache" in found.left_out["electricity_sales"]
    assert pair_external.findings(found.table) == {"correlation": [], "error": [], "inside": []}
    assert pair_external.check_numbers(found.table) == {"correlation": {}, "error": {}, "inside": {}}
    assert pair_external.figure(found.table) is None


def test_expectations_that_are_not_met_are_named(beside, monkeypatch) -> None:
    strict = Expected(correlation=1, error=1e-6, inside=1)
    declared = tuple(b.model_copy(update={"expect": strict}) for b in load_published().benchmarks)
    monkeypatch.setattr(pair_external, "load_published", lambda: Published(benchmarks=declared))
    for lines in pair_external.findings(beside).values():
        assert any(line.startswith("electricity_price: ") for line in lines)
    for check, numbers in pair_external.check_numbers(beside).items():
        # The largest of the differences that are named, in the bad direction.
        assert numbers[f"{check}_beyond"] > 0
        named = [
            line
            for line in pair_external.findings(beside)[check]
            if line.startswith(f"{numbers['worst benchmark']}: ")
        ]
        assert f"{numbers[f'{check}_found']:.2f}, " in named[0]


def test_part_of_a_division_is_not_held_against_the_whole(small_run, tmp_path) -> None:
    households = TableRef(small_run.layout.table(("acs", "households"), "2015"))
    whole = pair_external.whole_areas(households)
    assert set(whole["division"]["area"]) == set(areas("division"))
    assert len(whole["nation"]) == 1
    kept = households.read().to_pandas().query("state != '10'")
    path = tmp_path / "households.parquet"
    kept[["state", "puma10", "weight"]].astype({"state": str, "puma10": str}).to_parquet(path)
    part = pair_external.whole_areas(TableRef(path))
    assert set(part["division"]["area"]) == set(areas("division")) - {"South Atlantic"}
    assert part["nation"].empty
    assert len(part["state"]) == 50


def test_columns_that_the_ui_shows_of_a_pair_are_those_with_lineage(small_run) -> None:
    [made] = [
        m
        for outcome in small_run.outcomes.values()
        for m in outcome.materialized
        if m.asset_key.to_user_string() == "fusion/harmonized"
    ]
    shown = {column.name for column in made.metadata["dagster/column_schema"].value.columns}
    assert shown == set(made.metadata["dagster/column_lineage"].value.deps_by_column)
    assert len(shown) == made.metadata["harmonized predictors"].value


@pytest.mark.parametrize("asset", ["fusion/implicates", "fusion/microdata", "quality/external"])
def test_every_column_of_what_was_fused_is_described_in_the_ui(small_run, asset: str) -> None:
    [made, *_] = [
        m
        for outcome in small_run.outcomes.values()
        for m in outcome.materialized
        if m.asset_key.to_user_string() == asset
    ]
    columns = made.metadata["dagster/column_schema"].value.columns
    assert columns
    assert [column.name for column in columns if not column.description] == []
