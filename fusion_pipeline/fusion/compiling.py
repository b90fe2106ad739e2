"""Compilation of the engine's inner loops, when they are first called.

Belongs here: turning a function of `kernels.py` into machine code. Does not belong here: the functions themselves.

numba is imported by the first call, not with this module. Machine code is kept on disk (beside the source, or in the
user's cache where that folder cannot be written) and checked against the source's time stamp, so that it is made
once; processes may share it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

_COMPILED: dict[Callable[..., Any], Callable[..., Any]] = {}
_LOCK = threading.Lock()


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the compiled form of a kernel. It releases the interpreter's lock while it runs.

    Floating-point sums keep the order that the source has, so results are the same on every machine.
    """
    with _LOCK:
        if function not in _COMPILED:
            import numba

            try:
                _COMPILED[function] = numba.njit(nogil=True, cache=True)(function)
            except RuntimeError:  # numba finds no folder it may write to: compiled in every process
                _COMPILED[function] = numba.njit(nogil=True)(function)
        return _COMPILED[function]
