"""A map before it is drawn: areas on a sheet, what is known of each, classes and their colours, and the words around.

Belongs here: joining estimates with boundaries, and every decision that both drawings share. Does not belong here:
drawing (`png.py`, `page.py`), projection (`canvas.py`).

Colours: ColorBrewer's sequential YlGnBu and OrRd in six classes (Brewer, Hatchard and Harrower 2003, ColorBrewer
in Print), which people with any common colour blindness can tell apart; darker is more.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pandas as pd

from fusion_pipeline.errors import AnalysisError, GeographyError
from fusion_pipeline.geography.concordance import states
from fusion_pipeline.geography.pumas import PUMAS
from fusion_pipeline.mapping.boundaries import Area, Boundaries, named
from fusion_pipeline.mapping.canvas import Sheet, lay_out
from fusion_pipeline.mapping.tiles import BAND
from fusion_pipeline.text import as_text

Array = np.ndarray
ESTIMATE_COLOURS = ("#ffffcc", "#c7e9b4", "#7fcdbb", "#41b6c4", "#2c7fb8", "#253494")
MARGIN_COLOURS = ("#fef0d9", "#fdd49e", "#fdbb84", "#fc8d59", "#e34a33", "#b30000")
MARGIN_BREAKS = (5.0, 10.0, 20.0, 40.0, 80.0)
"""Percent of the estimate; always the same, so that maps compare."""
PLACES = ("state", *PUMAS)
TOTAL = "(all)"
"""The value of a group column in a row that is a total, as `inference.analyze` writes it."""


@dataclass(frozen=True)
class Layer:
    """One quantity shown: values by area (NaN where there is none), classes between breaks, and words."""

    name: str
    title: str
    unit: str
    values: Array
    breaks: tuple[float, ...]
    colours: tuple[str, ...]

    @property
    def without(self) -> str:
        """What to write beside the hatching of areas that have no value."""
        return f"no {self.title.split()[0].lower()}"

    @property
    def classes(self) -> Array:
        """(areas,) class of every area, from 0; -1 without a value."""
        found = np.searchsorted(np.array(self.breaks), self.values, side="right")
        return np.where(np.isnan(self.values), -1, found)

    @property
    def shades(self) -> tuple[str, ...]:
        """The colour of every class; fewer classes than colours are as far apart as these allow."""
        at = np.linspace(0, len(self.colours) - 1, len(self.breaks) + 1) if self.breaks else [2]
        return tuple(self.colours[round(float(k))] for k in at)

    @property
    def labels(self) -> tuple[str, ...]:
        """What to write beside the colour of every class."""
        texts = [_plain(value) for value in self.breaks]
        if not texts:
            known = self.values[~np.isnan(self.values)]
            return (_plain(float(known[0])) if len(known) else "no value",)
        between = [f"{low} to {high}" for low, high in pairwise(texts)]
        return (f"under {texts[0]}", *between, f"{texts[-1]} or more")


@dataclass(frozen=True)
class Choropleth:
    """A map of an estimate and of its margin of error."""

    title: str
    note: str
    """What the margin is, and what the colours do not show."""
    source: str
    areas: tuple[Area, ...]
    sheet: Sheet
    outlines: Sheet | None
    """States."""
    labels: tuple[tuple[float, float, str], ...]
    """Text on the sheet, where it is one of tiles: x, y, postal code."""
    estimate: Layer
    margin: Layer
    cells: pd.DataFrame
    """By area: text of `estimate`, `margin` and `n`; empty where there is no estimate."""

    @property
    def banded(self) -> bool:
        """Whether labels stand in bands above the cells of tiles, where there is less room."""
        return bool(self.labels) and any(area.puma for area in self.areas)

    @property
    def layers(self) -> tuple[Layer, Layer]:
        """The two things that can be shown."""
        return self.estimate, self.margin


def place_columns(by: tuple[str, ...]) -> tuple[str, ...]:
    """Give the group columns that say where an estimate is of: the state, or state and PUMA.

    Raises
    ------
    AnalysisError
        If groups are no places, or more than places.
    """
    found = tuple(name for name in PLACES if name in by)
    if found[:1] != ("state",) or len(found) > 2:
        raise AnalysisError(
            "map",
            f"cannot be drawn: groups are {', '.join(by) or 'none'}.",
            "Analyze by state, or by state and PUMA (puma10 or puma20), which is unique within its state only.",
        )
    if others := [name for name in by if name not in found]:
        raise AnalysisError(
            "map",
            f"has several estimates of an area: there is also the group {', '.join(others)}.",
            f"Analyze by {' and '.join(found)} alone, with a filter for one value of {others[0]}.",
        )
    return found


def choropleth(
    table: pd.DataFrame,
    boundaries: Boundaries,
    *,
    title: str = "",
    unit: str = "",
    level: float = 0.90,
    source: str = "",
) -> Choropleth:
    """Join the estimates of one estimand and level with boundaries.

    Parameters
    ----------
    table : rows of `inference.analyze`, with `state` and, if the boundaries are of PUMAs, their column; totals
        are left out
    boundaries : of the areas
    title : heading; without it the estimand
    unit : of the estimate; a proportion is shown in percent
    level : confidence level of the margins
    source : what the estimates come from

    Raises
    ------
    GeographyError
        If boundaries are of another kind, or an area with an estimate is not among them.
    """
    frame = _of_places(table, boundaries)
    areas = _shown(frame, boundaries)
    estimand = str(table["estimand"].iloc[0])
    category = table["level"].iloc[0]
    percent = estimand.startswith("proportion")
    unit = "% of households" if percent and not unit else unit
    of_area = frame.reindex(pd.MultiIndex.from_tuples([area.key for area in areas]))
    estimate = of_area["estimate"].to_numpy(np.float64) * (100 if percent else 1)
    margin = of_area["margin"].to_numpy(np.float64) * (100 if percent else 1)
    relative = np.full(len(estimate), np.nan)
    np.divide(100 * margin, np.abs(estimate), out=relative, where=np.abs(estimate) > 0)
    relative[~np.isfinite(relative)] = np.nan
    heading = title or estimand + ("" if pd.isna(category) else f" = {category}")
    kind = "states" if boundaries.column == "state" else f"PUMAs of 20{boundaries.column[-2:]}"
    known = int((~np.isnan(estimate)).sum())
    there = {area.state for area in areas}
    states_shown = boundaries.areas if boundaries.column == "state" else boundaries.outlines
    everything = [*areas, *(outline for outline in states_shown if outline.state in there)]
    sheet = lay_out(everything, degrees=boundaries.degrees)
    return Choropleth(
        title=heading,
        note=f"{known:,} {kind}; margin of error at {100 * level:g} %",
        source=". ".join(part for part in (source, f"Map: {boundaries.source}" if boundaries.source else "") if part),
        areas=tuple(areas),
        sheet=replace(sheet, rings=sheet.rings[: len(areas)]),
        outlines=replace(sheet, rings=sheet.rings[len(areas) :]) if states_shown else None,
        labels=() if boundaries.degrees else _labels(everything, sheet, 0.5 if kind == "states" else BAND / 2),
        estimate=Layer("estimate", "Estimate", unit, estimate, _breaks(estimate), ESTIMATE_COLOURS),
        margin=Layer("margin", "Margin of error", "% of the estimate", relative, MARGIN_BREAKS, MARGIN_COLOURS),
        cells=_cells(of_area, estimate, margin),
    )  # fmt: skip


def _of_places(table: pd.DataFrame, boundaries: Boundaries) -> pd.DataFrame:
    """Index rows by state and PUMA code, and refuse what the boundaries have not."""
    there = [name for name in PUMAS if name in table]
    column = there[0] if there else "state"
    if column != boundaries.column:
        raise GeographyError(
            "map",
            f"estimates are by {column}, boundaries by {boundaries.column}.",
            f"Use boundaries of {column}: after every census PUMAs are drawn anew.",
        )
    state = table["state"].astype(str)
    puma = table[column].astype(str) if there else state.where(state == TOTAL, "")
    rows = (state != TOTAL) & (puma != TOTAL)
    frame = table[rows].set_index([state[rows].to_numpy(), puma[rows].to_numpy()])
    known = {area.key for area in boundaries.areas}
    if unknown := [key for key in frame.index if key not in known]:
        raise GeographyError(
            "map",
            f"{named(unknown[:1], column)} is not among the boundaries ({boundaries.source}).",
            f"Use boundaries that have it; {len(unknown)} areas with an estimate are unknown to these.",
        )
    return frame


def _shown(frame: pd.DataFrame, boundaries: Boundaries) -> list[Area]:
    """Give the areas to draw: of one state that alone, else all, states without estimates whole."""
    covered = set(frame.index.get_level_values(0))
    if boundaries.column == "state":
        return list(boundaries.areas)
    inside = [area for area in boundaries.areas if area.state in covered]
    others = [area for area in boundaries.outlines if area.state not in covered]
    return inside if len(covered) == 1 else inside + others


def _labels(areas: list[Area], sheet: Sheet, down: float) -> tuple[tuple[float, float, str], ...]:
    return tuple(
        (*sheet.middle(position, down), states()[area.state].usps)
        for position, area in enumerate(areas)
        if not area.puma
    )


def _cells(rows: pd.DataFrame, estimate: Array, margin: Array) -> pd.DataFrame:
    columns = {"estimate": estimate, "margin": margin, "n": rows["n"].to_numpy(np.float64)}
    texts = {
        name: ["" if math.isnan(value) else as_text(int(value) if name == "n" else value) for value in values]
        for name, values in columns.items()
    }
    return pd.DataFrame(texts)


def _breaks(values: Array) -> tuple[float, ...]:
    """Divide values into at most six classes of about as many areas, at round numbers; none of them is empty."""
    known = values[~np.isnan(values)]
    if not len(known):
        return ()
    cuts = np.quantile(known, np.arange(1, 6) / 6)
    width = (cuts[-1] - cuts[0]) / 4
    if width <= 0:
        return ()
    step = 10.0 ** math.floor(math.log10(width))
    step *= 5 if width / step >= 5 else 2 if width / step >= 2 else 1
    rounded = np.unique(np.round(cuts / (step / 2)) * (step / 2))
    inside = [float(value) for value in rounded if known.min() < value <= known.max()]
    filled = np.unique(np.searchsorted(inside, known, side="right"))
    return tuple(inside[k - 1] for k in filled if k)


def _plain(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:,.6g}"
