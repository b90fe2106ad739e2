"""RECS 2015 fused onto the ACS 2013 of Delaware, real files from end to end, held against the files themselves.

What is expected is worked out here with pandas and scikit-learn from the raw files, the odds of being comparable
too; of the pipeline's own tables only the harmonized predictors are used, because comparable means alike in these.
"""

import hashlib
import re
import shutil
from pathlib import Path

import dagster as dg
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from fusion_pipeline.definitions import build_defs
from fusion_pipeline.fusion.modelset import load_model_set
from fusion_pipeline.registry import load_registry
from fusion_pipeline.running import JobRun, execute, run_pair
from fusion_pipeline.settings import load_settings
from fusion_pipeline.storage.tables import TableRef
from fusion_pipeline.validation.comparable import BEYOND
from tests.conftest import Run

pytestmark = pytest.mark.realdata

PAIR = "RECS_2015__ACS_2013"
IMPLICATES = range(1, 11)
QUANTITIES = {"btuel": "dollarel", "btung": "dollarng", "btulp": "dollarlp", "btufo": "dollarfo"}
LABELS = {
    "cooltype": {
        "-2": "No air conditioning",
        "1": "Central air conditioning system",
        "2": "Individual window/wall or portable units",
        "3": "Both a central system and individual units",
    },
    "scalee": {"0": "Never", "1": "Almost every month", "2": "Some months", "3": "1 or 2 months"},
}
SKIPPED_HARMONIES = {
    "bedrooms__bdsp",
    "desktop__laptop",
    "elpay__elefp",
    "hhsex__sex",
    "internet__access",
    "ngpay__gasfp",
    "numadult__agep",
    "numchild__agep",
    "numfrig__refr",
    "stoven__stov",
}
SKIPPED_VARIABLES = {"insec", "noheat", "noac"}
SOUTH_ATLANTIC = 5
"""Code of Delaware's division in RECS."""


@pytest.fixture(scope="module")
def real(shared, tmp_path_factory) -> Run:
    """The pair, materialized from the real files."""
    settings = load_settings(
        data=tmp_path_factory.mktemp("real"), raw=shared / "data", offline=True, seed=1, implicates=None
    )
    instance = dg.DagsterInstance.ephemeral()
    outcomes = {run: outcome for run, outcome in run_pair(PAIR, settings, instance) if outcome is not None}
    return Run(settings, instance, outcomes)


@pytest.fixture(scope="module")
def recs(shared) -> pd.DataFrame:
    """The donor survey as published."""
    path = shared / "data" / load_registry().surveys["RECS_2015"].files["households"].alternatives[0].path
    return pd.read_csv(path, dtype={"COOLTYPE": str, "SCALEE": str})


@pytest.fixture(scope="module")
def delaware(shared) -> pd.DataFrame:
    """The occupied households of the recipient as published."""
    housing = pd.read_csv(shared / "data" / "acs_2013_de" / "ss13hde.csv.gz")
    return housing[(housing["WGTP"] > 0) & (housing["NP"] > 0)].reset_index(drop=True)


@pytest.fixture(scope="module")
def fused(real) -> list[pd.DataFrame]:
    """Every implicate, read without the pipeline."""
    return [pd.read_parquet(real.layout.implicate(PAIR, m)) for m in IMPLICATES]


def metadata(real: Run, name: str) -> dict:
    key = dg.AssetKey(name.split("/"))
    [found] = [m for o in real.outcomes.values() for m in o.materialized if m.asset_key == key]
    return {name: value.value for name, value in found.metadata.items()}


def table(real: Run, stage: str, side: str) -> TableRef:
    return TableRef(real.layout.tables(("fusion", stage), PAIR) / f"{side}.parquet")


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def test_donors_stand_for_the_118_2_million_households_of_the_country(real) -> None:
    donors = table(real, "prepared", "donor").to_pandas(["weight"])
    assert len(donors) == 5_686
    # EIA's weights add up to 118,208,250 with the rounding of five decimals.
    assert donors["weight"].sum() == pytest.approx(118_208_250, abs=1)


@pytest.mark.parametrize("stage", ["harmonized", "located", "prepared"])
def test_no_donor_of_any_division_is_lost_or_moved(real, recs, stage) -> None:
    columns = ["hid", "weight", "recs_division"]
    donors = table(real, stage, "donor").to_pandas(columns)
    assert donors["hid"].tolist() == recs["DOEID"].tolist()
    np.testing.assert_allclose(donors["weight"], recs["NWEIGHT"])
    seen = pd.crosstab(recs["DIVISION"], donors["recs_division"].astype(str))
    # Ten divisions, each with a name of its own.
    assert seen.shape == (10, 10)
    assert ((seen > 0).sum(axis=0) == 1).all()
    assert ((seen > 0).sum(axis=1) == 1).all()


def test_exactly_the_occupied_households_are_fused_in_order_in_every_implicate(fused, delaware) -> None:
    assert len(delaware) == 3_545
    assert len(fused) == len(IMPLICATES)
    for implicate in fused:
        assert implicate["hid"].tolist() == delaware["SERIALNO"].tolist()
        assert (implicate["year"] == 2013).all()
        assert not implicate.isna().any(axis=None)


def test_what_is_fused_is_what_the_files_can_give(real, fused) -> None:
    wanted = set(load_registry().pair(PAIR).variables)
    for implicate in fused:
        assert set(implicate.columns) == {"year", "hid"} | (wanted - SKIPPED_VARIABLES)


def test_harmonies_and_variables_that_are_skipped_are_named(real) -> None:
    def named(text: str) -> set[str]:
        return set(re.findall(r"^\| (\w+) \|", text, re.M)) - {"left out", "---"}

    assert named(metadata(real, "fusion/harmonized")["skipped harmonies"]) == SKIPPED_HARMONIES
    assert named(metadata(real, "fusion/prepared")["skipped fusion variables"]) == SKIPPED_VARIABLES
    left_out = metadata(real, "survey/households")["variables left out"]
    assert set(left_out) >= SKIPPED_VARIABLES
    _, section = real.layout.report(PAIR).read_text().split("<h2>Left out, and why</h2>")
    rows = re.findall(r"<tr><td>([\w ]+)</td><td>(\w+)</td>", section.partition("</section>")[0])
    assert {name for kind, name in rows if kind == "harmony"} == SKIPPED_HARMONIES
    assert {name for kind, name in rows if kind == "fusion variable"} == SKIPPED_VARIABLES


def test_every_drawn_value_occurs_among_the_donors(fused, recs) -> None:
    for implicate in fused:
        for name in QUANTITIES:
            assert implicate[name].isin(recs[name.upper()]).all(), name
        for name, labels in LABELS.items():
            answers = set(recs[name.upper()].map(labels))
            assert set(implicate[name].astype(str)) <= answers, name
    # Nothing that one donor in a hundred answers is out of reach.
    for name, labels in LABELS.items():
        shares = recs[name.upper()].map(labels).value_counts(normalize=True)
        drawn = set(pd.concat([implicate[name].astype(str) for implicate in fused]))
        assert set(shares.index[shares > 0.01]) <= drawn


def test_expenditure_is_a_donors_price_times_the_fused_quantity(fused, recs) -> None:
    for quantity, expenditure in QUANTITIES.items():
        users = recs[recs[quantity.upper()] > 0]
        prices = np.sort((users[expenditure.upper()] / users[quantity.upper()]).to_numpy())
        for implicate in fused:
            used = implicate[quantity] > 0
            assert (implicate.loc[~used, expenditure] == 0).all()
            assert (implicate.loc[used, expenditure] > 0).all()
            paid = (implicate.loc[used, expenditure] / implicate.loc[used, quantity]).to_numpy()
            above = np.searchsorted(prices, paid).clip(1, len(prices) - 1)
            nearest = np.minimum(np.abs(prices[above] - paid), np.abs(prices[above - 1] - paid))
            assert (nearest <= 1e-9 * paid).all(), expenditure


def statistics(frame: pd.DataFrame) -> pd.DataFrame:
    """One column a statistic, whose weighted mean it is."""
    amounts = [*QUANTITIES, *QUANTITIES.values()]
    columns = {f"mean {name}": frame[name].astype(float) for name in amounts}
    columns |= {f"zero {name}": (frame[name] == 0).astype(float) for name in QUANTITIES}
    for name, labels in LABELS.items():
        columns |= {f"{name}: {label}": (frame[name] == label).astype(float) for label in labels.values()}
    return pd.DataFrame(columns)


def fused_estimates(fused: list[pd.DataFrame], delaware: pd.DataFrame) -> pd.DataFrame:
    """Estimates and standard errors by Rubin's rule, with the ACS's 80 successive-difference replicates."""
    weight = delaware["WGTP"].to_numpy(float)
    replicates = delaware[[f"wgtp{r}" for r in range(1, 81)]].to_numpy(float)
    means, variances = [], []
    for implicate in fused:
        values = statistics(implicate).to_numpy()
        mean = weight @ values / weight.sum()
        again = replicates.T @ values / replicates.sum(axis=0)[:, None]
        means.append(mean)
        variances.append(4 / 80 * ((again - mean) ** 2).sum(axis=0))
    between = np.var(means, axis=0, ddof=1)
    total = np.mean(variances, axis=0) + (1 + 1 / len(fused)) * between
    return pd.DataFrame({"fused": np.mean(means, axis=0), "fused_error": np.sqrt(total)})


def design(donors: pd.DataFrame, recipients: pd.DataFrame, weights: list[np.ndarray]) -> np.ndarray:
    """Columns of a propensity model, donors first: numbers and their squares, categories a column a level.

    A missing value counts as the weighted mean of its own side.
    """
    columns = []
    for name in donors:
        sides = [donors[name], recipients[name]]
        if all(pd.api.types.is_numeric_dtype(side) for side in sides):
            middle, spread = sides[1].mean(), sides[1].std(ddof=0)
            coded = [pd.DataFrame({1: side, 2: ((side - middle) / spread) ** 2}) for side in sides]
        else:
            levels = sorted({str(level) for side in sides for level in side.dropna()})
            coded = [
                pd.DataFrame({level: (side.astype(str) == level).where(side.notna()) for level in levels})
                for side in sides
            ]
        filled = []
        for frame, weight in zip(coded, weights, strict=True):
            known = np.ma.masked_invalid(frame.to_numpy(float))
            filled.append(known.filled(np.ma.average(known, axis=0, weights=weight)))
        columns.append(np.concatenate(filled))
    found = np.hstack(columns)
    return StandardScaler().fit_transform(found[:, found.std(axis=0) > 1e-9])


@pytest.fixture(scope="module")
def odds(real, recs, delaware) -> np.ndarray:
    """Every donor's odds of being one of Delaware's households, given the harmonized predictors; 0 elsewhere.

    Neighbouring divisions are left out: the fusion conditions on the division, too, and they differ much in air
    conditioning.
    """
    sides = [table(real, "prepared", side).to_pandas() for side in ("donor", "recipient")]
    near = (recs["DIVISION"] == SOUTH_ATLANTIC).to_numpy()
    names = [name for name in sides[0] if "__" in name]
    weights = [recs["NWEIGHT"].to_numpy(float)[near], delaware["WGTP"].to_numpy(float)]
    halves = np.concatenate([weight / weight.sum() for weight in weights])
    x = design(sides[0].loc[near, names].reset_index(drop=True), sides[1][names], weights)
    is_recipient = np.repeat([False, True], [near.sum(), len(delaware)])
    # scikit-learn's ridge penalty of 1 is on the sum over records, whose weights therefore add up to their number.
    model = LogisticRegression(solver="newton-cg", tol=1e-10, max_iter=1000)
    model.fit(x, is_recipient, sample_weight=halves * len(x) / 2)
    chance = model.predict_proba(x[: near.sum()])[:, 1]
    found = np.zeros(len(recs))
    found[near] = chance / (1 - chance)
    count = found[near] * weights[0]
    assert count.sum() ** 2 / (count**2).sum() > 100
    # Thus weighted, the donors have the means of the recipients in every predictor.
    apart = count / count.sum() @ x[: near.sum()] - halves[near.sum() :] @ x[near.sum() :]
    assert np.abs(apart).max() < 0.2
    return found


@pytest.fixture(scope="module")
def comparable(recs, odds) -> pd.DataFrame:
    """Estimates from RECS alone for households like Delaware's: survey weights times the odds.

    The standard error is that of the survey's balanced replicates with the odds held fixed.
    """
    values = statistics(
        recs.rename(columns=str.lower).assign(
            **{name: recs[name.upper()].map(labels) for name, labels in LABELS.items()}
        )
    )
    weight = recs["NWEIGHT"].to_numpy(float) * odds
    mean = weight @ values.to_numpy() / weight.sum()
    again = recs[[f"BRRWT{r}" for r in range(1, 97)]].to_numpy(float) * odds[:, None]
    replicated = again.T @ values.to_numpy() / again.sum(axis=0)[:, None]
    error = np.sqrt(4 / 96 * ((replicated - mean) ** 2).sum(axis=0))
    return pd.DataFrame({"comparable": mean, "comparable_error": error}, index=values.columns)


def test_fused_estimates_agree_with_those_of_comparable_donors(comparable, fused, delaware) -> None:
    found = comparable.copy()
    found[["fused", "fused_error"]] = fused_estimates(fused, delaware).to_numpy()
    combined = np.hypot(found["comparable_error"], found["fused_error"])
    found["z"] = np.where(combined > 0, (found["fused"] - found["comparable"]) / combined, 0.0)
    # Everybody uses electricity, among the donors and in Delaware.
    assert (found.loc["zero btuel", ["comparable", "fused"]] == 0).all()
    assert (found["z"].abs() < BEYOND).all(), "\n" + found.round(4).to_string()


def test_the_check_and_the_report_show_the_marginals_that_were_worked_out_here(
    real, comparable, fused, delaware
) -> None:
    expected = comparable.copy()
    expected[["fused", "fused_error"]] = fused_estimates(fused, delaware).to_numpy()
    shown = TableRef(real.layout.marginals(PAIR)).to_pandas().set_index(["variable", "level"])
    for name, row in expected.iterrows():
        kind, _, variable = str(name).partition(" ")
        key = (
            (kind[:-1], variable)
            if kind.endswith(":")
            else (variable, {"zero": "zero share"}.get(kind, kind))
        )
        if key not in shown.index:
            # Nobody is without electricity, so that it has no share of zeros.
            assert name == "zero btuel"
            continue
        found = shown.loc[key]
        assert found["fused"] == pytest.approx(row["fused"], rel=1e-6), name
        assert found["comparable"] == pytest.approx(row["comparable"], rel=1e-5), name
        assert found["comparable_standard_error"] == pytest.approx(row["comparable_error"], rel=1e-5), name
    check = next(
        check
        for outcome in real.outcomes.values()
        for check in outcome.checks
        if check.check_name == "marginals"
    )
    assert check.passed, check.metadata
    assert "comparable standard error" in real.layout.report(PAIR).read_text()


def test_chunk_that_was_deleted_is_drawn_again_with_the_same_bytes(real) -> None:
    folder = real.layout.implicates(PAIR)
    before = digests(folder)
    for implicate in range(6, 11):
        shutil.rmtree(real.layout.implicate(PAIR, implicate).parent)
    execute(build_defs(real.settings), JobRun("fuse_chunk", f"{PAIR}|06-10"), real.instance)
    assert digests(folder) == before


@pytest.mark.slow
def test_models_fitted_in_another_folder_on_one_thread_are_the_same(real, tmp_path) -> None:
    settings = real.settings.model_copy(update={"data": tmp_path, "threads": 1})
    for name in ("survey", "acs", "geography", "spatial"):
        shutil.copytree(real.layout.root / name, settings.root / name)
    execute(build_defs(settings), JobRun("fit_pair", PAIR), dg.DagsterInstance.ephemeral())
    there = real.layout.__class__(settings.root)
    assert load_model_set(there.model_set(PAIR)).fingerprint == (
        load_model_set(real.layout.model_set(PAIR)).fingerprint
    )
    assert digests(there.root / "fusion" / "prepared") == digests(real.layout.root / "fusion" / "prepared")


def test_who_heats_with_a_fuel_uses_it_as_all_donors_do(real):
    """ACS: HFL 1 utility gas, 2 bottled gas, 4 fuel oil; RECS: FUELHEAT 1 natural gas, 2 propane, 3 fuel oil."""
    donors = TableRef(real.layout.table(("survey", "households"), "RECS_2015")).to_pandas()
    heats = {"btung": "Natural gas from underground pipes", "btulp": "Propane (bottled gas)",
             "btufo": "Fuel oil/kerosene"}  # fmt: skip
    prepared = TableRef(real.layout.tables(("fusion", "prepared"), PAIR) / "recipient.parquet")
    fuel = prepared.to_pandas(["fuelheat__hfl"])["fuelheat__hfl"].astype(str)
    for number, (quantity, label) in enumerate(heats.items(), 2):
        assert (donors.loc[donors["fuelheat"] == label, quantity] > 0).all()
        heated = (fuel == str(number)).to_numpy()
        assert heated.any()
        for m in IMPLICATES:
            fused = pd.read_parquet(real.layout.implicate(PAIR, m), columns=[quantity])
            assert (fused.loc[heated, quantity] > 0).all()
