"""Screening and fusion order: which predictors each fusion variable needs, and which variable goes first.

Belongs here: `prepare`, from donor microdata to a plan. Does not belong here: the plan itself (`specification.py`),
what screening reads (`correlations.py`) and chooses predictors with (`lasso.py`), the models that are fitted in the
end (`boosting.py`).

Method: after Ummel et al. 2024, "Modeling details": LASSO models, keeping the smallest that explains 95 % of what the
full model explains. What is done here: candidates are the columns whose weighted rank correlation with the variable
suffices; the LASSO path comes from the weighted correlation matrix by least-angle regression (Efron et al. 2004), which
visits the models of the path one by one, never touches the rows again, and ends with the model wanted; explained is R²
of the linear model, for indicators of categories too, where the paper speaks of deviance. It also ends after as many
steps as twice the predictors allowed: a variable whose model explains less for it is logged. The order is greedy: next
comes the variable whose share of explainable variance is explained best by the predictors and the variables fused
already. Paths are walked only for variables whose full model, which bounds every other, could still win.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import pandas as pd
import pyarrow as pa
from threadpoolctl import threadpool_limits

from fusion_pipeline.errors import TrainingError
from fusion_pipeline.fusion.arguments import listed, number, whole
from fusion_pipeline.fusion.correlations import Correlations
from fusion_pipeline.fusion.donors import Donors, load_donors
from fusion_pipeline.fusion.lasso import Chooser, Fit
from fusion_pipeline.fusion.specification import FusionPlan, FusionStep, blocks, harmonized
from fusion_pipeline.fusion.variables import column_names
from fusion_pipeline.randomness import stream
from fusion_pipeline.storage.tables import TableRef

VERSION = "4"
DEVIANCE, CORRELATION = 0.95, 0.05
"""Share of the explained variance that a model must reach, and least rank correlation of a candidate."""
MOST_ROWS = 50_000
"""Donors beyond this many add nothing to a screen; a sample is taken."""
ROUNDING = 1e-9
"""How far a share of explained variance may be off, being summed in another order."""
log = logging.getLogger(__name__)
Step = tuple[str, ...]


@threadpool_limits.wrap(limits=1)  # sums in one order, whatever the machine
def prepare(
    donor: pd.DataFrame | pa.Table | TableRef,
    y: Sequence[str | Sequence[str]],
    x: Sequence[str],
    weight: str | None,
    *,
    forced: Sequence[str] = (),
    order: Literal["greedy", "given"] = "greedy",
    deviance: float = DEVIANCE,
    correlation: float = CORRELATION,
    max_predictors: int = 100,
    seed: int = 1,
) -> FusionPlan:
    """Find the fusion order and the predictors of every step.

    Parameters
    ----------
    donor : frame, table or handle
        Donor microdata; never changed.
    y : sequence of str or sequence of str
        Fusion variables; a list within the list is a block.
    x : sequence of str
        Harmonized and spatial predictors.
    weight : str or None
        Column of donor weights.
    forced : sequence of str
        Predictors that every step keeps.
    order : "greedy" or "given"
    deviance : float
        Share of the full model's explained variance (R²) that the chosen model must reach.
    correlation : float
        Candidates of a step have at least this absolute weighted rank correlation with its variable, or are among
        the best 20.
    max_predictors : int
        Most predictors of a step, forced ones not counted.
    seed : int
        Of the sample taken from a donor of more than 50,000 rows.

    Returns
    -------
    FusionPlan
        Predictors of a step are in the order of `x`, then earlier fusion variables in fusion order.

    Raises
    ------
    TrainingError
        If a fusion variable is incomplete or cannot be modelled; the message names it.

    Notes
    -----
    An ordered category counts by rank, an unordered one by its indicators; a zero-inflated variable is screened
    together with its non-zero indicator, a category by its indicators weighted with their shares, a block by the
    mean over its variables. Missing predictors are filled by median or mode, for the screen only. Where
    2 `max_predictors` steps of the LASSO path do not reach the share of what the full model explains, the model that
    comes closest is chosen, and a warning names the variable.

    Examples
    --------
    >>> import fusion_pipeline as fp
    >>> donor, _ = fp.example_tables()
    >>> plan = fp.prepare(donor, y=["size"], x=["group", "income"], weight="weight")
    >>> plan.steps[0].predictors
    ('group', 'income')
    """
    column_names(donor, "donor", TrainingError)
    seed = whole("prepare, seed", seed, 0, TrainingError)
    max_predictors = whole("prepare, max_predictors", max_predictors, 1, TrainingError)
    deviance = number("prepare, deviance", deviance, 0, 1, TrainingError)
    correlation = number("prepare, correlation", correlation, 0, 1, TrainingError, both_ends=True)
    if order not in ("greedy", "given"):
        raise TrainingError("prepare, order", f"is {order!r}.", "Give 'greedy' or 'given'.")
    forced = listed("prepare, forced", forced, TrainingError)
    steps = blocks(y)
    x = harmonized(x, steps)
    plan = FusionPlan(tuple(FusionStep(step, tuple(x)) for step in steps), weight)
    if unknown := [name for name in forced if name not in x]:
        raise TrainingError("prepare, forced", f"names {unknown[0]}, which is not in x.", "Add it to x.")
    donors = _sample(load_donors(donor, plan, None), seed)
    correlations = Correlations.build(donors, steps, x)
    kept = [name for name in x if name in correlations.columns]
    chooser = Chooser(
        correlations, [name for name in forced if name in kept], deviance, correlation, max_predictors
    )
    ceiling = {step: max(chooser.explicable(step, [*kept, *_others(steps, step)]), 1e-9) for step in steps}
    remaining = list(steps)
    done: list[tuple[str, ...]] = []
    chosen: list[FusionStep] = []
    cut_off: list[str] = []
    while remaining:
        candidates = remaining if order == "greedy" else remaining[:1]
        usable = [*kept, *(v for step in done for v in step)]
        step, fit = _next(chooser, candidates, usable, ceiling)
        chosen.append(FusionStep(step, tuple(name for name in usable if name in set(fit.names))))
        log.info(
            "fusion order %d of %d: %s, %d predictors, %.0f %% of explainable variance",
            len(chosen), len(steps), chosen[-1].name, len(fit.names), 100 * min(fit.explained / ceiling[step], 1.0),
        )  # fmt: skip
        cut_off += fit.cut_off
        remaining.remove(step)
        done.append(step)
    if cut_off:
        log.warning(
            "%d steps of the LASSO path do not reach %g %% of what the full model explains, for %s",
            chooser.most_steps,
            100 * deviance,
            ", ".join(sorted(cut_off)),
        )
    return FusionPlan(tuple(chosen), weight)


def strongest(donor: pa.Table, y: str, x: Sequence[str], weight: str | None, most: int) -> list[str]:
    """Name the predictors of the smallest model that explains one variable, `most` at most, in the order of `x`.

    What `prepare` does for a step, where there is nothing to order and a limit is meant.

    Raises
    ------
    TrainingError
        As `prepare`.
    """
    donors = load_donors(donor, FusionPlan((FusionStep((y,), tuple(x)),), weight), None)
    correlations = Correlations.build(donors, [(y,)], x)
    usable = [name for name in x if name in correlations.columns]
    chosen = set(Chooser(correlations, [], DEVIANCE, CORRELATION, most).fit((y,), usable).names)
    return [name for name in usable if name in chosen]


def _next(
    chooser: Chooser, steps: Sequence[Step], usable: Sequence[str], ceiling: Mapping[Step, float]
) -> tuple[Step, Fit]:
    """Find the step whose model explains the largest share of what can be explained; of equal ones the first.

    No model explains more than the full one: steps whose full model has the smaller share need no other.
    """
    if len(steps) == 1:
        return steps[0], chooser.fit(steps[0], usable)
    bounds = {step: chooser.explicable(step, usable) / ceiling[step] for step in steps}
    found: dict[Step, Fit] = {}
    best = -1.0
    for step in sorted(steps, key=lambda step: -bounds[step]):
        if bounds[step] < best - ROUNDING:
            break
        found[step] = chooser.fit(step, usable)
        best = max(best, found[step].explained / ceiling[step])
    return next((s, found[s]) for s in steps if s in found and found[s].explained / ceiling[s] >= best)


def _others(steps: Sequence[tuple[str, ...]], step: tuple[str, ...]) -> list[str]:
    return [name for other in steps if other != step for name in other]


def _sample(donors: Donors, seed: int) -> Donors:
    if donors.count <= MOST_ROWS:
        return donors
    rows = np.sort(stream(seed, "prepare").choice(donors.count, MOST_ROWS, replace=False))
    return Donors(donors.table.take(rows), donors.weight[rows], None)
