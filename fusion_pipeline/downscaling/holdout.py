"""What areas have beyond their tables: each table left out in turn and held against the others' answer.

Belongs here: how far tables foretell what they do not count, the one check of downscaling that real data allow. Does
not belong here: the shares (`downscale.py`), what follows for margins (`beyond.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fusion_pipeline.downscaling.explaining import Design
from fusion_pipeline.downscaling.fitting import fit
from fusion_pipeline.downscaling.households import OfPuma, by_puma, read_households
from fusion_pipeline.downscaling.tables import VARIABLE, AreaTables, Frame, PumaTables, as_frame, puma_keys
from fusion_pipeline.errors import AnalysisError
from fusion_pipeline.inference.area_error import estimate_icc
from fusion_pipeline.inference.area_groups import FEWEST_AREAS

Array = NDArray[np.float64]
MOST_PUMAS = 50
"""So many tell an icc well enough; each costs as many fits as there are tables."""
COLUMNS = ("areas", "wrong", "wrong_puma", "added", "explained", "icc", "standard_error")


def foretold(
    households: Frame,
    tables: Frame,
    *,
    area: str,
    puma: str | Sequence[str] = "puma",
    weight: str = "weight",
    tolerance: float = 1e-6,
    max_iterations: int = 1000,
) -> pd.DataFrame:
    """Leave each table out, downscale by the others, and compare.

    Parameters
    ----------
    households, tables, area, puma, weight, tolerance, max_iterations : as in `downscale`

    Returns
    -------
    One row a variable, as `held_out` gives it, of all PUMAs.

    Raises
    ------
    AnalysisError
        If there are fewer than two tables, or as `downscale` does.
    """
    listed, names = as_frame(tables), [puma] if isinstance(puma, str) else list(puma)
    own, _ = read_households(households, listed, names, weight)
    checked = AreaTables.of(listed, own, area=area, puma=names)
    if len(checked.levels) < 2:
        raise AnalysisError("tables", "are one: nothing foretells it.", "Give two variables or more.")
    own["_puma"] = puma_keys(own, names, "households")
    of_pumas = list(by_puma(own, "_puma", weight, checked.levels, list(checked.pumas)))
    return held_out(of_pumas, checked, tolerance=tolerance, max_iterations=max_iterations)


def held_out(
    households: Sequence[OfPuma], tables: AreaTables, *, tolerance: float, max_iterations: int
) -> pd.DataFrame:
    """Leave each table out, fit the others, and compare.

    Parameters
    ----------
    households : of the PUMAs to look at
    tables : two or more

    Returns
    -------
    One row a variable: `areas`; `wrong`, the share of households in the wrong level of the table left out, mean over
    areas by size; `wrong_puma`, the same when every area gets its PUMA's distribution; `added` = 1 - wrong /
    wrong_puma (sampling error of the table itself is in both); `explained`, the share of the variable's variance
    between the households of a PUMA that the others explain; `icc`, how much of the rest the households of an area
    have in common, and its `standard_error`, NaN with fewer than ten areas or where nothing is left to explain.

    Notes
    -----
    With p the shares of the levels that the others give an area, V = sum p (1 - p) the variance of its households, R2
    the explained share, N its households, n their effective number in the sample and e the table's own standard
    errors, the squared error of p, summed over levels, is expected to be ::

        V (1 - R2) icc + V (1 - R2) / N + V / n + sum e^2

    and icc is solved from it as Fay and Herriot (1979) do: V (1 - R2) / N is that an area holds the households that
    it happens to hold.
    """
    design = Design.of(
        np.concatenate([h.codes for h in households]),
        [len(names) for names in tables.levels.values()],
        np.concatenate([h.weight for h in households]),
        np.repeat(np.arange(len(households)), [len(h.rows) for h in households]),
    )
    rows = []
    for v, variable in enumerate(tables.levels):
        found = [_compared(h, tables.pumas[h.key], v, tolerance, max_iterations) for h in households]
        whole = _Compared(
            *(np.concatenate(parts) for parts in zip(*(vars(f).values() for f in found), strict=True))
        )
        explained = design.of_variable(v).by_tables
        rows.append((variable, *_told(whole, explained)))
    return pd.DataFrame(rows, columns=[VARIABLE, *COLUMNS])


@dataclass(frozen=True)
class _Compared:
    """Arrays (areas,) of a table left out."""

    size: Array
    effective_n: Array
    wrong: Array
    wrong_puma: Array
    squared: Array
    """Squared error, summed over levels."""
    variance: Array
    """Of the households, likewise."""
    published: Array
    """Squared standard errors of the table, likewise."""


def _compared(
    own: OfPuma, tables: PumaTables, variable: int, tolerance: float, max_iterations: int
) -> _Compared:
    others = [v for v in range(len(tables.counts)) if v != variable]
    patterns, pattern = np.unique(own.codes[:, others], axis=0, return_inverse=True)
    pattern = pattern.reshape(-1)
    result = fit(
        patterns,
        np.bincount(pattern, own.weight).astype(np.float64),
        PumaTables(
            tables.areas,
            tuple(tables.counts[v] for v in others),
            None if tables.errors is None else tuple(tables.errors[v] for v in others),
        ),
        tolerance=tolerance,
        max_iterations=max_iterations,
        where=own.key,
    )
    counts = tables.counts[variable]
    of_level = np.zeros((counts.shape[1], len(patterns)))
    np.add.at(of_level, (own.codes[:, variable], pattern), own.weight)
    total, squares = (np.bincount(pattern, own.weight**power) @ result.shares**power for power in (1, 2))
    there = np.flatnonzero((counts.sum(axis=1) > 0) & (total > 0))
    said = ((of_level @ result.shares) / np.where(total > 0, total, 1.0)).T[there]
    published = counts[there].sum(axis=1, keepdims=True)
    true, of_puma = counts[there] / published, of_level.sum(axis=1) / of_level.sum()
    errors = np.zeros_like(true) if tables.errors is None else tables.errors[variable][there] / published
    return _Compared(
        result.size[there],
        total[there] ** 2 / squares[there],
        np.abs(said - true).sum(axis=1) / 2,
        np.abs(of_puma - true).sum(axis=1) / 2,
        ((said - true) ** 2).sum(axis=1),
        (said * (1 - said)).sum(axis=1),
        (errors**2).sum(axis=1),
    )


def _told(found: _Compared, explained: float) -> tuple[float, ...]:
    wrong, wrong_puma = (float(np.average(w, weights=found.size)) for w in (found.wrong, found.wrong_puma))
    added = 1 - wrong / wrong_puma if wrong_puma else np.nan
    rest = found.variance * (1 - explained)
    fit = rest > 1e-9
    icc, standard_error = np.nan, np.nan
    if fit.sum() >= FEWEST_AREAS:
        known = rest / found.size + found.variance / found.effective_n + found.published
        told = estimate_icc(np.sqrt(found.squared[fit]), known[fit], rest[fit])
        icc, standard_error = told.value, told.standard_error
    return len(found.size), wrong, wrong_puma, added, explained, icc, standard_error


def spaced(pumas: Mapping[str, PumaTables]) -> list[str]:
    """Choose at most fifty PUMAs, evenly in the order of their keys."""
    keys = list(pumas)
    at = np.unique(np.linspace(0, len(keys) - 1, min(len(keys), MOST_PUMAS)).round().astype(int))
    return [keys[i] for i in at]
