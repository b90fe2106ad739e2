"""Run fusion pairs on real public-use files, whole, and write what went in, came out and was left out.

Run: python benchmarks/real_runs.py [--shared ../shared] [--pairs NHTS_2022__ACS_2024 ...] [--out data/real_runs]

Writes docs/real_runs.md, and the estimates by PUMA as CSV into --out. Sections of pairs that are not asked for stay as
they are. What --out holds of an earlier run is reused, as any rerun of the graph reuses it; times are those of the
making.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
from measure import calibrate

from fusion_pipeline.errors import FusionError
from fusion_pipeline.estimating import estimate_pair
from fusion_pipeline.geography.pumas import puma_column
from fusion_pipeline.registry import load_registry
from fusion_pipeline.running import run_pair
from fusion_pipeline.settings import Settings, load_settings
from fusion_pipeline.storage.layout import Layout
from fusion_pipeline.storage.tables import TableRef
from fusion_pipeline.summary import summarize

PROJECT = Path(__file__).resolve().parents[1]
PAGE = PROJECT / "docs" / "real_runs.md"
HEAD = (
    "# Real runs\n\nWhole public-use files, as far as they are at hand, through the graph: written by "
    "`python benchmarks/real_runs.py`; each section names its command and its day. What a pair's files lack is "
    "skipped by name, and listed."
)


@dataclass(frozen=True)
class Published:
    """A total that a survey's publisher gives of its own households, and what adds up to it."""

    what: str
    figure: float
    source: str
    column: str | None = None
    """Whose weighted sum it is; the weights' own without one."""
    other_than: str | None = None
    """A level: the sum is of all who have another."""
    unit: float = 1.0
    """What the publisher rounds to."""


@dataclass(frozen=True)
class RealRun:
    """A pair, what is estimated of it, and what its donors must reproduce."""

    estimates: tuple[str, ...]
    published: tuple[Published, ...] = ()


ENERGY = ("mean(btuel)", "mean(dollarel)", "mean(btung)", "proportion(cooltype)")
RECS = (
    Published("households", 118.2e6, "RECS 2015, Table HC1.1", unit=1e5),
    Published(
        "households with air conditioning", 102.8e6, "RECS 2015, Table HC7.1",
        "cooltype", "No air conditioning", 1e5,
    ),
)  # fmt: skip
NHTS_2017 = "NHTS 2017 codebook v1.1, weighted frequencies of "
NHTS_2022 = "NHTS 2022 codebook, weighted frequencies of "
RUNS = {
    "RECS_2015__ACS_2013": RealRun((*ENERGY, "proportion(scalee)"), RECS),
    "RECS_2015__ACS_2015": RealRun(ENERGY, RECS),
    "NHTS_2017__ACS_2017": RealRun(
        ("proportion(price)", "proportion(place)", "proportion(ptrans)", "proportion(travel)"),
        (
            Published("households", 118_208_251, NHTS_2017 + "HHSIZE"),
            Published("persons in households", 290_114_394, NHTS_2017 + "HHSIZE", "hhsize"),
            Published("vehicles", 222_578_947, NHTS_2017 + "HHVEHCNT", "hhvehcnt"),
        ),
    ),
    "NHTS_2022__ACS_2024": RealRun(
        ("mean(hhvehcnt)", "mean(annmiles)", "mean(newest)", "mean(plugin)", "mean(hybrids)"),
        (
            Published("households", 127_544_707, NHTS_2022 + "HHSIZE"),
            Published("persons in households", 314_420_713, NHTS_2022 + "HHSIZE", "hhsize"),
            Published("vehicles", 231_225_765, NHTS_2022 + "HHVEHCNT", "hhvehcnt"),
        ),
    ),
    "AHS_2019__ACS_2017": RealRun(("proportion(ratinghs)",)),
}


def main() -> None:
    """Run the pairs and write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shared", type=Path, default=PROJECT.parent / "shared")
    parser.add_argument("--pairs", nargs="+", default=list(RUNS), choices=RUNS)
    parser.add_argument("--out", type=Path, default=PROJECT / "data" / "real_runs")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    given = parser.parse_args()
    sections = _sections(PAGE)
    settings = load_settings(
        data=given.out, raw=given.shared / "data", offline=True, seed=1, threads=given.threads
    )
    (given.out / "instance").mkdir(parents=True, exist_ok=True)
    with dg.DagsterInstance.local_temp(str(given.out / "instance")) as instance:
        for pair in given.pairs:
            measured = (
                f"`python benchmarks/real_runs.py --pairs {pair}`, {date.today():%Y-%m-%d}, {given.threads} thread(s); "
                f"the calibration loop of docs/benchmarks.md took {calibrate():.2f} CPU s."
            )
            section = _section(pair, RUNS[pair], settings, instance, given.out)
            sections[pair] = f"## {pair}\n\n{measured}\n\n{section}"
            told = [sections[name] for name in RUNS if name in sections]
            PAGE.write_text("\n\n".join([HEAD, *told]) + "\n", encoding="utf-8")


def _sections(page: Path) -> dict[str, str]:
    """Read the sections of a page by their pair."""
    found = page.read_text(encoding="utf-8").split("\n## ")[1:] if page.is_file() else []
    return {text.split("\n", 1)[0]: f"## {text.strip()}" for text in found}


def _section(pair: str, wanted: RealRun, settings: Settings, instance: dg.DagsterInstance, out: Path) -> str:
    made: list[dg.AssetMaterialization] = []
    try:
        for _, outcome in run_pair(pair, settings, instance):
            made += outcome.materialized if outcome is not None else []
    except (FusionError, dg.DagsterExecutionStepExecutionError) as error:
        cause = error.__cause__ or error
        left_out = _left_out(made)
        return "\n\n".join(part for part in (f"Not carried to the end: {cause}", left_out) if part)
    layout = Layout(settings.root)
    parts = [
        _counts(pair, made, layout),
        _left_out(made),
        _published(pair, wanted, layout),
        _steps(pair, instance),
    ]
    by_state = estimate_pair(pair, layout, wanted.estimates, ["state"])
    parts.append(f"### Estimates by state\n\n{by_state.to_markdown().strip()}")
    puma = puma_column(_households(pair, layout).columns, pair)
    by_puma = estimate_pair(pair, layout, wanted.estimates, ["state", puma])
    by_puma.write(out / f"{pair}_by_puma.csv")
    parts.append(f"### Estimates by PUMA\n\n{_spread(by_puma.table)}")
    return "\n\n".join(part for part in parts if part)


def _value(made: list[dg.AssetMaterialization], asset: str, name: str) -> Any:
    """Read the metadata of an asset's last materialization."""
    key = dg.AssetKey.from_user_string(asset)
    found = [m.metadata[name].value for m in made if m.asset_key == key and name in m.metadata]
    return found[-1] if found else None


def _households(pair: str, layout: Layout) -> TableRef:
    return TableRef(layout.table(("acs", "households"), load_registry().pair(pair).recipient))


def _counts(pair: str, made: list[dg.AssetMaterialization], layout: Layout) -> str:
    households = _households(pair, layout)
    places = households.read(["state", puma_column(households.columns, pair)])
    implicates = sorted(layout.implicates(pair).rglob("*.parquet"))
    fused = TableRef(implicates[0]).num_rows
    weight = households.read(["weight"])["weight"].to_numpy().sum()
    rows = [
        ("donor records read", _value(made, "survey/households", "rows read")),
        ("donors", _value(made, "survey/households", "rows kept")),
        ("ACS housing records read", _value(made, "acs/households", "rows read")),
        ("occupied households kept", _value(made, "acs/households", "rows kept")),
        ("left out of the ACS", _value(made, "acs/households", "dropped")),
        ("households fused in every implicate", fused),
        ("implicates", len(implicates)),
        ("weighted households", round(float(weight))),
        ("PUMAs", places.group_by(places.column_names).aggregate([]).num_rows),
    ]
    return _markdown(["rows", ""], [(name, _number(value)) for name, value in rows if value is not None])


def _left_out(made: list[dg.AssetMaterialization]) -> str:
    parts = []
    for asset, name in (
        ("fusion/prepared", "skipped fusion variables"),
        ("fusion/harmonized", "skipped harmonies"),
        ("fusion/prepared", "dropped spatial predictors"),
    ):
        text = str(_value(made, asset, name) or "").strip()
        if "|" in text:
            parts.append(f"<details><summary>{name}</summary>\n\n{text}\n\n</details>")
    return "\n\n".join(parts)


def _published(pair: str, wanted: RealRun, layout: Layout) -> str:
    rows = []
    [donor] = load_registry().pair(pair).donors
    table = TableRef(layout.table(("survey", "households"), donor))
    for figure in wanted.published:
        weight = table.read(["weight"])["weight"].to_numpy()
        counted = np.ones(len(weight))
        if figure.column:
            values = table.to_pandas([figure.column])[figure.column]
            counted = (values if figure.other_than is None else values != figure.other_than).to_numpy(float)
        found = float(weight @ counted)
        same = "yes" if abs(found - figure.figure) <= figure.unit / 2 + 0.5 else "**no**"
        rows.append((figure.what, _number(figure.figure), _number(found), same, figure.source))
    if not rows:
        return ""
    head = ["donors'", "published", "ours", "the same, as rounded", "source"]
    return "### What the publisher tells\n\n" + _markdown(head, rows)


def _steps(pair: str, instance: dg.DagsterInstance) -> str:
    """Tell what the steps took when they were made, which may have been in an earlier run."""
    steps = summarize(pair, instance).dropna(subset=["seconds"])
    by_asset = steps.groupby("asset", sort=False)
    taken = by_asset.agg({"seconds": "sum", "CPU seconds": "sum", "peak memory MB": "max"})
    rows = [(name, *(f"{v:,.0f}" for v in row)) for name, row in taken.iterrows() if row["CPU seconds"] >= 1]
    whole = (taken["seconds"].sum(), taken["CPU seconds"].sum(), taken["peak memory MB"].max())
    rows.append(("**all**", *(f"{value:,.0f}" for value in whole)))
    head = ["step (of a CPU second or more)", "seconds", "CPU s", "peak MB"]
    return "### Time and memory\n\n" + _markdown(head, rows)


def _spread(table: Any) -> str:
    """Tell how areas differ: the whole table is in the CSV."""
    levels = table["level"].fillna("") if "level" in table else ""
    rows = []
    for (estimand, level), part in table.assign(level=levels).groupby(["estimand", "level"], sort=False):
        values, margins = part["estimate"], part["margin"]
        quantiles = values.quantile([0.05, 0.5, 0.95])
        rows.append(
            (estimand, level, len(part), *(f"{v:,.3g}" for v in quantiles), f"{margins.median():,.3g}")
        )
    return _markdown(["estimand", "level", "PUMAs", "5 %", "median", "95 %", "median margin (90 %)"], rows)


def _number(value: Any) -> str:
    if isinstance(value, int | float):
        return f"{value:,.0f}" if value == round(value) or value >= 1000 else f"{value:.3f}"
    if isinstance(value, dict):
        return ", ".join(f"{name}: {count:,}" for name, count in value.items()) or "none"
    return str(value)


def _markdown(head: list[str], rows: list[tuple]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


if __name__ == "__main__":
    main()
