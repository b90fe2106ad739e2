"""A fusion pair's estimates against published figures: which apply, estimates by area, what is expected.

Belongs here: from implicates and raw files to one table, and from the table to agreement, findings, figures and the
report's section. Does not belong here: the declared figures (`published.yaml`), the comparison itself (`external.py`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from itertools import groupby
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from fusion_pipeline.estimating import estimate_pair
from fusion_pipeline.geography.concordance import add_areas, states
from fusion_pipeline.geography.predictors import MARK
from fusion_pipeline.geography.pumas import puma_column
from fusion_pipeline.registry import load_registry
from fusion_pipeline.storage.layout import Layout
from fusion_pipeline.storage.tables import TableRef, categorical
from fusion_pipeline.validation.external import Agreement, Comparison, agreement_of, compare
from fusion_pipeline.validation.external_figures import against_published
from fusion_pipeline.validation.published import (
    NATION,
    Benchmark,
    FromDataset,
    FromRecipient,
    Printed,
    dataset_figures,
    load_published,
)
from fusion_pipeline.validation.report import Section

VERSION = "2"
INDEPENDENT, PREDICTOR, DONOR = "independent", "also a predictor", "the donor's own report"
FEWEST_AREAS = 10
"""Over fewer, a low correlation is no finding."""
TITLE = "Fused against published"
MOST_PANELS = 6
"""In a figure of the report; its table has all benchmarks."""
AREAS = {
    "nation": "nation",
    "region": "Census region",
    "division": "Census division",
    "state": "state",
    "puma": "PUMA",
}
_TEXTS = {
    "benchmark": "What is compared, in which unit and by whom it was published: validation/published.yaml",
    "area": "Nation, region, division, state or PUMA",
    "independence": "Whether the published figure was also a predictor",
}
_NUMBERS = {
    "estimate": "Estimate from the implicates, in the unit of the published figure",
    "margin": "Half width of its 90 percent interval, in the same unit",
    "published": "Published figure",
    "published_margin": "Half width of the published figure's 90 percent interval, where one is given",
    "weight": "Households of the area; 1 where totals are compared",
    "relative_error": "Estimate less published figure, as a share of the published one",
}
COLUMNS = {
    **_TEXTS,
    **_NUMBERS,
    "inside": "Whether the published figure lies inside the joint margin of both",
}
"""What the columns of the table say."""
CHECKS = {
    "correlation": "Estimates by area correlate with the published figures as the benchmarks expect.",
    "error": "The median relative error of a benchmark's areas is as small as expected.",
    "inside": "As many published figures as expected lie inside the margins of error.",
}
"""Names of the checks, which are fields of `Expected`, and what they say."""


@dataclass
class PairExternal:
    """Estimates beside published figures, and what could not be compared."""

    table: pa.Table
    """One row a benchmark and area: `benchmark`, `area`, `independence`, `estimate`, `margin`, `published`,
    `published_margin`, `weight` (households), `relative_error`, `inside`."""
    left_out: dict[str, str] = field(default_factory=dict)
    """Benchmark -> why it was not held against this pair."""


def pair_external(
    pair: str,
    layout: Layout,
    *,
    variables: Collection[str],
    predictors: Collection[str],
    households: TableRef,
    files: Mapping[str, Mapping[str, Path]],
    implicates: int,
    memory_limit: int | None = None,
    threads: int | None = None,
) -> PairExternal:
    """Hold a pair's estimates against all published figures that are of its fusion variables.

    Parameters
    ----------
    pair : name in the registry
    layout : where its artefacts lie; figures of reports are of the public origin only
    variables : fusion variables of the pair's plan
    predictors : columns of its prepared recipients
    households : the recipient's standardized households
    files : dataset of the registry -> role -> raw file, those that are at hand
    implicates : how many to pool
    memory_limit, threads : bounds for DuckDB

    Notes
    -----
    Benchmarks of the same areas and households are one analysis. Areas of which the recipient holds a part only are
    left out.
    """
    found = PairExternal(pa.table({}))
    published: dict[str, pd.DataFrame] = {}
    applicable: list[Benchmark] = []
    for benchmark in load_published().benchmarks:
        if absent := [name for name in benchmark.fused if name not in variables]:
            found.left_out[benchmark.name] = f"{', '.join(absent)} not fused"
            continue
        figures = _figures(benchmark, pair, layout.origin, households, files)
        if isinstance(figures, str):
            found.left_out[benchmark.name] = figures
        else:
            published[benchmark.name] = figures
            applicable.append(benchmark)
    weights = whole_areas(households)
    parts = []
    for (area, where), group in groupby(sorted(applicable, key=_together), key=_together):
        together = list(group)
        by = _columns(area, households)
        texts = list(dict.fromkeys(text for b in together for text in _estimands(b)))
        estimates = estimate_pair(
            pair, layout, texts, by, where=where or None, implicates=implicates,
            memory_limit=memory_limit, threads=threads,
        )  # fmt: skip
        for benchmark in together:
            given = published[benchmark.name]
            if isinstance(benchmark.figures, FromRecipient):
                own = estimates.only(benchmark.figures.estimand).table
                given = pd.DataFrame(
                    {"area": _names(own, by), "published": own["estimate"], "published_margin": own["margin"]}
                )
            ours = estimates.only(benchmark.estimand).table
            ours = ours.assign(area=_names(ours, by)).loc[:, ["area", "estimate", "margin"]]
            given = given.merge(weights[area], on="area", how="inner")
            if benchmark.estimand.startswith(("sum(", "count(")):
                given["weight"] = 1.0
            if not set(given["area"]) & set(ours["area"]):
                found.left_out[benchmark.name] = "the recipient holds none of its areas whole"
                continue
            compared = compare(ours, given, ["area"], factor=benchmark.factor).table
            parts.append(
                compared.assign(benchmark=benchmark.name, independence=_independence(benchmark, predictors))
            )
    found.table = _as_table(parts)
    return found


def comparisons(table: pa.Table) -> dict[str, Comparison]:
    """Give the comparison of every benchmark in the table, in the order in which they are declared."""
    frame = table.to_pandas()
    there = set(frame["benchmark"])
    rows = {
        b.name: frame[frame["benchmark"] == b.name] for b in load_published().benchmarks if b.name in there
    }
    return {name: Comparison(rows[name], agreement_of(rows[name])) for name in rows}


def summary(table: pa.Table) -> pd.DataFrame:
    """Give a row a benchmark: what it is, its source, and how well the estimates agree with it."""
    declared = {b.name: b for b in load_published().benchmarks}
    rows = []
    for name, comparison in comparisons(table).items():
        b = declared[name]
        agreement = asdict(comparison.agreement)
        del agreement["only_estimated"], agreement["only_published"]
        rows.append(
            {"benchmark": b.title, "area": b.area, "estimand": b.estimand, "unit": b.unit, **agreement,
             "independence": comparison.table["independence"].iloc[0],
             "source": f"{b.source.publisher}, {b.source.title} ({b.source.date})"}
        )  # fmt: skip
    columns = (
        "benchmark",
        "area",
        "estimand",
        "unit",
        *Agreement.__dataclass_fields__,
        "independence",
        "source",
    )
    return pd.DataFrame(rows, columns=[c for c in columns if not c.startswith("only_")])


def findings(table: pa.Table) -> dict[str, list[str]]:
    """Say, check by check, which benchmarks are beyond what is expected."""
    told: dict[str, list[str]] = {name: [] for name in CHECKS}
    for held in _held(table):
        if held.beyond > 0:
            told[held.check].append(f"{held.benchmark}: {held.got:.2f}, expected {held.wanted:g}")
    return told


def check_numbers(table: pa.Table) -> dict[str, dict[str, float | str]]:
    """Give, check by check, numbers that can be followed over time, of the benchmark that is worst off.

    Named by the check: what was found, such as `correlation_found`, and by how much that is beyond what is expected
    (`correlation_beyond`; negative: on the good side). None where no benchmark expects anything.
    """
    numbers: dict[str, dict[str, float | str]] = {name: {} for name in CHECKS}
    for held in sorted(_held(table), key=lambda held: held.beyond):
        numbers[held.check] = {
            f"{held.check}_found": held.got,
            f"{held.check}_beyond": held.beyond,
            "worst benchmark": held.benchmark,
        }
    return numbers


@dataclass(frozen=True)
class _Held:
    """One figure of a benchmark's agreement, and what is expected of it."""

    check: str
    benchmark: str
    got: float
    wanted: float

    @property
    def beyond(self) -> float:
        """Difference in the bad direction: an error may be too large, the others too small."""
        return self.got - self.wanted if self.check == "error" else self.wanted - self.got


def _held(table: pa.Table) -> Iterator[_Held]:
    declared = {b.name: b for b in load_published().benchmarks}
    for name, comparison in comparisons(table).items():
        expected, agreement = declared[name].expect, comparison.agreement
        enough = agreement.areas >= FEWEST_AREAS
        for check, wanted, got in (
            ("correlation", expected.correlation if enough else None, agreement.correlation),
            ("error", expected.error, agreement.median_error),
            ("inside", expected.inside, agreement.inside),
        ):
            # What cannot be computed, as the correlation with a constant, is no finding.
            if wanted is not None and np.isfinite(got):
                yield _Held(check, name, float(got), wanted)


def figure(
    table: pa.Table, *, area: str | None = None, most: int | None = None, source: str = ""
) -> bytes | None:
    """Draw the benchmarks of the table, or those of one kind of area; of too many, those with most areas.

    None if there is nothing to draw.
    """
    declared = {b.name: b for b in load_published().benchmarks}
    found = {name: c for name, c in comparisons(table).items() if area in (None, declared[name].area)}
    chosen = sorted(found, key=lambda name: -found[name].agreement.areas)[:most]
    panels = [(declared[name].title, declared[name].unit, found[name]) for name in found if name in chosen]
    words = f", by {AREAS[area]}" if area else ""
    return against_published(panels, title=f"{TITLE}{words}", source=source) if panels else None


def whole_areas(households: TableRef) -> dict[str, pd.DataFrame]:
    """Households of every area that the recipient covers wholly: columns `area`, `weight`."""
    puma = puma_column(households.columns, "recipient")
    frame = add_areas(households.read(["state", puma, "weight"])).to_pandas()
    frame["state"] = frame["state"].astype(str)
    frame["puma"] = frame["state"] + frame[puma].astype(str)
    frame["nation"] = NATION
    here, weights = set(frame["state"]), {}
    for kind in ("nation", "region", "division", "state", "puma"):
        sums = frame.groupby(frame[kind].astype(str))["weight"].sum().rename_axis("area").reset_index()
        if kind in ("nation", "region", "division"):
            partial = {NATION if kind == "nation" else getattr(state, kind)
                       for fips, state in states().items() if fips not in here}  # fmt: skip
            sums = sums[~sums["area"].isin(partial)]
        weights[kind] = sums[sums["weight"] > 0]
    return weights


def external_sections(pair: str, layout: Layout, source: str) -> list[Section]:
    """Give the report's section on published figures; none if they were not compared."""
    path = layout.table(("quality", "external"), pair)
    if not path.is_file():
        return []
    table = TableRef(path).read()
    if not table.num_rows:
        return [
            Section(
                TITLE,
                "No published figure is of the fusion variables and areas of this pair.",
            )
        ]
    there = set(table["benchmark"].to_pylist())
    applied = [b for b in load_published().benchmarks if b.name in there]
    text = (
        "Estimates by area beside figures that somebody else published. Correlations and biases of means, shares and "
        "prices are weighted by households; ranks and errors are not. Slope: of estimates on figures, 1 if differences "
        "between areas are kept, less if estimates are drawn together. Inside: within the 90 % margin of both."
    )
    if layout.origin == "simulated":
        text += " The figures of this run are those of the simulated world, laid out as their sources publish them."
    shown = summary(table).drop(columns=["estimand", "unit", "source"]).round(2)
    parts = []
    for area in dict.fromkeys(b.area for b in applied):
        together: dict[str, list[str]] = {}
        for b in applied:
            if b.area == area:
                about = f"{b.source.publisher}, {b.source.title} ({b.source.date}). {b.caveat}"
                together.setdefault(about, []).append(b.title)
        words = [f"{', '.join(titles)}: {about}" for about, titles in together.items()]
        drawn = figure(table, area=area, most=MOST_PANELS, source=source)
        parts.append(Section(f"{TITLE}, by {AREAS[area]}", "\n\n".join(words), figure=drawn))
    return [Section(TITLE, text, table=shown, parts=tuple(parts))]


def _together(benchmark: Benchmark) -> tuple[str, str]:
    return benchmark.area, benchmark.where or ""


def _estimands(benchmark: Benchmark) -> list[str]:
    own = [benchmark.figures.estimand] if isinstance(benchmark.figures, FromRecipient) else []
    return [benchmark.estimand, *own]


def _figures(
    benchmark: Benchmark,
    pair: str,
    origin: str,
    households: TableRef,
    files: Mapping[str, Mapping[str, Path]],
) -> pd.DataFrame | str:
    """Columns `area` and `published`, or why there are none; what recipients answered is estimated later."""
    figures = benchmark.figures
    years = {load_registry().year(donor) for donor in load_registry().pair(pair).donors}
    if isinstance(figures, FromRecipient):
        absent = [name for name in figures.columns if name not in households.columns]
        return f"the recipient has no {', '.join(absent)}" if absent else pd.DataFrame()
    if len(years) != 1:
        return "its donors are of several years"
    [year] = years
    if isinstance(figures, Printed):
        if figures.year != year:
            return f"of {figures.year}, and the donor is of {year}"
        if origin != "public":
            return "of the real world, and this run's is simulated"
        return pd.DataFrame([(a, figures.of(a)) for a in figures.values], columns=["area", "published"])
    return dataset_figures(figures, year, files.get(figures.dataset, {}))


def _columns(area: str, households: TableRef) -> list[str]:
    return {
        "nation": [],
        "puma": ["state", puma_column(households.columns, "recipient")],
    }.get(area, [area])


def _names(frame: pd.DataFrame, by: list[str]) -> pd.Series:
    if not by:
        return pd.Series([NATION] * len(frame), index=frame.index)
    return frame[by].astype(str).agg("".join, axis=1)


def _independence(benchmark: Benchmark, predictors: Collection[str]) -> str:
    figures = benchmark.figures
    if isinstance(figures, Printed):
        return DONOR if figures.of_donor else INDEPENDENT
    if isinstance(figures, FromDataset):
        dataset = load_registry().spatial[figures.dataset]
        own = {f"{figures.dataset}{MARK}{v.name}" for v in dataset.every_variable if v.of == figures.column}
        return PREDICTOR if own & set(predictors) else INDEPENDENT
    used = {name.split("__")[1] for name in predictors if "__" in name}
    return PREDICTOR if used & set(figures.columns) else INDEPENDENT


def _as_table(parts: list[pd.DataFrame]) -> pa.Table:
    empty = pd.DataFrame({name: pd.Series(dtype=object) for name in (*_TEXTS, *_NUMBERS, "inside")})
    order = [b.name for b in load_published().benchmarks]
    frame = pd.concat(parts, ignore_index=True) if parts else empty
    frame = frame.sort_values(
        ["benchmark", "area"], key=lambda c: c.map(order.index) if c.name == "benchmark" else c
    )
    columns: dict[str, pa.Array] = {}
    for name in _TEXTS:
        levels = list(dict.fromkeys(frame[name]))
        columns[name] = categorical(pd.Categorical(frame[name], categories=levels).codes, levels)
    for name in _NUMBERS:
        # Nine digits, as estimates have.
        values = [None if pd.isna(v) else float(f"{v:.8e}") for v in frame[name]]
        columns[name] = pa.array(values, pa.float64())
    columns["inside"] = pa.array([None if pd.isna(v) else bool(v) for v in frame["inside"]], pa.bool_())
    return pa.table(columns)
