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
SPREAD = np.uint64(0x03F79D71B4CB0A89)
"""A de Bruijn sequence: times a power of two, its highest six bits tell the power."""
PLACES = np.array([((int(SPREAD) << bit) % (1 << 64)) >> 58 for bit in range(64)]).argsort().astype(np.uint64)
"""The power of two by these six bits."""


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
    own,
    own_keep,
    sets,
    sets_keep,
    full,
    trees,
    leaves,
    leaf_first,
    leaf_entry,
    leaf_flip,
    words,
    conditions,
    codes,
    values,
    feature,
    mode,
    first,
    cuts,
    active,
    sums,
):
    """Add up leaves: the leaves a row can reach are found once, those that depend on the implicate with masks.

    `reach` has a bit for every leaf, 64 to a word. Splits on own predictors (`own`: column, position, word; `sets`:
    column, first of its words, word) clear the leaves on the other side. A tree with one leaf left adds it to
    all implicates; else `table` has the masks of implicates on the left of every split on a fused variable, and a
    leaf's implicates are those on its side of all these splits above it (`leaf_entry`, `leaf_flip`).
    """
    implicates = sums.shape[2]
    outputs = sums.shape[1]
    one = np.uint64(1)
    none = np.uint64(0)
    table = np.zeros(len(cuts) + len(conditions), dtype=np.uint64)
    reach = np.empty(len(full), dtype=np.uint64)
    base = np.empty(outputs)
    seen = np.empty(64, dtype=np.int64)
    members = np.empty(64, dtype=np.uint64)
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
        for w in range(len(full)):
            reach[w] = full[w]
        for j in range(len(own)):
            goes_left = np.uint64(codes[r, np.uint64(own[j, 0])] <= own[j, 1])
            reach[np.uint64(own[j, 2])] &= own_keep[j, goes_left]
        for j in range(len(sets)):
            code = np.uint64(codes[r, np.uint64(sets[j, 0])])
            word = words[np.uint64(sets[j, 1]) + (code >> np.uint64(5))]
            goes_left = (np.uint64(word) >> (code & np.uint64(31))) & one
            reach[np.uint64(sets[j, 2])] &= sets_keep[j, goes_left]
        for k in range(outputs):
            base[k] = 0.0
        for t in range(len(trees)):
            a, b, output = trees[t, 0], trees[t, 1], trees[t, 2]
            bits = reach[a]
            only = a
            several = (bits & (bits - one)) != none
            for w in range(a + 1, b):
                if reach[w] != none:
                    several |= bits != none or (reach[w] & (reach[w] - one)) != none
                    bits = reach[w]
                    only = w
            if not several:
                base[output] += leaves[only * 64 + PLACES[(bits * SPREAD) >> np.uint64(58)]]
                continue
            for w in range(a, b):
                bits = reach[w]
                while bits != none:
                    lowest = bits & (~bits + one)
                    bits ^= lowest
                    leaf = w * 64 + PLACES[(lowest * SPREAD) >> np.uint64(58)]
                    mask = active[r]
                    for k in range(leaf_first[leaf], leaf_first[leaf + 1]):
                        mask &= table[leaf_entry[k]] ^ leaf_flip[k]
                    if mask != none:
                        value = leaves[leaf]
                        for i in range(implicates):
                            sums[r, output, i] += value if (mask >> np.uint64(i)) & one else 0.0
        for k in range(outputs):
            for i in range(implicates):
                sums[r, k, i] += base[k]
