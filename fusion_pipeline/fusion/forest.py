"""LightGBM's text models as flat arrays, and as one program that predicts a whole step.

Belongs here: reading the text, laying trees out for the compiled traversal (`kernels.py`), running it. Does not
belong here: fitting (`boosting.py`), what predictions are for (`chain.py`).

All implicates of a household share its own predictors and differ only in what was fused before. A tree is therefore
walked once per household with a 64-bit mask of the implicates that are still together: a node on an own predictor
sends all of them one way, a node on a fused variable may split the mask. Values are compared as LightGBM compares
them, by their position among the thresholds of the models (decisions: LightGBM 4, `include/LightGBM/tree.h`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from fusion_pipeline.errors import StorageError
from fusion_pipeline.fusion.compiling import compiled
from fusion_pipeline.fusion.kernels import CATEGORY, place_rows, walk

TOGETHER = 64
"""Implicates walked through a tree at a time: the bits of a mask."""
MISSING = ("none", "zero", "nan")
"""What a numeric split treats as missing, by bits 2 and 3 of LightGBM's decision type."""
_IS_CATEGORY, _DEFAULT_LEFT = 1, 2


@dataclass(frozen=True)
class Forest:
    """The trees of one model.

    Parameters
    ----------
    feature, threshold, decision : (nodes,) int32, float64, uint8
        Split feature, threshold (or number of the category set), LightGBM's decision type.
    left, right : (nodes,) int32
        Node the split leads to; a negative number is leaf ``~number``.
    leaf : (leaves,) float64
    roots : (trees,) int32
    sets : tuple of frozenset of int
        Categories that go left.
    outputs : int
        Numbers predicted for a row: classes of a multiclass model, else 1. Trees take turns.
    transform : "identity", "sigmoid" or "softmax"
        From sums of leaves to predictions.
    steepness : float
        Of the sigmoid.
    """

    feature: np.ndarray
    threshold: np.ndarray
    decision: np.ndarray
    left: np.ndarray
    right: np.ndarray
    leaf: np.ndarray
    roots: np.ndarray
    sets: tuple[frozenset[int], ...]
    outputs: int
    transform: Literal["identity", "sigmoid", "softmax"]
    steepness: float = 1.0


def read_forest(text: str, where: str) -> Forest:
    """Read a LightGBM text model.

    Parameters
    ----------
    text : str
    where : str
        File, for messages.

    Raises
    ------
    StorageError
        If it is no such model, or one with linear leaves, averaged trees or an objective never used here.
    """
    head, *blocks = text.split("\nTree=")
    fields = _fields(head)
    if "num_tree_per_iteration" not in fields:
        raise _unreadable(where, "is not a LightGBM text model")
    if "average_output" in head:
        raise _unreadable(where, "averages its trees")
    transform, steepness = _transform(fields.get("objective", "regression"), where)
    parts: dict[str, list[np.ndarray]] = {
        name: [] for name in ("feature", "threshold", "decision", "left", "right", "leaf")
    }
    roots, sets = [], []
    nodes = leaves = 0
    for block in blocks:
        tree = _fields(block.split("\nend of trees")[0])
        if tree.get("is_linear", "0") != "0":
            raise _unreadable(where, "has linear leaves")
        value = _numbers(tree, "leaf_value", np.float64)
        parts["leaf"].append(value)
        if len(value) == 1:
            roots.append(~leaves)
        else:
            decision = _numbers(tree, "decision_type", np.uint8)
            threshold = _numbers(tree, "threshold", np.float64)
            threshold[decision & _IS_CATEGORY > 0] += len(sets)
            for side in ("left", "right"):
                child = _numbers(tree, f"{side}_child", np.int32)
                parts[side].append(np.where(child < 0, child - leaves, child + nodes))
            parts["feature"].append(_numbers(tree, "split_feature", np.int32))
            parts["threshold"].append(threshold)
            parts["decision"].append(decision)
            sets += _category_sets(tree)
            roots.append(nodes)
            nodes += len(decision)
        leaves += len(value)
    types = {"feature": np.int32, "decision": np.uint8, "left": np.int32, "right": np.int32}
    arrays = {
        name: np.concatenate(found or [np.empty(0)]).astype(types.get(name, np.float64))
        for name, found in parts.items()
    }
    return Forest(
        **arrays,
        roots=np.array(roots, dtype=np.int32),
        sets=tuple(sets),
        outputs=int(fields["num_tree_per_iteration"]),
        transform=transform,
        steepness=steepness,
    )


class Placement:
    """Positions of values among the thresholds of all models: found once, used by every split on them.

    A column is a feature read in one of LightGBM's ways: as a category, or as a number with zero, NaN or nothing
    counted as missing and sent left or right. Columns are collected first (`column`), then `finish` fixes positions.
    """

    def __init__(self) -> None:
        self._columns: dict[tuple[int, int], set[float]] = {}
        self._numbers: dict[tuple[int, int], int] = {}

    def collect(self, forest: Forest, place: Mapping[int, int]) -> None:
        """Take up the splits of a forest on the features in `place` (feature of the forest: column read)."""
        for feature, threshold, decision in zip(
            forest.feature.tolist(), forest.threshold.tolist(), forest.decision.tolist(), strict=True
        ):
            if feature in place:
                known = self._columns.setdefault((place[feature], _mode(decision)), set())
                known.update(forest.sets[int(threshold)] if decision & _IS_CATEGORY else (threshold,))

    def finish(self) -> None:
        """Fix columns and positions; no forest can be collected afterwards."""
        self._numbers = {key: number for number, key in enumerate(sorted(self._columns))}
        self.feature = np.array([key[0] for key in self._numbers], dtype=np.int64)
        self.mode = np.array([key[1] for key in self._numbers], dtype=np.int64)
        self._cuts = [
            np.array([max(known, default=-1) + 1.0])
            if key[1] == CATEGORY
            else np.array(sorted(known), dtype=np.float64)
            for key, known in ((key, self._columns[key]) for key in self._numbers)
        ]
        self.cuts = np.concatenate([np.empty(0), *self._cuts])
        self.first = np.concatenate([[0], np.cumsum([len(c) for c in self._cuts])]).astype(np.int64)

    def split(self, feature: int, decision: int) -> int:
        """Return the column that a split reads."""
        return self._numbers[feature, _mode(decision)]

    def position(self, column: int, threshold: float) -> int:
        """Return the position of a threshold in its column."""
        return int(np.searchsorted(self._cuts[column], threshold))

    def categories(self, column: int) -> int:
        """Return the number of categories that a column tells apart; all others share the next code."""
        return int(self._cuts[column][0])

    def rows(self, features: np.ndarray) -> np.ndarray:
        """Place every row: (n, features) float32 to (n, columns) uint16 positions."""
        codes = np.empty((len(features), len(self.feature)), dtype=np.uint16)
        compiled(place_rows)(
            np.ascontiguousarray(features), self.feature, self.mode, self.first, self.cuts, codes
        )
        return codes


class Program:
    """Some forests over the same features, laid out to be walked together.

    Parameters
    ----------
    forests : sequence of Forest
        Their outputs follow one another.
    own : mapping of int to int
        Features that all implicates share: position in the forests to column of the recipient's features.
    fused : mapping of int to int
        The others: position in the forests to row of the fused values.
    placement : Placement
        Finished, of the recipient's features.
    """

    def __init__(
        self, forests: Sequence[Forest], own: Mapping[int, int], fused: Mapping[int, int], placement: Placement
    ) -> None:
        self.forests = tuple(forests)
        self.outputs = sum(forest.outputs for forest in forests)
        self._fused = Placement()
        for forest in forests:
            self._fused.collect(forest, fused)
        self._fused.finish()
        self.is_shared = len(self._fused.feature) == 0
        layout = _Layout(own, fused, placement, self._fused)
        for forest in forests:
            layout.add(forest)
        self._arrays = layout.arrays()

    def sums(self, codes: np.ndarray, values: np.ndarray, active: np.ndarray, implicates: int) -> np.ndarray:
        """Add up the leaves of every row and implicate.

        Parameters
        ----------
        codes : (n, columns) uint16
            Of the recipient, from its `Placement`.
        values : (n, variables, implicates) float32
            Fused before.
        active : (n,) uint64
            Bit i: whether implicate i of the row is wanted. The others' sums mean nothing.
        implicates : int
            At most `TOGETHER`.

        Returns
        -------
        (n, outputs, implicates) float64; one implicate stands for all if the program `is_shared`.
        """
        if self.is_shared:
            active, implicates = (active != 0).astype(np.uint64), 1
        sums = np.zeros((len(codes), self.outputs, implicates))
        placed = self._fused
        compiled(walk)(
            *self._arrays, codes, values, placed.feature, placed.mode, placed.first, placed.cuts, active, sums
        )
        return sums

    def predict(
        self, codes: np.ndarray, values: np.ndarray, active: np.ndarray, implicates: int
    ) -> np.ndarray:
        """Return what LightGBM's `predict` returns, shaped as `sums`."""
        sums = self.sums(codes, values, active, implicates)
        first = 0
        for forest in self.forests:
            part = sums[:, first : first + forest.outputs]
            if forest.transform == "sigmoid":
                np.negative(part, out=part)
                part *= forest.steepness
                with np.errstate(over="ignore"):
                    np.exp(part, out=part)
                part += 1
                np.reciprocal(part, out=part)
            elif forest.transform == "softmax":
                part -= part.max(axis=1, keepdims=True)
                np.exp(part, out=part)
                part /= part.sum(axis=1, keepdims=True)
            first += forest.outputs
        return sums


class _Layout:
    """A program while it is laid out, in the arrays that `kernels.walk` describes.

    The leaves of a tree are numbered from left to right, so that those below a node are a range, and start in a word
    of their own.
    """

    def __init__(
        self, own: Mapping[int, int], fused: Mapping[int, int], shared: Placement, apart: Placement
    ) -> None:
        self._own, self._place, self._shared, self._apart = own, fused, shared, apart
        self._splits: dict[bool, list[tuple[int, ...]]] = {False: [], True: []}
        self._full: list[int] = []
        self._trees: list[tuple[int, int, int]] = []
        self._leaves: list[float] = []
        self._above: list[list[tuple[int, bool]]] = []
        self._words: list[int] = []
        self._known: dict[tuple[int, frozenset[int]], int] = {}
        self._conditions: dict[tuple[int, frozenset[int]], tuple[int, int]] = {}
        self._outputs = 0

    def add(self, forest: Forest) -> None:
        """Append a forest."""
        for tree, root in enumerate(forest.roots.tolist()):
            first = len(self._full)
            order, above, spans = _spread(forest, root)
            tests = {node: self._test(forest, node) for node in spans}
            for slot, (node, (start, middle, end)) in enumerate(spans.items()):
                column, position = tests[node]
                if column >= 0:
                    is_set = bool(forest.decision[node] & _IS_CATEGORY)
                    for word in range(start // 64, (end - 1) // 64 + 1):
                        keep = [~_bits(a - 64 * word, b - 64 * word) for a, b in ((start, middle), (middle, end))]
                        self._splits[is_set].append((slot, column, position, first + word, *keep))
            words = -(-len(order) // 64)
            self._full += [_bits(0, len(order) - 64 * word) for word in range(words)]
            self._trees.append((first, first + words, self._outputs + tree % forest.outputs))
            unused = 64 * words - len(order)
            self._leaves += [*forest.leaf[order].tolist(), *[0.0] * unused]
            self._above += [
                [(tests[node][1], is_left) for node, is_left in path if tests[node][0] < 0] for path in above
            ] + [[]] * unused
        self._outputs += forest.outputs

    def arrays(self) -> tuple[np.ndarray, ...]:
        """Return the arrays, in the order of the kernel's arguments."""
        found: list[np.ndarray] = []
        for splits in self._splits.values():
            # By slot: neighbours belong to different trees and do not wait for each other's result.
            splits.sort(key=lambda split: split[0])
            found.append(np.array([s[1:4] for s in splits], dtype=np.int32).reshape(-1, 3))
            keep = [(s[4] % _WORD, s[5] % _WORD) for s in splits]
            found.append(np.array(keep, dtype=np.uint64).reshape(-1, 2))
        entries = [entry for path in self._above for entry in path]
        conditions = [(column, *entry) for (column, _), entry in self._conditions.items()]
        return (
            *found,
            np.array(self._full, dtype=np.uint64),
            np.array(self._trees, dtype=np.int64).reshape(-1, 3),
            np.array(self._leaves),
            np.cumsum([0, *(len(path) for path in self._above)], dtype=np.int64),
            np.array([entry for entry, _ in entries], dtype=np.int64),
            np.array([0 if is_left else _WORD - 1 for _, is_left in entries], dtype=np.uint64),
            np.array(self._words, dtype=np.uint32),
            np.array(sorted(conditions), dtype=np.int64).reshape(-1, 3),
        )

    def _test(self, forest: Forest, node: int) -> tuple[int, int]:
        """Return (own column, position or first word) of a split, or (-1, entry of the table of masks)."""
        feature, decision = int(forest.feature[node]), int(forest.decision[node])
        threshold = float(forest.threshold[node])
        is_own = feature in self._own
        placement = self._shared if is_own else self._apart
        column = placement.split((self._own if is_own else self._place)[feature], decision)
        if not decision & _IS_CATEGORY:
            position = placement.position(column, threshold)
            return (column, position) if is_own else (-1, int(placement.first[column]) + position)
        key = (column if is_own else ~column, forest.sets[int(threshold)])
        if key not in self._known:
            # The code after the last category is in no set.
            self._known[key] = len(self._words)
            words = [0] * (placement.categories(column) // 32 + 1)
            for category in key[1]:
                words[category // 32] |= 1 << category % 32
            self._words += words
        if is_own:
            return column, self._known[key]
        condition = (column, key[1])
        if condition not in self._conditions:
            entry = len(self._apart.cuts) + len(self._conditions)
            self._conditions[condition] = (self._known[key], entry)
        return -1, self._conditions[condition][1]


_WORD = 1 << 64


def _spread(
    forest: Forest, root: int
) -> tuple[list[int], list[list[tuple[int, bool]]], dict[int, tuple[int, int, int]]]:
    """Take a tree apart, without recursion because trees can be deep.

    Returns
    -------
    Leaves from left to right; the nodes above each with the side it is on; and for every node where its leaves
    start, where those on its right start, and where they end.
    """
    leaves: list[int] = []
    above: list[list[tuple[int, bool]]] = []
    spans: dict[int, tuple[int, int, int]] = {}
    path: list[tuple[int, bool]] = []
    node = root
    while True:
        while node >= 0:
            spans[node] = (len(leaves), 0, 0)
            path.append((node, True))
            node = int(forest.left[node])
        leaves.append(~node)
        above.append(list(path))
        while path and not path[-1][1]:
            done, _ = path.pop()
            spans[done] = (*spans[done][:2], len(leaves))
        if not path:
            return leaves, above, spans
        turned, _ = path.pop()
        spans[turned] = (spans[turned][0], len(leaves), 0)
        path.append((turned, False))
        node = int(forest.right[turned])


def _bits(start: int, end: int) -> int:
    """Return a word with the bits from `start` to `end` set, as far as it has them."""
    start, end = max(0, min(start, 64)), max(0, min(end, 64))
    return (1 << end) - (1 << start) if end > start else 0


def _mode(decision: int) -> int:
    """Tell how a split reads its feature: `CATEGORY`, or 2 x kind of missing value + 1 if that goes left."""
    if decision & _IS_CATEGORY:
        return CATEGORY
    missing = decision >> 2 & 3
    return 2 * missing + (1 if missing and decision & _DEFAULT_LEFT else 0)


def _fields(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def _numbers(tree: Mapping[str, str], name: str, dtype: type) -> np.ndarray:
    return np.array(tree[name].split(), dtype=np.float64).astype(dtype)


def _category_sets(tree: Mapping[str, str]) -> list[frozenset[int]]:
    if int(tree.get("num_cat", 0)) == 0:
        return []
    bounds = [int(b) for b in tree["cat_boundaries"].split()]
    words = [int(w) for w in tree["cat_threshold"].split()]
    return [
        frozenset(32 * i + bit for i, word in enumerate(words[a:b]) for bit in range(32) if word >> bit & 1)
        for a, b in zip(bounds[:-1], bounds[1:], strict=True)
    ]


def _transform(objective: str, where: str) -> tuple[Literal["identity", "sigmoid", "softmax"], float]:
    name, *options = objective.split()
    given = dict(option.split(":", 1) for option in options if ":" in option)
    if name in ("regression", "quantile") and "sqrt" not in options:
        return "identity", 1.0
    if name == "binary":
        return "sigmoid", float(given.get("sigmoid", 1))
    if name == "multiclass":
        return "softmax", 1.0
    raise _unreadable(where, f"has the objective {objective}")


def _unreadable(where: str, what: str) -> StorageError:
    return StorageError(where, f"{what}; it cannot be used for fusing.", "Train the model set again.")
