"""How values are shown to people: the same on the command line, in the UI and in reports.

Belongs here: formatting of single values. Does not belong here: tables and pages.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd


def as_text(value: object) -> str:
    """Format a value: whole numbers in full, others to four significant digits, missing as a dash."""
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, int | np.integer):
        return f"{value:,}"
    if isinstance(value, float | np.floating):
        number = float(value) + 0.0  # no minus before a zero
        if math.isnan(number):
            return "–"
        if math.isinf(number):
            return "∞" if number > 0 else "-∞"
        return f"{number:,.0f}" if abs(number) >= 1000 else f"{number:.4g}"
    return "–" if value is None or value is pd.NA else str(value)
