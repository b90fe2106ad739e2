"""How messages name rows: by number, never by a household's key.

Does not belong here: what is wrong with them.
"""

from __future__ import annotations

import numpy as np


def some_rows(which: np.ndarray) -> str:
    """Name the first of some rows by their number among those kept: messages hold no household's key; which (n,)."""
    rows = np.flatnonzero(which) + 1
    return f"of the rows kept: {', '.join(f'{row:,}' for row in rows[:5])}{', ...' if rows.size > 5 else ''}"
