"""Trees laid out in the arrays that the compiled traversal (`kernels.walk`) reads.

Belongs here: leaves numbered, splits sorted, masks and sets of categories given their places. Does not belong here:
running the traversal (`program.py`), where values stand among thresholds (`placement.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from fusion_pipeline.fusion.forest import IS_CATEGORY, Forest
from fusion_pipeline.fusion.placement import Placement

_WORD = 1 << 64


class Layout:
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
                if feature in self._fused and not decision & IS_CATEGORY:
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
                is_set = bool(decision & IS_CATEGORY)
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
        if not decision & IS_CATEGORY:
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
