"""Maps in the report of a fusion pair: its headline estimates and their margins by PUMA, or by state.

Belongs here: which estimates, by which areas. Does not belong here: drawing (`mapping/`), estimating (`estimating.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from fusion_pipeline.estimating import estimate_pair
from fusion_pipeline.geography.pumas import puma_column
from fusion_pipeline.inference.output import Estimates
from fusion_pipeline.mapping.boundaries import Boundaries
from fusion_pipeline.mapping.choropleth import Choropleth, choropleth
from fusion_pipeline.mapping.finding import boundaries_of
from fusion_pipeline.mapping.png import draw
from fusion_pipeline.storage.layout import Layout
from fusion_pipeline.storage.tables import TableRef
from fusion_pipeline.validation.report import Section
from fusion_pipeline.validation.words import Words

MOST = 3
"""Maps in a report."""
ENOUGH = 30
"""Households that PUMAs have on average; with fewer a map by PUMA shows noise, and states are shown."""
SMALL = 600
"""Areas of which a map still fits the event log; of more the small map is one of states."""
_TEXT = (
    "Left: the estimate over all implicates. Right: its margin of error at 90 % in percent of it. Areas without an "
    "estimate are hatched."
)
_PAGE = 'The interactive page: fusion analyze {pair} -e "{estimate}" {by} --map map.html'


@dataclass(frozen=True)
class PairMaps:
    """Section of the report, if there is one, and a small map for elsewhere."""

    sections: list[Section] = field(default_factory=list)
    highlights: tuple[bytes, ...] = ()


def pair_maps(
    pair: str,
    layout: Layout,
    texts: Sequence[str],
    *,
    raw: TableRef,
    concordance: TableRef,
    households: TableRef,
    words: Mapping[str, Words],
    source: str,
    implicates: int,
    bounds: Mapping[str, Any],
) -> PairMaps:
    """Draw the first estimates of a pair by area; nothing where the recipient covers one area only.

    Parameters
    ----------
    pair, layout : whose implicates, and where they lie
    texts : estimates, such as `mean(btuel)`
    raw, concordance : of the recipient's PUMA definition; boundaries are among the raw files, or maps are of tiles
    households : the recipient's
    words : how to call the variables
    source : written on every map
    implicates : how many there are
    bounds : memory limit and threads of the analysis
    """
    by = area_columns(households)
    if by is None:
        return PairMaps()
    chosen = list(texts)[:MOST]
    options: dict[str, Any] = {"implicates": implicates, **bounds}
    found = estimate_pair(pair, layout, chosen, by, **options)
    boundaries = boundaries_of(raw, concordance, by[-1])
    parts, charts = [], []
    for text in chosen:
        one = typical(found, text)
        charts.append(_chart(one, boundaries, words, source))
        level = one.table["level"].iloc[0]
        asked = text if pd.isna(level) else f"mean({one.table['variable'].iloc[0]} = '{level}')"
        how = _PAGE.format(pair=pair, estimate=asked, by=" ".join(f"-b {name}" for name in by))
        parts.append(Section(charts[-1].title, how, figure=draw(charts[-1], width=8.4)))
    first = charts[0]
    if len(first.areas) > SMALL:
        one = typical(estimate_pair(pair, layout, chosen[:1], ["state"], **options), chosen[0])
        first = _chart(one, boundaries_of(raw, concordance, "state"), words, source)
    sections = [Section("Maps", _TEXT, parts=tuple(parts))]
    return PairMaps(sections, (draw(first, width=7.2, small=True),))


def _chart(one: Estimates, boundaries: Boundaries, words: Mapping[str, Words], source: str) -> Choropleth:
    about, level = words[str(one.table["variable"].iloc[0])], one.table["level"].iloc[0]
    answer = "" if pd.isna(level) or level == "Yes" else f": {level}"
    title = f"{about.description}{answer}, by {'state' if boundaries.column == 'state' else 'PUMA'}"
    return choropleth(one.table, boundaries, title=title, unit=about.unit, level=one.level, source=source)


def area_columns(households: TableRef) -> list[str] | None:
    """Name the columns of the areas to map: PUMAs where they have households enough, else states; None for one area."""
    column = puma_column(households.columns, "recipient")
    places = households.read(["state", column]).to_pandas()
    pumas = len(places.drop_duplicates())
    if pumas > 1 and len(places) >= ENOUGH * pumas:
        return ["state", column]
    return ["state"] if len(places["state"].unique()) > 1 else None


def typical(found: Estimates, text: str) -> Estimates:
    """Keep one level of a category: the yes, or what most answer."""
    rows = found.only(text)
    levels = rows.table["level"].dropna()
    if levels.empty:
        return rows
    if set(levels.unique()) == {"Yes", "No"}:
        return rows.only(level="Yes")
    means = rows.table.groupby("level", observed=True)["estimate"].mean()
    return rows.only(level=str(means.idxmax()))
