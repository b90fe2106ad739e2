"""Rotating panels: several interviews of a household, in several survey-years, become one record of a year.

Belongs here: what a codebook says of a panel, and making one record of a household's interviews. Does not belong here:
interviews themselves, which are ingested survey-year by survey-year (`ingest.py`), and the interviews that are missing
(`annualizing.py`).

The last interview says who a household is; flows, such as spending in a quarter, are added up over all interviews of a
year. Where interviews are missing, the quarters of a household that had them all are drawn.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from pydantic import Field

from fusion_pipeline.errors import IngestError
from fusion_pipeline.surveys.annualizing import fill_quarters
from fusion_pipeline.surveys.rows import some_rows
from fusion_pipeline.surveys.variables import Entry, Name

if TYPE_CHECKING:
    from fusion_pipeline.surveys.codebook import Codebook

VERSION = "1"
log = logging.getLogger(__name__)
Array = np.ndarray


class Panel(Entry):
    """How interviews of one household hang together, and what is added up over them."""

    digits: int = Field(ge=1, le=3)
    """How many last digits of `hid` number the interview; those before them name the household."""
    interviews: int = Field(ge=2)
    """How many make a year."""
    least: int = Field(ge=2)
    """Households with fewer are dropped."""
    flows: Name
    """Summaries of this kind of record hold for an interview's period, and are added up."""
    alike: tuple[Name, ...] = Field(min_length=1)
    """Numbers that, with the flows, say which households are alike when a missing interview is drawn."""


@dataclass(frozen=True)
class PanelReport:
    """What became of the interviews of all survey-years."""

    interviews: int
    dropped: int
    """Interviews of households that have too few."""
    households: int
    completed: Mapping[int, int]
    """Number of interviews a household has -> households for which the others were drawn."""


def pool_households(
    years: Mapping[str, pa.Table], codebook: Codebook, *, seed: int, stream_name: str
) -> tuple[pa.Table, PanelReport]:
    """Make one record of a year of all interviews of each household.

    Parameters
    ----------
    years : survey-year -> its interviews, as ingested and imputed; `hid` names the interview
    codebook : of the pool, with `panel`
    seed, stream_name : name the draws of missing interviews

    Returns
    -------
    table : `hid` (of the household), `year` (the pool's), `weight`, the variables and summaries, and replicate weights;
        flows are whole dollars of four quarters. Weights of the last interviews, scaled so that they add up to the mean
        over the pool's quarters.
    report : PanelReport

    Raises
    ------
    IngestError
        If an interview occurs in two survey-years, or no household has interviews enough.
    """
    panel = _panel(codebook)
    table = _stacked(years)
    hid = table["hid"].to_numpy()
    order = np.argsort(hid)
    unit = hid[order] // 10**panel.digits
    first = np.flatnonzero(np.r_[True, unit[1:] != unit[:-1]])
    count = np.diff(np.r_[first, unit.size])
    # A household that moved into the pool's first quarter has interviews 2 to 4 only: what counts is their rank.
    rank = np.arange(unit.size) - np.repeat(first, count)
    if (count > panel.interviews).any():
        raise IngestError(
            f"interviews of {', '.join(years)}, households",
            f"{int((count > panel.interviews).sum()):,} households have more than {panel.interviews} interviews "
            f"({some_rows(np.isin(hid // 10**panel.digits, unit[first[count > panel.interviews]]))}).",
            "Check that no quarter is read twice.",
        )
    kept = count >= panel.least
    if not kept.any():
        raise IngestError(
            f"interviews of {', '.join(years)}",
            f"no household has {panel.least} interviews or more.",
            "Check that all quarters are there.",
        )
    last = order[first + count - 1][kept]
    flows = [
        n for n, s in codebook.households.summaries.items() if s.of == panel.flows and n in table.column_names
    ]
    amounts = np.full((first.size, panel.interviews, len(flows)), np.nan)
    row = np.repeat(np.arange(first.size), count)
    for position, name in enumerate(flows):
        amounts[row, rank, position] = table[name].to_numpy()[order]
    latest = table.take(pa.array(last))
    weight = latest["weight"].to_numpy()
    alike = np.stack([latest[name].to_numpy().astype(float) for name in panel.alike], axis=1)
    amounts, completed = fill_quarters(amounts[kept], alike, weight, seed=seed, stream_name=stream_name)
    for position, name in enumerate(flows):
        annual = pa.array(np.rint(amounts[:, :, position].sum(axis=1)))
        latest = latest.set_column(latest.column_names.index(name), name, annual)
    scale = table["weight"].to_numpy().sum() / (len(years) * panel.interviews) / weight.sum()
    result = _keyed(latest, unit[first][kept], codebook.year, scale)
    report = PanelReport(unit.size, int(count[~kept].sum()), int(kept.sum()), completed)
    log.info(
        "%s: %s households of %s interviews", codebook.vintage, f"{report.households:,}", f"{unit.size:,}"
    )
    return result, report


def pool_persons(
    years: Mapping[str, pa.Table],
    interviews: Mapping[str, pa.Table],
    households: pa.Table,
    codebook: Codebook,
) -> pa.Table:
    """Take each household's members from its last interview, so that nobody counts twice.

    Parameters
    ----------
    years : survey-year -> members by interview
    interviews : survey-year -> interviews, of which `hid` is needed
    households : the pool's, with `hid` and `weight`
    """
    digits = 10 ** _panel(codebook).digits
    everyone = _stacked(years)
    asked = np.sort(np.concatenate([table["hid"].to_numpy() for table in interviews.values()]))
    last = asked[np.r_[asked[1:] // digits != asked[:-1] // digits, True]]
    last = last[np.isin(last // digits, households["hid"].to_numpy())]
    kept = everyone.filter(pa.array(np.isin(everyone["hid"].to_numpy(), last)))
    own = kept["hid"].to_numpy() // digits
    keys = households["hid"].to_numpy()
    order = np.argsort(keys)
    position = order[np.searchsorted(keys[order], own)]
    weight = pa.array(households["weight"].to_numpy()[position])
    return _keyed(kept, own, codebook.year, 1.0).set_column(
        kept.column_names.index("weight"), "weight", weight
    )


def _panel(codebook: Codebook) -> Panel:
    assert codebook.panel is not None
    return codebook.panel


def _stacked(years: Mapping[str, pa.Table]) -> pa.Table:
    """One table of all survey-years: the columns that all of them have."""
    first, *others = years.values()
    names = [n for n in first.column_names if all(n in other.column_names for other in others)]
    hid = np.concatenate([table["hid"].to_numpy() for table in years.values()])
    if "pid" not in names and np.unique(hid).size < hid.size:
        unique, counts = np.unique(hid, return_counts=True)
        raise IngestError(
            f"interviews of {', '.join(years)}, key hid",
            f"{int((counts > 1).sum()):,} interviews occur in more than one survey-year "
            f"({some_rows(np.isin(hid, unique[counts > 1]))}).",
            "Check that each quarter's file is read with one survey-year only.",
        )
    return pa.concat_tables([table.select(names) for table in years.values()]).unify_dictionaries()


def _keyed(table: pa.Table, hid: Array, year: int, scale: float) -> pa.Table:
    """Give records their household's key, the pool's year, and weights scaled."""
    columns = dict(zip(table.column_names, table.columns, strict=True))
    columns["hid"] = pa.array(hid)
    columns["year"] = pa.array(np.full(hid.size, year, dtype=np.int16))
    for name in columns:
        if name == "weight":
            columns[name] = pa.array(columns[name].to_numpy() * scale)
        elif name.startswith("rep_"):
            columns[name] = pa.array((columns[name].to_numpy() * scale).astype(np.float32))
    return pa.table(columns)
