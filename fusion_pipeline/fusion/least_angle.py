"""LASSO by least-angle regression: the models of the path one by one, from correlations alone.

Belongs here: the walk along the path, written to be compiled (`compiling.compiled`). Does not belong here: what the
models are for (`lasso.py`), how much the full model explains (`full_models.py`).

Efron, Hastie, Johnstone & Tibshirani 2004, "Least angle regression", with its change for the LASSO: a coefficient that
comes to zero leaves. No rows are read, and the walk ends with the first model that suffices.
"""

from __future__ import annotations

import numpy as np

END = 1e-7
"""A penalty this small is none."""


def smallest_model(correlations, target, candidates, enough, most):
    """Walk the path to the first model that explains enough.

    Parameters
    ----------
    correlations : (q, q) float64, symmetric and positive definite
    target : the target's row of `correlations`
    candidates : (p,) int64, columns that may enter; of equal ones the first does
    enough : variance to explain, where the target's is 1
    most : largest number of steps; in each, one column enters or leaves

    Returns
    -------
    Columns of the model, their coefficients, the variance explained, and whether the steps did not reach. If the path
    ends before enough is explained, it is the last model, which explains most.
    """
    moments = correlations[target]
    size = min(most, len(candidates))
    # Correlations with what the model leaves, and how they fall with the penalty.
    rest, slope = moments.copy(), np.empty(len(moments))
    columns, sign = np.empty(size, np.int64), np.empty(size)
    # Cholesky factor of the model's correlations, row by row, and factor⁻¹ sign.
    factor, half = np.zeros((size, size)), np.empty(size)
    coefficients, direction = np.zeros(size), np.empty(size)
    is_in = np.zeros(len(moments), np.bool_)
    count, steps, left, explained = 0, 0, -1, 0.0
    while explained < enough:
        penalty, entering = END, -1
        for j in candidates:
            if not is_in[j] and abs(rest[j]) > penalty:
                penalty, entering = abs(rest[j]), j
        if steps == most or entering < 0:
            break
        steps += 1
        if left < 0:
            columns[count], sign[count], coefficients[count] = entering, np.sign(rest[entering]), 0.0
            is_in[entering] = True
            norm, total = correlations[entering, entering], sign[count]
            for k in range(count):
                value = correlations[entering, columns[k]]
                for i in range(k):
                    value -= factor[count, i] * factor[k, i]
                value /= factor[k, k]
                factor[count, k] = value
                norm -= value * value
                total -= value * half[k]
            factor[count, count] = np.sqrt(norm)
            half[count] = total / factor[count, count]
            count += 1
        direction[:count] = half[:count]
        slope[:] = 0.0
        for k in range(count - 1, -1, -1):
            step = direction[k] / factor[k, k]
            direction[k] = step
            for i in range(k):
                direction[i] -= step * factor[k, i]
            for i in range(len(slope)):
                slope[i] += step * correlations[columns[k], i]
        # The penalty falls until another column correlates as much, or a coefficient comes to zero.
        fall, leaving = penalty, -1
        for j in candidates:
            if is_in[j]:
                continue
            # What has just left is at the penalty still and falls faster: it can come back with the other sign only.
            if slope[j] < 1 and (j != left or rest[j] < 0):
                fall = min(fall, max(penalty - rest[j], 0.0) / (1 - slope[j]))
            if slope[j] > -1 and (j != left or rest[j] > 0):
                fall = min(fall, max(penalty + rest[j], 0.0) / (1 + slope[j]))
        for k in range(count):
            if coefficients[k] * direction[k] < 0 and -coefficients[k] / direction[k] < fall:
                fall, leaving = -coefficients[k] / direction[k], k
        for k in range(count):
            coefficients[k] += fall * direction[k]
        for i in range(len(rest)):
            rest[i] -= fall * slope[i]
        left = -1
        if leaving >= 0:
            left = columns[leaving]
            is_in[left] = False
            count -= 1
            for k in range(leaving, count):
                columns[k], sign[k], coefficients[k] = columns[k + 1], sign[k + 1], coefficients[k + 1]
                factor[k, : k + 2] = factor[k + 1, : k + 2]
            # The rows moved up reach one beyond the diagonal: rotations of neighbouring columns bring them back.
            for k in range(leaving, count):
                length = np.hypot(factor[k, k], factor[k, k + 1])
                cosine, sine = factor[k, k] / length, factor[k, k + 1] / length
                for i in range(k, count):
                    first, second = factor[i, k], factor[i, k + 1]
                    factor[i, k] = cosine * first + sine * second
                    factor[i, k + 1] = cosine * second - sine * first
            for k in range(leaving, count):
                total = sign[k]
                for i in range(k):
                    total -= factor[k, i] * half[i]
                half[k] = total / factor[k, k]
        explained = 0.0
        for k in range(count):
            explained += coefficients[k] * (moments[columns[k]] + rest[columns[k]])
    is_cut_off = steps == most and explained < enough
    return columns[:count].copy(), coefficients[:count].copy(), explained, is_cut_off
