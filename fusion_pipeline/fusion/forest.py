"""LightGBM's text models as flat arrays, and as one program that predicts a whole step.

Belongs here: reading the text, laying trees out for the compiled traversal (`kernels.py`), running it. Does not
belong here: fitting (`boosting.py`), what predictions are for (`chain.py`).

All implicates of a household share its own predictors and differ only in what was fused before. A tree is therefore
walked once per household with a 64-bit mask of the implicates that are still together: a node on an own predictor
sends all of them one way, a node on a fused variable may split the mask. Values are compared as LightGBM compares
them, by their position among the thresholds of the models (decisions: LightGBM 4, `include/LightGBM/tree.h`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np

from fusion_pipeline.errors import StorageError
from fusion_pipeline.fusion.compiling import compiled
from fusion_pipeline.fusion.kernels import CATEGORY, place_values, walk

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

    def splits(self) -> Iterator[tuple[int, float, int]]:
        """Yield (feature, threshold or number of the set, decision type) of every node."""
        return zip(self.feature.tolist(), self.threshold.tolist(), self.decision.tolist(), strict=True)


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
    roots: list[int] = []
    sets: list[frozenset[int]] = []
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
        self.finish()

    def collect(self, forest: Forest, place: Mapping[int, int]) -> None:
        """Take up the splits of a forest on the features in `place` (feature of the forest: column read)."""
        for feature, threshold, decision in forest.splits():
            if feature in place:
                known = self._columns.setdefault((place[feature], _mode(decision)), set())
                known.update(forest.sets[int(threshold)] if decision & _IS_CATEGORY else (threshold,))

    def finish(self) -> None:
        """Fix columns and positions; no forest can be collected afterwards."""
        keys = sorted(self._columns)
        self._numbers = {key: number for number, key in enumerate(keys)}
        self._features, self._modes = [key[0] for key in keys], [key[1] for key in keys]
        self._cuts = [
            np.array([max(self._columns[key], default=-1) + 1.0])
            if key[1] == CATEGORY
            else np.array(sorted(self._columns[key]), dtype=np.float64)
            for key in keys
        ]

    @property
    def columns(self) -> int:
        """Number of columns."""
        return len(self._cuts)

    def column(self, feature: int, decision: int) -> int:
        """Return the column that a split reads."""
        return self._numbers[feature, _mode(decision)]

    def cuts(self, column: int) -> np.ndarray:
        """Return the thresholds of a column in order; for a category, how many categories are told apart."""
        return self._cuts[column]

    def is_category(self, column: int) -> bool:
        """Whether a column is read as a category."""
        return self._modes[column] == CATEGORY

    def place(self, feature: int, values: np.ndarray, codes: np.ndarray) -> None:
        """Place (n, m) values of a feature, read as float32, in its columns of (n, columns, m) uint16 `codes`."""
        for column in self.columns_of(feature):
            compiled(place_values)(values, self._modes[column], self._cuts[column], codes[:, column])

    def columns_of(self, feature: int) -> list[int]:
        """Return the columns that read a feature."""
        return [column for column, known in enumerate(self._features) if known == feature]

    def rows(self, features: np.ndarray) -> np.ndarray:
        """Place every row: (n, features) float32 to (n, columns) uint16 positions."""
        codes = np.empty((len(features), self.columns, 1), dtype=np.uint16)
        for feature in set(self._features):
            self.place(feature, np.ascontiguousarray(features[:, feature])[:, None], codes)
        return codes[:, :, 0]


class Program:
    """Some forests over the same features, laid out to be walked together.

    Parameters
    ----------
    forests : sequence of Forest
        Their outputs follow one another.
    own, fused : mapping of int to int
        Features that all implicates share, and the others: position in the forests to feature of the placement.
    own_placement, fused_placement : Placement
        Finished; both may have been collected from other programs too.
    """

    def __init__(
        self,
        forests: Sequence[Forest],
        own: Mapping[int, int],
        fused: Mapping[int, int],
        own_placement: Placement,
        fused_placement: Placement,
    ) -> None:
        self.forests = tuple(forests)
        self.outputs = sum(forest.outputs for forest in forests)
        layout = _Layout(own, fused, own_placement, fused_placement)
        layout.collect(forests)
        for forest in forests:
            layout.add(forest)
        self._arrays = layout.arrays()
        self.is_shared = not any(f in fused for forest in forests for f, _, _ in forest.splits())

    def predict(self, codes: np.ndarray, fused: np.ndarray, active: np.ndarray) -> np.ndarray:
        """Return what LightGBM's `predict` returns, for every row and implicate.

        Parameters
        ----------
        codes : (n, columns) uint16
            From the placement of own features.
        fused : (n, columns, m) uint16
            From the placement of fused features; m is the number of implicates, at most `TOGETHER`.
        active : (n,) uint64
            Bit i: whether implicate i of the row is wanted. What the others get means nothing.

        Returns
        -------
        (n, outputs, m) float64; (n, outputs, 1) if the program `is_shared`, one number for all implicates.
        """
        if self.is_shared:
            active = (active != 0).astype(np.uint64)
        sums = np.zeros((len(codes), self.outputs, 1 if self.is_shared else fused.shape[2]))
        compiled(walk)(*self._arrays, np.ascontiguousarray(codes), fused, active, sums)
        first = 0
        for forest in self.forests:
            _transform_sums(sums[:, first : first + forest.outputs], forest)
            first += forest.outputs
        return sums


def _transform_sums(sums: np.ndarray, forest: Forest) -> None:
    """Turn sums of leaves into predictions, in place."""
    if forest.transform == "sigmoid":
        with np.errstate(over="ignore"):
            np.exp(np.multiply(sums, -forest.steepness, out=sums), out=sums)
        np.reciprocal(np.add(sums, 1, out=sums), out=sums)
    elif forest.transform == "softmax":
        sums -= sums.max(axis=1, keepdims=True)
        np.exp(sums, out=sums)
        sums /= sums.sum(axis=1, keepdims=True)


class _Layout:
    """A program while it is laid out, in the arrays that `kernels.walk` describes.

    The leaves of a tree are numbered from left to right, so that those below a node are a range, and start in a word
    of their own.
    """

    def __init__(
        self,
        own: Mapping[int, int],
        fused: Mapping[int, int],
        own_placement: Placement,
        fused_placement: Placement,
    ) -> None:
        self._own, self._fused = own, fused
        self._shared, self._apart = own_placement, fused_placement
        self._splits: dict[bool, list[tuple[int, ...]]] = {False: [], True: []}
        self._full: list[int] = []
        self._trees: list[tuple[int, int, int]] = []
        self._leaves: list[float] = []
        self._above: list[list[int]] = []
        self._words: list[int] = []
        self._first_word: dict[tuple[bool, int, frozenset[int]], int] = {}
        self._cuts: dict[int, np.ndarray] = {}
        self._first_entry: dict[int, int] = {}
        self._conditions: dict[tuple[int, frozenset[int]], int] = {}
        self._entries = 1
        self._outputs = 0

    def collect(self, forests: Sequence[Forest]) -> None:
        """Give every cut of a fused variable that a split of these forests has two entries in the table of masks."""
        found: dict[int, set[float]] = {}
        for forest in forests:
            for feature, threshold, decision in forest.splits():
                if feature in self._fused and not decision & _IS_CATEGORY:
                    column = self._apart.column(self._fused[feature], decision)
                    found.setdefault(column, set()).add(threshold)
        for column in sorted(found):
            self._cuts[column] = np.array(sorted(found[column]))
            self._first_entry[column] = self._entries
            self._entries += 2 * len(found[column])

    def add(self, forest: Forest) -> None:
        """Append the trees of a forest."""
        splits = list(forest.splits())
        for tree, root in enumerate(forest.roots.tolist()):
            first = len(self._full)
            order, above, spans = _spread(forest, root)
            entries = {}
            for slot, (node, (start, middle, end)) in enumerate(spans.items()):
                feature, threshold, decision = splits[node]
                if feature in self._fused:
                    entries[node] = self._entry(forest, *splits[node])
                    continue
                column = self._shared.column(self._own[feature], decision)
                is_set = bool(decision & _IS_CATEGORY)
                at = (
                    self._set(True, column, forest.sets[int(threshold)])
                    if is_set
                    else int(np.searchsorted(self._shared.cuts(column), threshold))
                )
                for word in range(start // 64, (end - 1) // 64 + 1):
                    keep = [
                        _WORD - 1 - _bits(a - 64 * word, b - 64 * word)
                        for a, b in ((start, middle), (middle, end))
                    ]
                    self._splits[is_set].append((slot, column, at, first + word, *keep))
            words = -(-len(order) // 64)
            self._full += [_bits(0, len(order) - 64 * word) for word in range(words)]
            self._trees.append((first, first + words, self._outputs + tree % forest.outputs))
            self._leaves += forest.leaf[order].tolist()
            self._above += [
                [entries[node] + (not is_left) for node, is_left in path if node in entries] for path in above
            ]
            unused = 64 * words - len(order)
            self._leaves += [0.0] * unused
            self._above += [[]] * unused
        self._outputs += forest.outputs

    def arrays(self) -> tuple[np.ndarray, ...]:
        """Return the arrays, in the order of the kernel's arguments."""
        found: list[np.ndarray] = []
        for splits in self._splits.values():
            # By slot: neighbours belong to different trees and do not wait for each other's result.
            splits.sort(key=lambda split: split[0])
            found.append(np.array([s[1:4] for s in splits], dtype=np.int32).reshape(-1, 3))
            found.append(np.array([s[4:] for s in splits], dtype=np.uint64).reshape(-1, 2))
        above = np.array([(*path[:4], *[0] * (4 - len(path))) for path in self._above], dtype=np.int32)
        further = [entry for path in self._above for entry in path[4:]]
        columns, entries = [], [np.empty(0, dtype=np.uint16)]
        for column in sorted({*self._cuts, *(c for c, _ in self._conditions)}):
            if self._apart.is_category(column):
                columns.append((column, -1, 0, 0))
                continue
            cuts, every = self._cuts[column], self._apart.cuts(column)
            columns.append((column, self._first_entry[column], len(cuts), sum(map(len, entries))))
            # A value that is greater than k of every column's cuts is greater than this many of the program's.
            entries.append(np.searchsorted(cuts, [-np.inf, *every], side="right").astype(np.uint16))
        conditions = [
            (column, self._first_word[False, column, chosen], entry)
            for (column, chosen), entry in self._conditions.items()
        ]
        return (
            *found,
            np.array(self._full, dtype=np.uint64),
            np.array(self._trees, dtype=np.int64).reshape(-1, 3),
            np.array(self._leaves),
            above.reshape(-1, 4),
            np.cumsum([0, *(len(path[4:]) for path in self._above)], dtype=np.int64),
            np.array(further, dtype=np.int64),
            np.array(self._words, dtype=np.uint32),
            np.array(columns, dtype=np.int64).reshape(-1, 4),
            np.concatenate(entries),
            np.array(sorted(conditions), dtype=np.int64).reshape(-1, 3),
        )

    def _entry(self, forest: Forest, feature: int, threshold: float, decision: int) -> int:
        """Return the entry of those who go left at a split on a fused variable; the next one has the others."""
        column = self._apart.column(self._fused[feature], decision)
        if not decision & _IS_CATEGORY:
            return self._first_entry[column] + 2 * int(np.searchsorted(self._cuts[column], threshold))
        chosen = forest.sets[int(threshold)]
        if (column, chosen) not in self._conditions:
            self._set(False, column, chosen)
            self._conditions[column, chosen] = self._entries
            self._entries += 2
        return self._conditions[column, chosen]

    def _set(self, is_own: bool, column: int, chosen: frozenset[int]) -> int:
        """Return the first word of a set of categories."""
        key = (is_own, column, chosen)
        if key not in self._first_word:
            self._first_word[key] = len(self._words)
            placement = self._shared if is_own else self._apart
            # One bit more than categories: the code of all others, which is in no set.
            words = [0] * (int(placement.cuts(column)[0]) // 32 + 1)
            for category in chosen:
                words[category // 32] |= 1 << category % 32
            self._words += words
        return self._first_word[key]


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
        for a, b in pairwise(bounds)
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
