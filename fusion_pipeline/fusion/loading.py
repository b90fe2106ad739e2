"""The steps of a model set, loaded for drawing.

Belongs here: from a model set's files to what a step draws with: trees, donor pools, the values that a draw can give.
Does not belong here: the files themselves (`modelset.py`), running the steps (`chain.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from fusion_pipeline.fusion import variables
from fusion_pipeline.fusion.drawing import PoolDraw
from fusion_pipeline.fusion.forest import Forest
from fusion_pipeline.fusion.modelset import DONOR_WEIGHT, ModelSet
from fusion_pipeline.fusion.placement import Placement
from fusion_pipeline.fusion.program import Program
from fusion_pipeline.fusion.rules import Rule
from fusion_pipeline.fusion.rules import position as level_position
from fusion_pipeline.fusion.specification import FusionStep
from fusion_pipeline.fusion.variables import Variable

CHOOSERS = ("classes", "zero")
"""Roles of models whose probabilities are drawn from."""


@dataclass(frozen=True)
class LoadedStep:
    """A step with everything it draws with.

    `choosers` predict classes or zeros of a step of one variable and `pools` draw donors, one for every set of donor
    weights or one for all; `expected` predicts what donors are matched on. A step of constants has none of them.
    `shifts` predict, one for every set or none at all, how far the set's means are from those in `expected`: mean and
    quantiles of a number, the coordinates `located` (first, end), move together.
    """

    step: FusionStep
    variables: tuple[Variable, ...]
    choosers: tuple[Program, ...]
    expected: Program | None
    pools: tuple[PoolDraw, ...]
    products: tuple[str, ...]
    rules: tuple[Rule, ...]
    shifts: tuple[Program, ...]
    located: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class LoadedSteps:
    """All steps of a model set in fusion order, and how they read predictors and give values.

    `own` places the recipient's predictors among the thresholds of all trees and `fused` what was fused before, by its
    number in `features`. `values` has what a draw of a variable can give and, last, what there is outside the universe:
    a draw that is not made has the number -1.
    """

    steps: tuple[LoadedStep, ...]
    own: Placement
    fused: Placement
    features: dict[str, int]
    values: dict[str, np.ndarray]

    @property
    def nbytes(self) -> int:
        """Bytes that trees, pools and donors' values take, however few rows are drawn."""
        held = {id(array): array.nbytes for array in self.values.values()}
        for step in self.steps:
            programs = (*step.choosers, *step.shifts, *([] if step.expected is None else [step.expected]))
            arrays = [array for program in programs for array in program.arrays]
            arrays += [array for pools in step.pools for array in pools.arrays]
            held |= {id(array): array.nbytes for array in arrays}
        return sum(held.values())

    def place(self, name: str, values: np.ndarray, codes: np.ndarray) -> None:
        """Place (n, m) values of a fused variable in the columns of (n, columns, m) `codes` that later steps read."""
        self.fused.place(self.features[name], values.astype(np.float64, copy=False), codes)

    def choices(self, name: str) -> list[tuple[int, np.ndarray]]:
        """Return the columns that later steps read a variable in, each with the position of every possible value."""
        values = self.values[name][:, None]
        codes = np.empty((len(values), self.fused.columns, 1), dtype=np.uint16)
        self.place(name, values, codes)
        columns = self.fused.columns_of(self.features[name])
        return [(column, np.ascontiguousarray(codes[:, column, 0])) for column in columns]


@dataclass(frozen=True)
class _Models:
    """Models of a fusion variable: class or zero probabilities (`choosers`: one or none), mean and quantiles."""

    variable: Variable
    classes: np.ndarray
    choosers: tuple[Forest, ...]
    values: tuple[Forest, ...]
    redrawn: tuple[Forest, ...]
    """The chooser of every set of redrawn weights; none where the choosers are not fitted again."""
    shifts: tuple[Forest, ...]
    """The mean of every set of redrawn weights less the mean."""


def load_steps(models: ModelSet, sets: Sequence[int]) -> LoadedSteps:
    """Load the steps of a model set, with what some of its sets of donor weights have of their own.

    Parameters
    ----------
    models : ModelSet
    sets : sequence of int
        Numbers, some of those that `proper.set_numbers` gives; what is loaded for every set is in this order.
    """
    steps = models.plan.steps
    found = [[_load_models(models, i, name, sets) for name in step.variables] for i, step in enumerate(steps)]
    fused_features = {name: j for j, name in enumerate(models.variables)}
    own_features = {name: j for j, name in enumerate(models.predictors)}
    own_placement, fused_placement = Placement(), Placement()
    programs = []
    for step, parts in zip(steps, found, strict=True):
        own = {j: own_features[p] for j, p in enumerate(step.predictors) if p in own_features}
        fused = {j: fused_features[p] for j, p in enumerate(step.predictors) if j not in own}
        # Shifts have the trees of the means.
        for forest in (f for part in parts for f in (*part.choosers, *part.values, *part.redrawn)):
            own_placement.collect(forest, own)
            fused_placement.collect(forest, fused)
        programs.append(
            partial(
                Program,
                own=own,
                fused=fused,
                own_placement=own_placement,
                fused_placement=fused_placement,
            )
        )
    # Programs are built only now: a tree's layout needs the thresholds of all.
    own_placement.finish()
    fused_placement.finish()
    weights = [variables.numbers(models.redrawn(k).donors[DONOR_WEIGHT]) for k in sets]
    loaded = [
        _load_step(models, i, parts, program, weights)
        for i, (parts, program) in enumerate(zip(found, programs, strict=True))
    ]
    return LoadedSteps(tuple(loaded), own_placement, fused_placement, fused_features, _values(models, found))


def _load_step(
    models: ModelSet,
    position: int,
    found: Sequence[_Models],
    program: Callable[[Sequence[Forest]], Program],
    weights: Sequence[np.ndarray],
) -> LoadedStep:
    step = models.plan.steps[position]
    matched: list[Forest] = []
    located = []
    for part in found:
        matched += [*(part.choosers if step.is_block else ()), *part.values]
        if part.values:
            end = sum(forest.outputs for forest in matched)
            located.append((end - len(part.values), end))
    shifts = zip(*(part.shifts for part in found if part.values), strict=True)
    pools = models.pools(position)
    choosers = () if step.is_block else found[0].redrawn or found[0].choosers
    increasing = [(first + 1, end) for first, end in located]
    draw = None if pools is None else PoolDraw(pools, weights[0], increasing)
    return LoadedStep(
        step,
        tuple(part.variable for part in found),
        tuple(program((forest,)) for forest in choosers),
        program(matched) if matched else None,
        () if draw is None else (draw, *(draw.reweighted(weight) for weight in weights[1:])),
        models.plan.products_after(position),
        models.plan.rules_of(step),
        tuple(program(forests) for forests in shifts),
        tuple(located),
    )


def _load_models(models: ModelSet, position: int, name: str, numbers: Sequence[int]) -> _Models:
    found = models.forests(position, name)
    variable = models.variables[name]
    if not found:
        only = np.array([models.constants[name]])
        kind = (
            np.int32
            if variable.kind == "categorical"
            else np.float64
            if variable.is_exact
            else variable.dtype
        )
        return _Models(variable, only.astype(kind), (), (), (), ())
    choosers = tuple(f for r, f in found if r.role in CHOOSERS)
    values = tuple(f for r, f in found if r.role not in CHOOSERS)
    classes = np.array(found[0][0].classes, dtype=np.int32)
    sets = [models.redrawn(k).forests(position, name) for k in numbers if k]
    redrawn = tuple(f for pairs in sets for r, f in pairs if r.role in CHOOSERS)
    means = [f for pairs in sets for r, f in pairs if r.role == "mean"]
    shifts = tuple(replace(mean, leaf=mean.leaf - values[0].leaf) for mean in means)
    return _Models(variable, classes, choosers, values, redrawn, shifts)


def _values(models: ModelSet, found: Sequence[Sequence[_Models]]) -> dict[str, np.ndarray]:
    """Return what a draw can give: values of donors, codes of classes, or the one value; and what is outside."""
    values = {}
    for step, parts in zip(models.plan.steps, found, strict=True):
        for part in parts:
            name, possible = part.variable.name, part.classes
            if name in models.donors.column_names:
                possible = variables.values_to_draw(models.donors[name], part.variable)
            values[name] = _with_outside(possible, part.variable, step)
    return values


def _with_outside(values: np.ndarray, variable: Variable, step: FusionStep) -> np.ndarray:
    last = 0
    if variable.kind == "categorical" and step.outside is not None:
        last = level_position(variable, step.outside)
    return np.append(values, np.array([last], values.dtype))
