"""The engine's inner loops, written to be compiled (`compiling.compiled`): plain loops over arrays.

Belongs here: functions that visit every value. Does not belong here: what they are for (`placement.py`, `program.py`,
`drawing.py`).
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


def place_values(values, mode, cuts, codes):
    """Write the position of every value of (n, m) among the cuts of a column: the number of cuts that are smaller.

    A missing value that goes left has position 0, one that goes right the last. A category keeps its number as long
    as some set knows it; all others get the number after the last.
    """
    size = cuts[0]
    for r in range(values.shape[0]):
        for i in range(values.shape[1]):
            x = np.float64(np.float32(values[r, i]))
            if mode == CATEGORY:
                codes[r, i] = np.uint16(x) if x > -1 and x < size else np.uint16(size)
                continue
            if abs(x) <= ZERO or (np.isnan(x) and mode < 4):
                x = np.float64(0)
            if np.isnan(x) or (x == 0.0 and (mode == 2 or mode == 3)):
                codes[r, i] = 0 if mode & 1 else len(cuts)
                continue
            low, high = 0, len(cuts)
            while low < high:
                middle = (low + high) >> 1
                if cuts[middle] < x:
                    low = middle + 1
                else:
                    high = middle
            codes[r, i] = low


def walk(
    own,
    own_keep,
    sets,
    sets_keep,
    full,
    trees,
    leaves,
    above,
    further,
    further_entry,
    words,
    columns,
    entries,
    conditions,
    codes,
    fused,
    active,
    sums,
):
    """Add up leaves: the leaves a row can reach are found once, those that depend on the implicate with masks.

    `reach` has a bit for every leaf, 64 to a word. Splits on own predictors (`own`: column, position, word; `sets`:
    column, first of its words, word) clear the leaves on the other side. A tree with one leaf left adds it to
    all implicates. Else a leaf's implicates are those on its side of the splits above it on fused variables: `table`
    has a mask of implicates for either side of each of them, and `above` (and `further`, where four are not
    enough) their places. Entry 0 is everyone.

    `columns` of the fused codes have (column, first entry or -1 for a category, number of cuts, where `entries`
    translates their codes to cuts of this program); `conditions` (column, first word, entry) are sets of categories.
    """
    implicates = sums.shape[2]
    outputs = sums.shape[1]
    one = np.uint64(1)
    none = np.uint64(0)
    table = np.zeros(1 + 2 * (len(conditions) + columns[:, 2].sum()), dtype=np.uint64)
    table[0] = ~none
    reach = np.empty(len(full), dtype=np.uint64)
    base = np.empty(outputs)
    seen = np.empty(64, dtype=np.uint16)
    members = np.empty(64, dtype=np.uint64)
    for r in range(len(codes)):
        everyone = active[r]
        if everyone == none:
            continue
        condition = 0
        for c in range(len(columns)):
            column, start, count, translate = columns[c]
            if start < 0:
                distinct = 0
                for i in range(implicates):
                    code = fused[r, column, i]
                    k = 0
                    while k < distinct and seen[k] != code:
                        k += 1
                    if k == distinct:
                        seen[k] = code
                        members[k] = none
                        distinct += 1
                    members[k] |= one << np.uint64(i)
                while condition < len(conditions) and conditions[condition, 0] == column:
                    word = conditions[condition, 1]
                    mask = none
                    for k in range(distinct):
                        if (words[word + (seen[k] >> 5)] >> np.uint32(seen[k] & 31)) & np.uint32(1):
                            mask |= members[k]
                    table[conditions[condition, 2]] = mask
                    table[conditions[condition, 2] + 1] = ~mask
                    condition += 1
                continue
            for k in range(count):
                table[start + 2 * k] = none
            for i in range(implicates):
                position = entries[translate + fused[r, column, i]]
                if position < count:
                    table[start + 2 * np.int64(position)] |= one << np.uint64(i)
            mask = none
            for k in range(count):
                mask |= table[start + 2 * k]
                table[start + 2 * k] = mask
                table[start + 2 * k + 1] = ~mask
        for w in range(len(full)):
            reach[w] = full[w]
        for j in range(len(own)):
            goes_left = np.uint64(codes[r, np.uint64(own[j, 0])] <= own[j, 1])
            reach[np.uint64(own[j, 2])] &= own_keep[j, goes_left]
        for j in range(len(sets)):
            category = np.uint64(codes[r, np.uint64(sets[j, 0])])
            bits = np.uint64(words[np.uint64(sets[j, 1]) + (category >> np.uint64(5))])
            goes_left = (bits >> (category & np.uint64(31))) & one
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
                    leaf = np.uint64(w) * np.uint64(64) + PLACES[(lowest * SPREAD) >> np.uint64(58)]
                    mask = (
                        everyone & table[np.uint64(above[leaf, 0])] & table[np.uint64(above[leaf, 1])]
                    ) & (table[np.uint64(above[leaf, 2])] & table[np.uint64(above[leaf, 3])])
                    for k in range(further[leaf], further[leaf + one]):
                        mask &= table[further_entry[k]]
                    if mask != none:
                        value = leaves[leaf]
                        for i in range(implicates):
                            sums[r, output, i] += value if (mask >> np.uint64(i)) & one else 0.0
        for k in range(outputs):
            for i in range(implicates):
                sums[r, k, i] += base[k]


def pack(wanted, masks):
    """Write (n, m) booleans as (n,) masks."""
    for r in range(wanted.shape[0]):
        mask = np.uint64(0)
        for i in range(wanted.shape[1]):
            mask |= np.uint64(wanted[r, i]) << np.uint64(i)
        masks[r] = mask


def choose(probabilities, uniform, drawn):
    """Draw classes by inverting cumulative distributions; a single probability is that of the second class of two."""
    n, classes, own = probabilities.shape
    for r in range(n):
        for i in range(uniform.shape[1]):
            j = i if own > 1 else 0
            if classes == 1:
                first = 1 - probabilities[r, 0, j]
                drawn[r, i] = 1 if first <= uniform[r, i] * (first + probabilities[r, 0, j]) else 0
                continue
            total = 0.0
            for k in range(classes):
                total += probabilities[r, k, j]
            target = uniform[r, i] * total
            chosen = 0
            total = probabilities[r, 0, j]
            while total <= target and chosen < classes - 1:
                chosen += 1
                total += probabilities[r, chosen, j]
            drawn[r, i] = chosen


def draw(
    expectations,
    increasing,
    shift,
    scale,
    near,
    reach,
    points,
    offsets,
    cumulative,
    guide,
    donors,
    active,
    uniform,
    drawn,
):
    """Draw a donor for every active row and implicate from the pool of its nearest centre; -1 for the others.

    `increasing` has first and end of coordinates that are put in order first. The search starts at the centre found
    last and looks at the centres by their distance from it, a group at a time: `near` (centres, groups, group) are
    their numbers, `reach` the distance of the nearest of a group, a little reduced for rounding. A centre nearer to
    the point than the best is not farther from where the search started than start and best are from the point
    together. Where the list is too short to be sure, all centres are looked at. Of equally near ones the first
    wins, so the result does not depend on the start. `points` has the coordinates of all groups, and then of all
    centres, coordinate by coordinate; those at infinity fill up. `guide` says for equal steps of a pool's weight
    where in the pool to look.
    """
    n, coordinates, own = expectations.shape
    centres, groups, group = near.shape
    width = (coordinates + 3) // 4 * 4
    every = (len(points) - centres * groups * group * width) // width
    point = np.zeros(width, dtype=np.float32)
    distances = np.empty(max(group, every), dtype=np.float32)
    bits = distances.view(np.int32)
    values = np.empty(coordinates)
    best = 0
    for r in range(n):
        is_placed = False
        for i in range(uniform.shape[1]):
            if not (active[r] >> np.uint64(i)) & np.uint64(1):
                drawn[r, i] = -1
                continue
            if own > 1 or not is_placed:
                is_placed = True
                for k in range(coordinates):
                    values[k] = expectations[r, k, i if own > 1 else 0]
                for s in range(len(increasing)):
                    for k in range(increasing[s, 0] + 1, increasing[s, 1]):
                        x = values[k]
                        at = k
                        while at > increasing[s, 0] and values[at - 1] > x:
                            values[at] = values[at - 1]
                            at -= 1
                        values[at] = x
                for k in range(coordinates):
                    point[k] = np.float32((values[k] - shift[k]) / scale[k])
                start = best
                least = np.float32(np.inf)
                from_start = np.float32(0)
                position = 0
                while True:
                    if position < groups:
                        count = group
                        at = (start * groups + position) * group * width
                    else:
                        count = every
                        at = centres * groups * group * width
                    for k in range(0, width, 4):
                        p0, p1, p2, p3 = point[k], point[k + 1], point[k + 2], point[k + 3]
                        c0 = points[at + k * count : at + (k + 1) * count]
                        c1 = points[at + (k + 1) * count : at + (k + 2) * count]
                        c2 = points[at + (k + 2) * count : at + (k + 3) * count]
                        c3 = points[at + (k + 3) * count : at + (k + 4) * count]
                        for g in range(count):
                            d0 = p0 - c0[g]
                            d1 = p1 - c1[g]
                            d2 = p2 - c2[g]
                            d3 = p3 - c3[g]
                            part = (d0 * d0 + d1 * d1) + (d2 * d2 + d3 * d3)
                            distances[g] = part if k == 0 else distances[g] + part
                    if position == 0 and least == np.inf:
                        least = distances[0]
                        from_start = np.sqrt(least)
                    # Numbers that are not negative are in the order of their bits; integers have a fast minimum.
                    smallest = bits[0]
                    for g in range(count):
                        smallest = min(smallest, bits[g])
                    g = 0
                    while bits[g] != smallest:
                        g += 1
                    if distances[g] <= least:
                        for h in range(g, count):
                            if bits[h] == smallest:
                                other = near[start, position, h] if position < groups else h
                                if distances[h] < least or other < best:
                                    best = other
                                    least = distances[h]
                    if position >= groups:
                        break
                    position += 1
                    from_best = np.sqrt(least)
                    if position < groups and reach[start, position] > from_start + from_best:
                        break
                    if start != best:
                        start = best
                        from_start = from_best
                        position = 0
                    elif position == groups and groups * group >= every:
                        break
            first, end = offsets[best], offsets[best + 1]
            below = cumulative[first]
            target = below + uniform[r, i] * (cumulative[end] - below)
            # The last donor whose cumulative weight does not exceed the target.
            low = guide[first + np.int64(uniform[r, i] * (end - first))]
            while low > first and cumulative[low] > target:
                low -= 1
            while low < end - 1 and cumulative[low + 1] <= target:
                low += 1
            drawn[r, i] = donors[low]
