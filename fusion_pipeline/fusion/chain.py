"""One block of the recipient through all steps of a model set, for several implicates at a time.

Belongs here: predictions of a step, universes, products, and the values handed from step to step. Does not belong
here: blocks, threads and files (`fusing.py`), trees (`program.py`), the draws (`drawing.py`), rules (`enforcing.py`).

Method: Ummel et al. 2024, "General strategy": steps in fusion order, each drawn value a predictor of later steps;
the fusion variables of a block come from one donor; zero inflation is drawn first, then the value.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import TypeVar

import numpy as np
import pyarrow as pa

from fusion_pipeline.errors import FusingError
from fusion_pipeline.fusion import enforcing, variables
from fusion_pipeline.fusion.drawing import PoolDraw, draw_classes, pack_masks
from fusion_pipeline.fusion.forest import Forest
from fusion_pipeline.fusion.modelset import DONOR_WEIGHT, ModelSet
from fusion_pipeline.fusion.placement import Placement
from fusion_pipeline.fusion.program import Program
from fusion_pipeline.fusion.proper import columns_by_set, set_numbers
from fusion_pipeline.fusion.rules import Lookup, Rule, Values
from fusion_pipeline.fusion.rules import position as level_position
from fusion_pipeline.fusion.specification import FusionStep
from fusion_pipeline.fusion.variables import Variable
from fusion_pipeline.randomness import stream

CHOOSERS = ("classes", "zero")
"""Roles of models whose probabilities are drawn from."""
_T = TypeVar("_T")


@dataclass(frozen=True)
class _Models:
    """Models of a fusion variable: class or zero probabilities (`choosers`: one or none), mean and quantiles."""

    variable: Variable
    classes: np.ndarray
    choosers: tuple[Forest, ...]
    values: tuple[Forest, ...]
    redrawn: tuple[Forest, ...]
    """The chooser of every set of redrawn weights; none where the choosers are not fitted again."""


@dataclass(frozen=True)
class _Step:
    """A step with everything loaded.

    `choosers` predict classes or zeros of a step of one variable and `pools` draw donors, one for every set of donor
    weights or one for all; `expected` predicts what donors are matched on.
    """

    step: FusionStep
    variables: tuple[Variable, ...]
    choosers: tuple[Program, ...]
    expected: Program | None
    pools: tuple[PoolDraw, ...]
    products: tuple[str, ...]
    rules: tuple[Rule, ...]


@dataclass(frozen=True)
class Drawn:
    """What a step drew, for those who watch: predictions of the donors' coordinates and who was drawn.

    `expected` is (n, c, m or 1), of those `active` (n,) says; None for a class. `chosen` is (n, m).
    """

    step: FusionStep
    pools: tuple[PoolDraw, ...]
    expected: np.ndarray | None
    active: np.ndarray
    chosen: np.ndarray


@dataclass(frozen=True)
class _Beyond:
    """Numbers that no donor has: `value` (n, m) counts where `where` is true."""

    where: np.ndarray
    value: np.ndarray


class Chain:
    """The steps of a model set, ready to draw.

    Parameters
    ----------
    models : ModelSet
    seed : int
    stream_name : str
    """

    def __init__(self, models: ModelSet, seed: int, stream_name: str) -> None:
        self._plan = models.plan
        self._variables = models.variables
        self._seed, self._stream_name = seed, stream_name
        self.enforced: Counter[str] = Counter()
        """How many values were drawn again, by the rules of their step."""
        self._lock = Lock()
        self._sets = set_numbers(models.bootstraps)
        self._weights = [variables.numbers(models.redrawn(k).donors[DONOR_WEIGHT]) for k in self._sets]
        # What a draw can give, and what is outside the universe at the end: a draw not made has the number -1.
        self._values = {
            name: _with_outside(
                variables.values_to_draw(models.donors[name], self._variables[name]),
                self._variables[name],
                step,
            )
            for step in self._plan.steps
            for name in step.variables
            if name in models.donors.column_names
        }
        self._own, self._fused = Placement(), Placement()
        self._fused_feature = {name: j for j, name in enumerate(models.variables)}
        own_feature = {name: j for j, name in enumerate(models.predictors)}
        loaded, places = [], []
        for position, step in enumerate(self._plan.steps):
            found = [_load_models(models, position, name) for name in step.variables]
            own = {j: own_feature[p] for j, p in enumerate(step.predictors) if p in own_feature}
            fused = {j: self._fused_feature[p] for j, p in enumerate(step.predictors) if j not in own}
            for forest in (f for m in found for f in (*m.choosers, *m.values, *m.redrawn)):
                self._own.collect(forest, own)
                self._fused.collect(forest, fused)
            loaded.append(found)
            places.append((own, fused))
            for one in found:
                if one.variable.name not in self._values:
                    self._values[one.variable.name] = _with_outside(one.classes, one.variable, step)
        self._own.finish()
        self._fused.finish()
        self._places = {name: self._place_choices(name) for name in self._values}
        self._steps = [
            self._load_step(models, position, found, *place)
            for position, (found, place) in enumerate(zip(loaded, places, strict=True))
        ]

    @property
    def bytes_per_row(self) -> int:
        """Estimate of the memory one row of one implicate takes at most while it is in work."""
        programs = [p for s in self._steps for p in (*s.choosers, s.expected) if p is not None]
        widest = max((program.outputs for program in programs), default=1)
        return 2 * 8 * widest + 2 * 8 * len(self._variables) + 2 * self._fused.columns + 64

    def run(
        self,
        features: np.ndarray,
        block: int,
        implicates: Sequence[int],
        own: Lookup,
        watch: Callable[[Drawn], None] | None = None,
    ) -> list[dict[str, pa.Array]]:
        """Draw all fusion variables of a block.

        Parameters
        ----------
        features : (n, predictors) float32
            Of the recipient, in the order of the model set's predictors.
        block : int
            Number of the block, which names its random streams.
        implicates : sequence of int
            At most `forest.TOGETHER`.
        own : Lookup
            Of the block's own columns that universes and rules read.
        watch : callable, optional
            Is shown what each step drew.

        Returns
        -------
        One dict of columns per implicate: the plan's output variables in fusion order.
        """
        shape = (len(features), len(implicates))
        codes = self._own.rows(features)
        fused = np.empty((shape[0], self._fused.columns, shape[1]), dtype=np.uint16)
        drawn: dict[str, np.ndarray] = {}
        sets = columns_by_set(implicates, len(self._sets))

        def lookup(name: str) -> Values:
            return (drawn[name], self._variables[name]) if name in drawn else own(name)

        def again(step: str) -> np.ndarray:
            # A stream of its own: whether a rule binds a step changes none of its first draws.
            return np.stack([self._uniform(step, m, block, shape[0], "again") for m in implicates], axis=2)

        for step in self._steps:
            choice, place = np.empty(shape), np.empty(shape)
            for i, m in enumerate(implicates):
                choice[:, i], place[:, i] = self._uniform(step.step.name, m, block, shape[0])
            chosen, beyond = self._draw_step(step, codes, fused, lookup, choice, place, sets, again, watch)
            for variable in step.variables:
                drawn[variable.name] = self._values[variable.name][chosen]
                for column, places in self._places[variable.name]:
                    fused[:, column] = places[chosen]
                if beyond is not None:
                    value = beyond.value if variable.is_exact else variable.hold(beyond.value)
                    drawn[variable.name] = np.where(beyond.where, value, drawn[variable.name])
                    self._place(variable.name, drawn[variable.name], fused)
            for product in step.products:
                first, second = self._plan.products[product]
                drawn[product] = drawn[first].astype(np.float64) * drawn[second]
                self._place(product, drawn[product], fused)
        columns = {name: np.ascontiguousarray(drawn[name].T) for name in self._plan.variables}
        return [
            {name: self._variables[name].to_arrow(column[i]) for name, column in columns.items()}
            for i in range(len(implicates))
        ]

    def _uniform(self, step: str, implicate: int, block: int, rows: int, what: str = "fuse") -> np.ndarray:
        # Always two numbers a row, so that a row's draw does not depend on what other rows drew.
        return stream(self._seed, self._stream_name, what, step, implicate, block).random((2, rows))

    def _draw_step(
        self,
        step: _Step,
        codes: np.ndarray,
        fused: np.ndarray,
        lookup: Lookup,
        choice: np.ndarray,
        place: np.ndarray,
        sets: Mapping[int, np.ndarray],
        again: Callable[[str], np.ndarray],
        watch: Callable[[Drawn], None] | None,
    ) -> tuple[np.ndarray, _Beyond | None]:
        """Return the donor, or the class, that gives the step its value: (n, implicates); and what no donor gives."""
        inside = np.ones(choice.shape, dtype=bool)
        if step.step.condition is not None:
            inside = np.array(np.broadcast_to(step.step.condition.truth(lookup)[0], choice.shape))
        if not step.choosers and not step.pools:
            chosen = np.where(inside, 0, -1).astype(np.int32)
            return chosen, self._keep_constant(step, chosen, inside, lookup) if step.rules else None
        wanted = inside.copy()
        chosen = np.full(choice.shape, -1, dtype=np.int32)
        probabilities = []
        for chooser, columns in _shared(step.choosers, sets):
            predicted = chooser.predict(codes, _some(fused, columns), pack_masks(_some(wanted, columns)))
            probabilities.append((predicted, columns))
            if not step.pools:
                chosen[:, columns] = draw_classes(predicted, _some(choice, columns))
            else:
                wanted[:, columns] &= choice[:, columns] >= predicted[:, 0]
        if not step.pools:
            chosen[~inside] = -1
            if step.rules:
                self._draw_classes_again(step, chosen, inside, probabilities, lookup, again)
            if watch is not None:
                watch(Drawn(step.step, (), None, pack_masks(inside), chosen))
            return chosen, None
        assert step.expected is not None
        # What obeys a rule may be a donor's value where zero was drawn first.
        active = pack_masks(inside if step.rules else wanted)
        expected = step.expected.predict(codes, fused, active)
        for pools, columns in _shared(step.pools, sets):
            matched = expected if expected.shape[2] == 1 else _some(expected, columns)
            chosen[:, columns] = pools.donors(
                matched, _some(place, columns), pack_masks(_some(wanted, columns))
            )
        beyond = None
        if step.rules:
            beyond = self._draw_donors_again(
                step, chosen, inside, probabilities, expected, lookup, sets, again
            )
        if watch is not None:
            watch(Drawn(step.step, step.pools, expected, active, chosen))
        return chosen, beyond

    def _keep_constant(
        self, step: _Step, chosen: np.ndarray, inside: np.ndarray, lookup: Lookup
    ) -> _Beyond | None:
        found = [enforcing.limits(step.rules, v, lookup, chosen.shape) for v in step.variables]
        values = [self._values[v.name][chosen] for v in step.variables]
        wrong = enforcing.broken(found, values, inside)
        self._count(step, wrong)
        if not wrong.any():
            return None
        lower, upper = found[0].lower, found[0].upper
        if step.step.is_block or lower is None or upper is None:
            raise FusingError(
                f"recipient, rules on {step.step.name}",
                f"forbid its only value in {int(wrong.any(axis=1).sum())} rows.",
                "Allow it, or leave the variable out.",
            )
        return _Beyond(wrong, np.where(wrong, np.clip(values[0], lower, upper), 0.0))

    def _draw_classes_again(
        self,
        step: _Step,
        chosen: np.ndarray,
        inside: np.ndarray,
        probabilities: Sequence[tuple[np.ndarray, np.ndarray | slice]],
        lookup: Lookup,
        again: Callable[[str], np.ndarray],
    ) -> None:
        [variable] = step.variables
        limit = enforcing.limits(step.rules, variable, lookup, chosen.shape)
        codes = self._values[variable.name]
        wrong = enforcing.broken([limit], [codes[chosen]], inside)
        self._count(step, wrong)
        if not wrong.any():
            return
        uniform = again(step.step.name)[0]
        for predicted, columns in probabilities:
            mine = np.zeros_like(wrong)
            mine[:, columns] = wrong[:, columns]
            if predicted.shape[2] > 1:
                spread = np.zeros((*predicted.shape[:2], wrong.shape[1]))
                spread[:, :, columns] = predicted
                predicted = spread
            chosen[mine] = enforcing.draw_allowed_classes(limit, codes[:-1], predicted, mine, uniform[mine])

    def _draw_donors_again(
        self,
        step: _Step,
        chosen: np.ndarray,
        inside: np.ndarray,
        probabilities: Sequence[tuple[np.ndarray, np.ndarray | slice]],
        expected: np.ndarray,
        lookup: Lookup,
        sets: Mapping[int, np.ndarray],
        again: Callable[[str], np.ndarray],
    ) -> _Beyond | None:
        found = [enforcing.limits(step.rules, v, lookup, chosen.shape) for v in step.variables]
        values = [self._values[v.name] for v in step.variables]
        wrong = enforcing.broken(found, [value[chosen] for value in values], inside)
        self._count(step, wrong)
        if not wrong.any():
            return None
        before = values[0][chosen]
        uniform, zero = again(step.step.name), None
        if probabilities:
            zero = np.empty(chosen.shape)
            for predicted, columns in probabilities:
                zero[:, columns] = predicted[:, 0]
        for pools, columns in _shared(step.pools, sets):
            mine = np.zeros_like(wrong)
            mine[:, columns] = wrong[:, columns]
            at = np.nonzero(mine)
            if len(at[0]):
                chosen[mine] = enforcing.draw_allowed_donors(
                    pools,
                    found,
                    values,
                    expected[at[0], :, at[1] if expected.shape[2] > 1 else 0],
                    None if zero is None else zero[mine],
                    at,
                    uniform[:, at[0], at[1]],
                )
        nobody = chosen == -2
        if not nobody.any():
            return None
        if step.step.is_block:
            raise FusingError(
                f"recipient, rules on {step.step.name}",
                f"are obeyed by no donor for {int(nobody.any(axis=1).sum())} rows; a block comes from one donor.",
                "Widen the bounds, or fuse its variables one by one.",
            )
        chosen[nobody] = -1
        lower, upper = found[0].lower, found[0].upper
        assert lower is not None
        assert upper is not None
        return _Beyond(nobody, np.where(nobody, np.clip(before, lower, upper), 0.0))

    def _count(self, step: _Step, wrong: np.ndarray) -> None:
        if count := int(wrong.sum()):
            with self._lock:
                self.enforced["`, `".join(rule.text for rule in step.rules)] += count

    def _place(self, name: str, values: np.ndarray, codes: np.ndarray) -> None:
        self._fused.place(self._fused_feature[name], values.astype(np.float64, copy=False), codes)

    def _place_choices(self, name: str) -> list[tuple[int, np.ndarray]]:
        """Return the columns that later steps read a variable in, each with the position of every possible value."""
        values = self._values[name][:, None]
        codes = np.empty((len(values), self._fused.columns, 1), dtype=np.uint16)
        self._place(name, values, codes)
        columns = self._fused.columns_of(self._fused_feature[name])
        return [(column, np.ascontiguousarray(codes[:, column, 0])) for column in columns]

    def _load_step(
        self,
        models: ModelSet,
        position: int,
        found: Sequence[_Models],
        own: dict[int, int],
        fused: dict[int, int],
    ) -> _Step:
        step = self._plan.steps[position]
        matched, increasing = [], []
        for part in found:
            matched += [*(part.choosers if step.is_block else ()), *part.values]
            if part.values:
                end = sum(forest.outputs for forest in matched)
                increasing.append((end - len(part.values) + 1, end))
        pools = models.pools(position)
        first = found[0]
        choosers = () if step.is_block else tuple(f for f in first.redrawn or first.choosers)
        draw = None if pools is None else PoolDraw(pools, self._weights[0], increasing)
        return _Step(
            step,
            tuple(part.variable for part in found),
            tuple(Program((forest,), own, fused, self._own, self._fused) for forest in choosers),
            Program(matched, own, fused, self._own, self._fused) if matched else None,
            () if draw is None else (draw, *(draw.reweighted(weight) for weight in self._weights[1:])),
            self._plan.products_after(position),
            self._plan.rules_of(step),
        )


def _shared(things: Sequence[_T], sets: Mapping[int, np.ndarray]) -> Iterator[tuple[_T, np.ndarray | slice]]:
    """Pair what draws with its implicates' columns: one thing with all, or every set's with its own."""
    if len(things) == 1:
        yield things[0], slice(None)
    elif things:
        for position, columns in sets.items():
            yield things[position], columns


def _some(values: np.ndarray, columns: np.ndarray | slice) -> np.ndarray:
    return values if isinstance(columns, slice) else np.ascontiguousarray(values[..., columns])


def _load_models(models: ModelSet, position: int, name: str) -> _Models:
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
        return _Models(variable, only.astype(kind), (), (), ())
    choosers = tuple(f for r, f in found if r.role in CHOOSERS)
    values = tuple(f for r, f in found if r.role not in CHOOSERS)
    classes = np.array(found[0][0].classes, dtype=np.int32)
    sets = [models.redrawn(k).forests(position, name) for k in set_numbers(models.bootstraps) if k]
    redrawn = tuple(f for pairs in sets for r, f in pairs if r.role in CHOOSERS)
    return _Models(models.variables[name], classes, choosers, values, redrawn)


def _with_outside(values: np.ndarray, variable: Variable, step: FusionStep) -> np.ndarray:
    """Append to what can be drawn what there is outside the universe: a draw that is not made has the number -1."""
    last = 0
    if variable.kind == "categorical" and step.outside is not None:
        last = level_position(variable, step.outside)
    return np.append(values, np.array([last], values.dtype))
