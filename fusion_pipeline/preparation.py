"""The training and prediction tables of a fusion pair.

Belongs here: joining fusion variables and spatial predictors to the harmonized tables in their places, deriving prices,
several draws of a donor's place. Does not belong here: the plan of what is drawn from what (`planning.py`).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from fusion_pipeline.errors import TrainingError
from fusion_pipeline.fusion.donors import price as price_of
from fusion_pipeline.geography import predictors as spatial
from fusion_pipeline.geography import puma_imputation
from fusion_pipeline.keys import row_positions
from fusion_pipeline.registry import FusionPair, Registry
from fusion_pipeline.storage.artefacts import PairTables
from fusion_pipeline.storage.tables import TableRef

VERSION = "3"
KEYS = ("survey", "hid", "weight")
HOUSEHOLD = "household"
"""Column of the training table: number of the donor household, whose rows belong together."""
_log = logging.getLogger(__name__)


class Price(Protocol):
    """An expenditure that is fused as price times quantity."""

    @property
    def expenditure(self) -> str: ...
    @property
    def quantity(self) -> str: ...
    @property
    def predictors(self) -> Sequence[str]: ...
    @property
    def outliers_by(self) -> str | None: ...


@dataclass(frozen=True)
class FusionVariables:
    """The fusion variables of a pair's donors.

    `table` has one row a donor household, in the order asked for; `skipped` says, by name, which variables
    the donor's files cannot give and why.
    """

    table: pa.Table
    skipped: dict[str, str]


@dataclass(frozen=True)
class LocatedPair:
    """Both sides of a pair with their PUMAs, other draws of the donors' PUMAs, and how these were imputed."""

    donor: pa.Table
    recipient: pa.Table
    draws: pa.Table
    report: dict[str, Any]


@dataclass(frozen=True)
class PreparedPair:
    """The tables that a pair is trained on and predicted for, and what is not in them."""

    donor: pa.Table
    """Keys, predictors, fusion variables."""
    recipient: pa.Table
    draws: pa.Table
    """Spatial predictors of the donors' other draws of a PUMA."""
    predictors: list[str]
    vintages: dict[str, dict[str, str]]
    """Year: vintage of each spatial dataset."""
    dropped: dict[str, str]
    """Spatial predictors left out, and why."""
    skipped: dict[str, str]
    """Fusion variables left out, and why."""


def locate_pair(
    pair: FusionPair,
    registry: Registry,
    harmonized: PairTables,
    donors: Mapping[str, TableRef],
    places: pa.Table,
    summaries: pa.Table,
    datasets: Mapping[str, TableRef],
    *,
    covered_states: Sequence[str],
    seed: int,
) -> LocatedPair:
    """Impute the donors' PUMAs inside their disclosed location; give recipients the same location columns.

    Parameters
    ----------
    harmonized : both sides with harmonized predictors
    donors : survey-year -> standardized households, whose fusion variables tell of their place
    places : concordance of the PUMA definition that the recipient uses
    summaries : recipient's ACS year by PUMA
    datasets : spatial dataset -> its summary by PUMA
    covered_states : states that the recipient's files cover; none: all

    Raises
    ------
    GeographyError
        If a donor's disclosed location has no PUMA with households of the recipient.

    Method: `geography/puma_imputation.py` and docs/method.md, Place.
    """
    donor = harmonized.donor.read()
    fused = pair_variables(pair, donors, donor)
    known = spatial.place_predictors(summaries, datasets, registry.windows, registry.year(pair.recipient))
    recipient = harmonized.recipient.read()
    located = puma_imputation.impute_puma(
        donor,
        recipient,
        places,
        locations=pair.locations,
        predictors=[name for name in donor.column_names if "__" in name],
        seed=seed,
        covered_states=covered_states,
        draws=pair.location_draws or puma_imputation.draws_for(donor.num_rows),
        evidence=puma_imputation.Evidence(fused.table, known.table),
    )
    recipient = puma_imputation.locate_recipients(recipient, places, pair.locations, seed=seed)
    return LocatedPair(located.table, recipient, located.draws, located.report)


def prepare_pair(
    pair: FusionPair,
    registry: Registry,
    located: PairTables,
    donors: Mapping[str, TableRef],
    summaries: pa.Table,
    datasets: Mapping[str, TableRef],
) -> PreparedPair:
    """Attach spatial predictors to both sides and fusion variables to the donors; parameters as in `locate_pair`."""
    windows = registry.windows
    years = {key: registry.year(key) for key in (*pair.donors, pair.recipient)}
    of_year = {
        year: spatial.place_predictors(summaries, datasets, windows, year)
        for year in sorted(set(years.values()))
    }
    of_survey = {key: of_year[years[key]].table for key in pair.donors}
    donor = spatial.attach_by_survey(located.donor.read(), of_survey)
    recipient = spatial.attach_predictors(located.recipient.read(), of_year[years[pair.recipient]].table)
    kept, dropped = spatial.usable_predictors(donor, recipient)
    names = [name for name in donor.column_names if "__" in name or name in pair.locations] + kept
    fused = pair_variables(pair, donors, donor)
    training = donor.select([*KEYS, *names])
    for name in fused.table.column_names:
        training = training.append_column(name, fused.table[name])
    assert located.draws is not None
    draws = spatial.attach_by_survey(located.draws.read(), of_survey)
    return PreparedPair(
        donor=training,
        recipient=recipient.select(["year", "hid", *names]),
        draws=draws.select(["survey", "hid", "draw", *kept]),
        predictors=names,
        vintages={str(year): of.vintages for year, of in of_year.items()},
        dropped=dropped,
        skipped=fused.skipped,
    )


def price_name(expenditure: str) -> str:
    """Name of the price behind an expenditure; it is drawn but not part of the output."""
    return f"price_{expenditure}"


def pair_variables(pair: FusionPair, donors: Mapping[str, TableRef], donor: pa.Table) -> FusionVariables:
    """Collect the fusion variables of a pair for a table of its donors; see `fusion_variables`.

    Drawn are all but expenditures, which are prices times quantities.
    """
    expenditures = {price.expenditure for price in pair.prices}
    drawn = [name for name in pair.variables if name not in expenditures]
    return fusion_variables(donors, donor.select(["survey", "hid"]), drawn, pair.prices)


def fusion_variables(
    donors: Mapping[str, TableRef], keys: pa.Table, variables: Sequence[str], prices: Sequence[Price]
) -> FusionVariables:
    """Collect the fusion variables of the donor households, in the order of `keys`.

    Parameters
    ----------
    donors : survey-year -> standardized households
    keys : table with `survey` and `hid`
    variables : fusion variables other than expenditures
    prices : expenditures; each adds its price = expenditure / quantity, in the expenditure's unit per unit
        of the quantity, 0 where the quantity is 0.

    Raises
    ------
    TrainingError
        If none of the variables is there, or an expenditure stands beside a zero quantity.
    """
    wanted = [*variables, *(price.expenditure for price in prices)]
    skipped = {
        name: f"not in {survey}, whose raw file lacks what it is made of"
        for survey, ref in donors.items()
        for name in wanted
        if name not in ref.columns
    }
    kept = [name for name in wanted if name not in skipped]
    if not kept:
        raise TrainingError(
            f"donors {', '.join(donors)}",
            f"have none of the fusion variables {', '.join(wanted)}.",
            "Correct the pair's `fuse` in fusion_pipeline/registry.yaml.",
        )
    for name, reason in skipped.items():
        _log.info("fusion variable %s is skipped: %s", name, reason)
    pooled = pa.concat_tables(
        [
            ref.read(["hid", *kept]).append_column("survey", pa.array([survey] * ref.num_rows))
            for survey, ref in donors.items()
        ]
    ).unify_dictionaries()
    table = pooled.take(_rows(pooled, keys)).select(kept)
    for price in prices:
        if price.expenditure in kept and price.quantity in kept:
            found = price_of(table, price.expenditure, price.quantity)
            table = table.append_column(price_name(price.expenditure), found)
    return FusionVariables(table, skipped)


def training_table(prepared: PairTables) -> pa.Table:
    """Put the draws of the donors' places below each other.

    Returns
    -------
    Table with a row for each donor household and draw of its PUMA, the first draws first; `household` numbers the
    households, and the weight of each is divided among its rows. Copies differ in spatial predictors alone, and must
    not be split over folds.
    """
    donor = prepared.donor.read()
    numbers = np.arange(donor.num_rows, dtype=np.int64)
    others = None if prepared.draws is None else prepared.draws.read()
    if others is None or not others.num_rows:
        return donor.append_column(HOUSEHOLD, pa.array(numbers))
    of_draw = row_positions(donor, others, ["survey", "hid"])
    rows = np.concatenate([numbers, of_draw])
    stacked = donor.take(pa.array(rows))
    for name in others.column_names:
        if name in donor.column_names and name not in ("survey", "hid"):
            values = pa.concat_arrays([donor[name].combine_chunks(), others[name].combine_chunks()])
            stacked = stacked.set_column(stacked.column_names.index(name), name, values)
    copies = len(rows) / donor.num_rows
    weight = pa.array(stacked["weight"].to_numpy().astype(np.float64) / copies)
    stacked = stacked.set_column(stacked.column_names.index("weight"), "weight", weight)
    return stacked.append_column(HOUSEHOLD, pa.array(rows)).combine_chunks()


def _rows(pooled: pa.Table, keys: pa.Table) -> np.ndarray:
    rows = row_positions(pooled, keys, ["survey", "hid"])
    if (rows < 0).any():
        survey, hid = (keys[name][int(np.argmax(rows < 0))].as_py() for name in ("survey", "hid"))
        raise TrainingError(
            f"donor household {hid} of {survey}",
            "is harmonized but not among the standardized households.",
            "Materialize fusion/harmonized of this pair again.",
        )
    return rows
