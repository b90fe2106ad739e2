"""Area errors of a fusion pair: its recipient's own variables, fused as the pair's donors would have them.

Belongs here: which variables are proxies (`area_proxies.yaml`), a donor sample of the pair's size with the pair's
predictors, disclosed locations and PUMA imputation. Does not belong here: fusing and measuring (`self_fusion.py`,
`known_truth.py`).
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import pyarrow as pa

from fusion_pipeline.errors import RegistryError
from fusion_pipeline.geography.candidates import find_candidates
from fusion_pipeline.geography.places import Places
from fusion_pipeline.geography.predictors import MARK, attach_predictors
from fusion_pipeline.geography.puma_imputation import draw_pumas, draws_for, known_of_places
from fusion_pipeline.geography.pumas import puma_column
from fusion_pipeline.geography.summaries import load_summaries
from fusion_pipeline.inference.area_error import AreaError
from fusion_pipeline.keys import row_positions
from fusion_pipeline.randomness import stream
from fusion_pipeline.registry import load_registry
from fusion_pipeline.storage.artefacts import PairTables
from fusion_pipeline.storage.tables import TableRef
from fusion_pipeline.validation.area_proxies import PATH, Proxies, load_proxies
from fusion_pipeline.validation.known_truth import area_error_of
from fusion_pipeline.validation.self_fusion import Design, SelfFusion, Whereabouts, sampled

VERSION = "3"
WIDER = ("state",)
IMPLICATES = 10
MOST_HOUSEHOLDS = 100_000
"""Recipients fused onto: whole PUMAs, drawn at random, so that a national recipient costs no more than some states."""
MOST_DRAWS = 2
"""Of a donor's area. A pair may draw more; with fewer, errors are a little larger: margins err to the wide side."""
QUICK = {"folds": 3, "learning_rate": 0.25, "patience": 8}
"""A dozen proxies are fitted, and what counts of each is by how much areas differ from the truth."""
_log = logging.getLogger(__name__)


def pair_area_error(
    pair: str,
    *,
    located: PairTables,
    prepared: PairTables,
    households: TableRef,
    places: pa.Table,
    concordance: TableRef,
    covered_states: Sequence[str],
    seed: int,
    threads: int,
    most_households: int = MOST_HOUSEHOLDS,
) -> AreaError:
    """Measure the area errors of a pair.

    Parameters
    ----------
    pair : name in the registry
    located, prepared : the pair's tables: places and weights of recipients; predictors, and how many donors there are
    households : the recipient's standardized households
    places : spatial predictors by PUMA, of the recipient's year
    concordance : of `build_concordance`
    covered_states : FIPS codes of the states that the recipient covers; empty: all of them
    seed, threads : as elsewhere
    most_households : recipients fused onto

    Returns
    -------
    AreaError
        Not `measured` if fewer than ten PUMAs have 20 households or more.
    """
    locations = list(load_registry().pair(pair).locations)
    harmonized = [name for name in prepared.donor.columns if "__" in name]
    recipient = located.recipient.read()
    area = ("state", puma_column(recipient.column_names, "recipient"))
    used = {name.split("__")[1] for name in harmonized}
    values, left_out = _values(households, recipient, load_proxies(), used)
    design = Design(
        area="area",
        disclosed=tuple(locations),
        predictors=(*harmonized, *(name for name in locations if name in prepared.donor.columns)),
        donors=min(prepared.donor.num_rows, recipient.num_rows // 2),
        implicates=IMPLICATES,
        seed=seed,
        draws=min(
            MOST_DRAWS, load_registry().pair(pair).location_draws or draws_for(prepared.donor.num_rows)
        ),
        options=QUICK,
    )
    chosen = sampled(recipient.num_rows, design)
    donor, others = recipient.filter(pa.array(chosen)), recipient.filter(pa.array(~chosen))
    pumas = Places.read(concordance.read(), locations, covered_states)
    candidates = find_candidates(donor, pumas.combinations(donor), others, pumas, harmonized)
    believed = draw_pumas(candidates, seed, 1)[0][:, 0]
    onto = _some_areas(others.select(area), pair, seed, most_households)
    spatial = [name for name in prepared.recipient.columns if MARK in name]
    columns = list(dict.fromkeys([*design.predictors, *spatial, design.weight, *area]))
    frames = []
    for table, rows in (
        (donor, np.flatnonzero(chosen)),
        (others.filter(pa.array(onto)), np.flatnonzero(~chosen)[onto]),
    ):
        frame = attach_predictors(table, places).select(columns).to_pandas()
        frame["area"] = frame["state"].astype(str) + frame.pop(area[1]).astype(str)
        frames.append(pd.concat([frame, values.iloc[rows].reset_index(drop=True)], axis=1))
    names = tuple(name for name in values.columns if name != load_proxies().group.name)
    known = known_of_places(places, pumas)[spatial]
    frames[0][spatial] = known.to_numpy(np.float32)[believed]
    where = Whereabouts(candidates, known, pumas.by_puma)
    setting = SelfFusion(frames[0], frames[1], names, tuple(spatial), _own(names, spatial), design, where)
    with TemporaryDirectory() as folder:
        return area_error_of(
            setting,
            np.ones(len(frames[1]), dtype=bool),
            group=load_proxies().group.name,
            area=area,
            wider=WIDER,
            complete=not covered_states,
            folder=Path(folder),
            measured_on={
                "pair": pair,
                "donors": design.donors,
                "households": len(frames[1]),
                "implicates": IMPLICATES,
                "seed": seed,
                "left_out": left_out,
            },
            threads=threads,
        )


def _values(
    households: TableRef, recipient: pa.Table, declared: Proxies, predictors: Collection[str]
) -> tuple[pd.DataFrame, list[str]]:
    """Collect proxies and group for the recipients in their order; says what is left out and why."""
    there, left_out, values = set(households.columns), [], {}
    wanted = [c for c in (declared.group, *declared.proxies) if c.column in there]
    table = households.read(list(dict.fromkeys(["hid", *(c.column for c in wanted)])))
    table = table.take(pa.array(row_positions(table, recipient, ["hid"])))
    for one in (declared.group, *declared.proxies):
        reason = None
        if one.column not in there:
            reason = "not in this vintage"
        elif one is not declared.group and one.column in predictors:
            reason = "a predictor of the pair"
        else:
            found = one.of(table)
            if found.isna().any():
                reason = f"{int(found.isna().sum()):,} answers are missing"
            elif found.nunique() < 2:
                reason = "the same everywhere"
            else:
                values[one.name] = found.astype(bool) if one.levels else found
        if reason:
            left_out.append(f"{one.name}: {reason}")
            _log.info("proxy of area errors %s is left out: %s", one.name, reason)
    if declared.group.name not in values:
        raise RegistryError(
            f"{PATH.name}, group {declared.group.name}",
            f"cannot part the areas of these households ({left_out[0]}).",
            "Declare another group.",
        )
    return pd.DataFrame(values), left_out


def _some_areas(areas: pa.Table, pair: str, seed: int, most: int) -> np.ndarray:
    """Draw whole PUMAs with `most` households at most: (n,) bool."""
    state, puma = (column.cast(pa.string()).to_pandas() for column in areas.columns)
    codes, names = pd.factorize(state + "|" + puma, sort=True)
    order = stream(seed, "area error", pair, "areas").permutation(len(names))
    size = np.bincount(codes, minlength=len(names))
    kept = np.zeros(len(names), dtype=bool)
    kept[order[np.cumsum(size[order]) <= most]] = True
    return kept[codes]


def _own(proxies: Sequence[str], spatial: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Find the spatial predictors that are made from a proxy's column."""
    made_from = {f"acs{MARK}{summary.name}": summary.columns for summary in load_summaries()}
    columns = {one.name: one.column for one in load_proxies().proxies}
    return {name: tuple(s for s in spatial if columns[name] in made_from.get(s, ())) for name in proxies}
