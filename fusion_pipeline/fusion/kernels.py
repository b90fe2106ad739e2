"""The engine's inner loops, written to be compiled (`compiling.compiled`): plain loops over arrays.

Belongs here: functions that visit every value. Does not belong here: what they are for (`forest.py`, `drawing.py`).
A kernel calls no other, so that its machine code depends on nothing but its own source.
"""

from __future__ import annotations

import numpy as np

CATEGORY = 6
"""Mode of a column that is read as a category; modes below are 2 x (none, zero, NaN is missing) + (goes left)."""
ZERO = float(np.float32(1e-35))
"""Largest size of a number that LightGBM takes for zero."""


def place_rows(features, feature, mode, first, cuts, codes):  # type: ignore[no-untyped-def]
    """Write the position of every value among its column's cuts: the number of cuts that are smaller.

    A missing value that goes left has position 0, one that goes right the last. A category keeps its number as long
    as some set knows it; all others get the number after the last.
    """
    for c in range(len(feature)):
        a, b, how = first[c], first[c + 1], mode[c]
        for r in range(len(features)):
            x = np.float64(features[r, feature[c]])
            if how == CATEGORY:
                size = cuts[a]
                codes[r, c] = np.uint16(x) if x > -1 and x < size else np.uint16(size)
                continue
            if abs(x) <= ZERO or (np.isnan(x) and how < 4):
                x = 0.0
            if np.isnan(x) or (x == 0.0 and (how == 2 or how == 3)):
                codes[r, c] = 0 if how & 1 else b - a
                continue
            low, high = a, b
            while low < high:
                middle = (low + high) >> 1
                if cuts[middle] < x:
                    low = middle + 1
                else:
                    high = middle
            codes[r, c] = low - a


def walk(  # type: ignore[no-untyped-def]
    nodes, leaves, roots, words, conditions, codes, values, feature, mode, first, cuts, active, sums
):
    """Add up leaves: every tree once per row, with a mask of the implicates that are together.

    `table` has, for each cut of a fused variable, the mask of implicates whose value is not greater, and for each
    condition (column, words, entry) on a fused category the mask of implicates whose category is in the set.
    """
    implicates = sums.shape[2]
    thresholds = len(cuts)
    table = np.zeros(thresholds + len(conditions), dtype=np.uint64)
    stacked = np.empty(len(nodes) + 1, dtype=np.int32)
    masks = np.empty(len(nodes) + 1, dtype=np.uint64)
    seen = np.empty(64, dtype=np.int64)
    members = np.empty(64, dtype=np.uint64)
    one = np.uint64(1)
    none = np.uint64(0)
    for r in range(len(codes)):
        if active[r] == none:
            continue
        condition = 0
        for c in range(len(feature)):
            a, b, how = first[c], first[c + 1], mode[c]
            if how == CATEGORY:
                size = cuts[a]
                distinct = 0
                for i in range(implicates):
                    x = values[r, feature[c], i]
                    code = np.int64(x) if x > -1 and x < size else np.int64(size)
                    k = 0
                    while k < distinct and seen[k] != code:
                        k += 1
                    if k == distinct:
                        seen[k] = code
                        members[k] = none
                        distinct += 1
                    members[k] |= one << np.uint64(i)
                while condition < len(conditions) and conditions[condition, 0] == c:
                    start = conditions[condition, 1]
                    mask = none
                    for k in range(distinct):
                        if (words[start + (seen[k] >> 5)] >> np.uint32(seen[k] & 31)) & np.uint32(1):
                            mask |= members[k]
                    table[conditions[condition, 2]] = mask
                    condition += 1
                continue
            for k in range(a, b):
                table[k] = none
            for i in range(implicates):
                x = np.float64(values[r, feature[c], i])
                if abs(x) <= ZERO or (np.isnan(x) and how < 4):
                    x = 0.0
                if np.isnan(x) or (x == 0.0 and (how == 2 or how == 3)):
                    low = a if how & 1 else b
                else:
                    low, high = a, b
                    while low < high:
                        middle = (low + high) >> 1
                        if cuts[middle] < x:
                            low = middle + 1
                        else:
                            high = middle
                if low < b:
                    table[low] |= one << np.uint64(i)
            for k in range(a + 1, b):
                table[k] |= table[k - 1]
        for t in range(len(roots)):
            output = roots[t, 1]
            node = roots[t, 0]
            mask = active[r]
            top = 0
            while True:
                while node >= 0:
                    c = nodes[node, 0]
                    if c < 0:
                        low_mask = mask & table[nodes[node, 1]]
                        high_mask = mask ^ low_mask
                        if low_mask == none:
                            node = nodes[node, 3]
                        elif high_mask == none:
                            node = nodes[node, 2]
                        else:
                            stacked[top] = nodes[node, 3]
                            masks[top] = high_mask
                            top += 1
                            mask = low_mask
                            node = nodes[node, 2]
                    elif c < 1048576:
                        node = nodes[node, 2] if codes[r, c] <= nodes[node, 1] else nodes[node, 3]
                    else:
                        code = np.int64(codes[r, c - 1048576])
                        word = words[nodes[node, 1] + (code >> 5)]
                        node = nodes[node, 2 if (word >> np.uint32(code & 31)) & np.uint32(1) else 3]
                value = leaves[~node]
                for i in range(implicates):
                    sums[r, output, i] += value if (mask >> np.uint64(i)) & one else 0.0
                if top == 0:
                    break
                top -= 1
                node = stacked[top]
                mask = masks[top]
