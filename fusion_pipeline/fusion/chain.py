"""One block of the recipient through all steps of a model set, for several implicates at a time.

Belongs here: universes, predictions and draws of a step, products, and the values handed from step to step. Does not
belong here: blocks, threads and files (`fusing.py`), what steps draw with (`loading.py`), trees (`program.py`), the
draws (`drawing.py`), rules (`enforcing.py`).

Method: Ummel et al. 2024, "General strategy": steps in fusion order, each drawn value a predictor of later steps;
the fusion variables of a block come from one donor; zero inflation is drawn first, then the value.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from threading import Lock

import numpy as np
import pyarrow as pa

from fusion_pipeline.fusion.drawing import PoolDraw, draw_classes, pack_masks
from fusion_pipeline.fusion.enforcing import Beyond, FirstDraw, enforce
from fusion_pipeline.fusion.loading import LoadedStep, load_steps
from fusion_pipeline.fusion.modelset import ModelSet
from fusion_pipeline.fusion.program import Program
from fusion_pipeline.fusion.proper import columns_by_set, set_numbers, shared
from fusion_pipeline.fusion.rules import Lookup, Values
from fusion_pipeline.fusion.specification import FusionStep
from fusion_pipeline.randomness import stream


@dataclass(frozen=True)
class Drawn:
    """What a step drew, for those who watch: predictions of the donors' coordinates and who was drawn.

    `expected` is (n, c, m' or 1) for the m' implicates of every set of donor weights, of those `active` (n,) says;
    empty for a class. `chosen` is (n, m).
    """

    step: FusionStep
    pools: tuple[PoolDraw, ...]
    expected: Sequence[np.ndarray]
    active: np.ndarray
    chosen: np.ndarray


@dataclass(frozen=True)
class _Block:
    """What the steps of a block of n rows and m implicates share.

    `codes` and `fused` are positions of own and fused predictors; `fused` is filled in from step to step. `sets` has
    the columns of implicates for each set of donor weights; `uniform` gives the (2, n, m) random numbers of a step.
    """

    shape: tuple[int, int]
    codes: np.ndarray
    fused: np.ndarray
    lookup: Lookup
    sets: Mapping[int, np.ndarray]
    uniform: Callable[[str, str], np.ndarray]


class Chain:
    """The steps of a model set, ready to draw.

    Parameters
    ----------
    models : ModelSet
    seed : int
    stream_name : str
    implicates : sequence of int, optional
        Those that will be drawn: only the models of their sets of donor weights are loaded. Without it, all are.
    """

    def __init__(
        self, models: ModelSet, seed: int, stream_name: str, implicates: Sequence[int] | None = None
    ) -> None:
        self._plan = models.plan
        self._variables = models.variables
        sets = set_numbers(models.bootstraps)
        self._set_count = len(sets)
        used = range(len(sets)) if implicates is None else sorted(columns_by_set(implicates, len(sets)))
        self._loaded_at = {position: i for i, position in enumerate(used)}
        self._seed, self._stream_name = seed, stream_name
        self.enforced: Counter[str] = Counter()
        """How many values were drawn again, by the rules of their step."""
        self._lock = Lock()
        self._loaded = load_steps(models, [sets[position] for position in used])
        self._places = {name: self._loaded.choices(name) for name in self._loaded.values}

    @property
    def fixed_bytes(self) -> int:
        """Memory that models and donors take, whatever is drawn from them."""
        return self._loaded.nbytes

    @property
    def bytes_per_row(self) -> int:
        """Estimate of the memory one row of one implicate takes at most while it is in work."""
        programs = [p for s in self._loaded.steps for p in (*s.choosers, s.expected) if p is not None]
        widest = max((program.outputs for program in programs), default=1)
        return 2 * 8 * widest + 2 * 8 * len(self._variables) + 2 * self._loaded.fused.columns + 64

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
            At most `program.TOGETHER`.
        own : Lookup
            Of the block's own columns that universes and rules read.
        watch : callable, optional
            Is shown what each step drew.

        Returns
        -------
        One dict of columns per implicate: the plan's output variables in fusion order.
        """
        shape = (len(features), len(implicates))
        drawn: dict[str, np.ndarray] = {}

        def lookup(name: str) -> Values:
            return (drawn[name], self._variables[name]) if name in drawn else own(name)

        def uniform(step: str, what: str) -> np.ndarray:
            # Always two numbers a row, so that a row's draw does not depend on what other rows drew.
            numbers = np.empty((2, *shape))
            for i, m in enumerate(implicates):
                source = stream(self._seed, self._stream_name, what, step, m, block)
                numbers[:, :, i] = source.random((2, shape[0]))
            return numbers

        codes = self._loaded.own.rows(features)
        fused = np.empty((shape[0], self._loaded.fused.columns, shape[1]), dtype=np.uint16)
        by_set = columns_by_set(implicates, self._set_count)
        sets = {self._loaded_at[position]: columns for position, columns in by_set.items()}
        common = _Block(shape, codes, fused, lookup, sets, uniform)
        for step in self._loaded.steps:
            chosen, beyond = self._draw_step(step, common, watch)
            for variable in step.variables:
                drawn[variable.name] = self._loaded.values[variable.name][chosen]
                for column, places in self._places[variable.name]:
                    fused[:, column] = places[chosen]
                if beyond is not None:
                    value = beyond.value if variable.is_exact else variable.hold(beyond.value)
                    drawn[variable.name] = np.where(beyond.where, value, drawn[variable.name])
                    self._loaded.place(variable.name, drawn[variable.name], fused)
            for product in step.products:
                first, second = self._plan.products[product]
                drawn[product] = drawn[first].astype(np.float64) * drawn[second]
                self._loaded.place(product, drawn[product], fused)
        columns = {name: np.ascontiguousarray(drawn[name].T) for name in self._plan.variables}
        return [
            {name: self._variables[name].to_arrow(column[i]) for name, column in columns.items()}
            for i in range(len(implicates))
        ]

    def _draw_step(
        self, step: LoadedStep, block: _Block, watch: Callable[[Drawn], None] | None
    ) -> tuple[np.ndarray, Beyond | None]:
        """Return the donor, or the class, that gives the step its value: (n, m); and what no donor gives."""
        inside = np.ones(block.shape, dtype=bool)
        if step.step.condition is not None:
            inside = np.array(np.broadcast_to(step.step.condition.truth(block.lookup)[0], block.shape))
        if step.pools:
            first = _draw_donors(step, block, inside)
        elif step.choosers:
            first = _draw_classes(step, block, inside)
        else:
            first = FirstDraw(np.where(inside, 0, -1).astype(np.int32), inside, pack_masks(inside))
        beyond = None
        if step.rules:
            # A stream of its own: whether a rule binds a step changes none of its first draws.
            again = partial(block.uniform, step.step.name, "again")
            count, beyond = enforce(step, self._loaded.values, first, block.lookup, again)
            if count:
                with self._lock:
                    self.enforced["`, `".join(rule.text for rule in step.rules)] += count
        if watch is not None:
            expected = [points for _, points, _ in first.pools]
            watch(Drawn(step.step, step.pools, expected, first.active, first.chosen))
        return first.chosen, beyond


def _draw_classes(step: LoadedStep, block: _Block, inside: np.ndarray) -> FirstDraw:
    choice, _ = block.uniform(step.step.name, "fuse")
    chosen = np.full(block.shape, -1, dtype=np.int32)
    probabilities = []
    for predicted, columns in _predict(step.choosers, block, inside):
        probabilities.append((predicted, columns))
        chosen[:, columns] = draw_classes(predicted, _some(choice, columns))
    chosen[~inside] = -1
    return FirstDraw(chosen, inside, pack_masks(inside), probabilities)


def _draw_donors(step: LoadedStep, block: _Block, inside: np.ndarray) -> FirstDraw:
    assert step.expected is not None
    choice, place = block.uniform(step.step.name, "fuse")
    wanted = inside.copy()
    probabilities = []
    for predicted, columns in _predict(step.choosers, block, inside):
        probabilities.append((predicted, columns))
        wanted[:, columns] &= choice[:, columns] >= predicted[:, 0]
    # What obeys a rule may be a donor's value where zero was drawn first.
    needed = inside if step.rules else wanted
    active = pack_masks(needed)
    common = step.expected.predict(block.codes, block.fused, active)
    shifts = [by for by, _ in _predict(step.shifts, block, needed)]
    chosen = np.full(block.shape, -1, dtype=np.int32)
    drawn_from = []
    for i, (pools, columns) in enumerate(shared(step.pools, block.sets)):
        matched = common if common.shape[2] == 1 else _some(common, columns)
        if shifts:
            matched = _shifted(matched, step.located, shifts[i])
        drawn_from.append((pools, matched, columns))
        chosen[:, columns] = pools.donors(matched, _some(place, columns), pack_masks(_some(wanted, columns)))
    return FirstDraw(chosen, inside, active, probabilities, drawn_from)


def _shifted(expected: np.ndarray, located: Sequence[tuple[int, int]], by: np.ndarray) -> np.ndarray:
    """Move the mean and quantiles of each number: (n, c, m or 1) by (n, numbers, m or 1)."""
    moved = expected + np.zeros((1, 1, by.shape[2]))
    for number, (first, end) in enumerate(located):
        moved[:, first:end] += by[:, number, None]
    return moved


def _predict(
    programs: Sequence[Program], block: _Block, wanted: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray | slice]]:
    """Predict what every set of donor weights has its own models of, with the columns of implicates it is for."""
    for program, columns in shared(programs, block.sets):
        active = pack_masks(_some(wanted, columns))
        yield program.predict(block.codes, _some(block.fused, columns), active), columns


def _some(values: np.ndarray, columns: np.ndarray | slice) -> np.ndarray:
    return values if isinstance(columns, slice) else np.ascontiguousarray(values[..., columns])
