"""The simulated NHTS: files and truth agree, opinions depend on money, and the jackknife measures sampling error."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fusion_pipeline.registry import load_registry
from fusion_pipeline.simulate import nhts, simulate_folders
from fusion_pipeline.simulate.sampling import jackknife
from fusion_pipeline.surveys.codebook import load_codebook
from fusion_pipeline.surveys.ingest import RawPart, ingest

DONORS = 3000


@pytest.fixture(scope="module")
def survey(tmp_path_factory) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Households of 2017 as ingested, and the truth, by household."""
    out: Path = tmp_path_factory.mktemp("nhts") / "raw"
    simulate_folders(out, ["nhts_2017"], households=500, donors=DONORS, seed=2)
    files = load_registry().surveys["NHTS_2017"].files
    parts = {role: [RawPart(out / "nhts_2017" / f.name, (), f.member)] for role, f in files.items()}
    table = ingest(parts["households"], load_codebook("nhts_2017"), "households", parts)
    truth = pd.read_parquet(out / "truth" / "nhts_2017.parquet")
    return table.to_pandas().set_index("hid"), truth.set_index("hid")


def test_answers_and_sums_of_the_files_are_the_truth(survey) -> None:
    households, truth = survey
    assert households.index.equals(truth.index)
    for name in ("place", "price", "ptrans"):
        answered = households[name].notna()
        assert (households[name][answered].astype(str) == truth[name][answered].astype(str)).all()
        assert 0.9 < answered.mean() < 1
    assert households["gstotcst"].to_numpy() == pytest.approx(truth["gstotcst"].to_numpy(), abs=1)
    assert (households["vehicles"] == truth["vehicles"]).all()
    assert (households["bestmile"] == truth["miles"]).all()


def test_opinions_and_fuel_have_plausible_levels_and_depend_on_money_and_place(survey) -> None:
    households, truth = survey
    weight = households["weight"]
    burden = truth["place"].isin(["Agree", "Strongly agree"])
    assert 0.25 < np.average(burden, weights=weight) < 0.55
    poor, rich = households["hhfaminc"].cat.codes <= 3, households["hhfaminc"].cat.codes >= 7
    assert burden[poor].mean() > burden[rich].mean() + 0.1
    assert truth["gstotcst"][rich].mean() > truth["gstotcst"][poor].mean()
    walks = truth["ptrans"].isin(["Agree", "Strongly agree"])
    assert walks[truth["vehicles"] == 0].mean() > walks[truth["vehicles"] > 0].mean()
    assert 1_200 < np.average(truth["gstotcst"], weights=weight) < 3_500


def test_replicate_weights_keep_the_total_of_every_replicate(survey) -> None:
    households, _ = survey
    replicates = households[[f"rep_{r}" for r in range(1, 99)]].to_numpy(dtype=float)
    assert replicates.sum(axis=0) == pytest.approx(np.full(98, households["weight"].sum()), rel=1e-4)
    assert (replicates == 0).sum(axis=0) == pytest.approx(np.full(98, DONORS / 98), abs=1)


def test_jackknife_gives_the_variance_of_a_stratified_mean() -> None:
    rng = np.random.default_rng(4)
    n, strata, groups = 1400, 14, 7
    values, stratum = rng.normal(size=n), np.arange(n) % strata
    factors = jackknife(n, strata, groups)
    means = (factors * values[:, None]).sum(axis=0) / n
    replicated = (groups - 1) / groups * ((means - values.mean()) ** 2).sum()
    within = [values[stratum == s].var(ddof=1) for s in range(strata)]
    # 84 degrees of freedom: a standard error of the variance of 15 %.
    assert replicated == pytest.approx(np.mean(within) / n, rel=0.5)


@pytest.mark.parametrize("year", nhts.MOST)
def test_no_household_has_more_children_or_workers_than_the_codebook_knows(year) -> None:
    variables = load_codebook(f"nhts_{year}").households.variables.values()
    ranges = {v.raw: v.range for v in variables if v.range is not None and v.raw in nhts.MOST[year]}
    assert {"YOUNGCHILD", "WRKCOUNT"} <= ranges.keys()
    for raw, span in ranges.items():
        assert span.high is not None
        assert nhts.MOST[year][raw] <= span.high
    found = nhts._count(np.zeros(30, dtype=int), np.ones(30, dtype=bool), 1, nhts.MOST[year]["YOUNGCHILD"])
    assert found.tolist() == [nhts.MOST[year]["YOUNGCHILD"]]
