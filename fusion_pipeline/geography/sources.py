"""State facts from their publishers' files: residential energy prices (EIA) and degree-day normals (NOAA).

Belongs here: reading and checking these files. Does not belong here: bringing them to PUMAs
(`predictors.py`).
"""

from __future__ import annotations

import gzip
from collections import defaultdict
from pathlib import Path
from statistics import median

import pyarrow as pa
import pyarrow.csv as pacsv

from fusion_pipeline.errors import GeographyError
from fusion_pipeline.geography.concordance import states

# SEDS series of the residential sector, in dollars per million Btu.
PRICES = {"electricity": "ESRCD", "natural_gas": "NGRCD", "propane": "PQRCD", "fuel_oil": "DFRCD"}

# NOAA's normals: "nonzero, but rounds to zero" is -7777; the other negative codes mean that there is no
# value.
_ROUNDS_TO_ZERO = -7777
_MISSING = frozenset({-9999, -8888, -6666, -5555})
_RECORD = 24


def energy_prices(seds: Path, year: int) -> dict[str, dict[str, float | None]]:
    """Read the residential energy prices of a year.

    Parameters
    ----------
    seds : Path
        `pr_all.csv` of the State Energy Data System, perhaps gzipped: one row a state and series, one column
        a year.
    year : int

    Returns
    -------
    fuel -> state FIPS -> dollars per million Btu; None where SEDS has 0, its sign for "none is sold".

    Raises
    ------
    GeographyError
        If the file is damaged, or lacks the year, a series or a state; the message names it.
    """
    try:
        table = pacsv.read_csv(seds)
    except (pa.ArrowInvalid, OSError) as error:
        raise _seds_error(seds, f"cannot be read as CSV ({error}).") from error
    for column in ("State", "MSN", str(year)):
        if column not in table.column_names:
            years = [name for name in table.column_names if name.isdigit()]
            raise _seds_error(
                seds,
                f"has no column {column!r}; its years are {min(years, default='')}-{max(years, default='')}.",
            )
    rows = table.select(["State", "MSN", str(year)]).to_pydict()
    values = {
        (msn, usps): value
        for usps, msn, value in zip(rows["State"], rows["MSN"], rows[str(year)], strict=True)
    }
    if len(values) != table.num_rows:
        raise _seds_error(seds, "has a state's series more than once.")
    prices: dict[str, dict[str, float | None]] = {}
    for fuel, series in PRICES.items():
        prices[fuel] = {}
        for state in states().values():
            value = values.get((series, state.usps))
            if not isinstance(value, int | float) or value < 0:
                raise _seds_error(
                    seds,
                    f"series {series}, state {state.usps}, year {year}: a price is expected, not {value!r}.",
                )
            prices[fuel][state.fips] = float(value) or None
    return prices


def degree_days(normals: Path) -> dict[str, float]:
    """Read annual degree-day normals and take the median of every state's cooperative stations.

    Parameters
    ----------
    normals : Path
        `ann-htdd-normal.txt` or `ann-cldd-normal.txt` (1981-2010), perhaps gzipped: station (11 characters),
        value (12, right-aligned, Fahrenheit degree days), flag (1).

    Returns
    -------
    State FIPS -> degree days. DC takes Maryland's, whose station numbers it shares.

    Raises
    ------
    GeographyError
        If a line is malformed or a state has no station with a value; the message names line or state.
    """
    stations: dict[str, list[int]] = defaultdict(list)
    try:
        text = gzip.decompress(normals.read_bytes()) if normals.suffix == ".gz" else normals.read_bytes()
        lines = text.decode("ascii").splitlines()
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise _normals_error(normals, f"cannot be read ({error}).") from error
    for number, line in enumerate(lines, start=1):
        station, digits = line[:11], line[11:23].strip()
        if len(line) != _RECORD or not digits.removeprefix("-").isdigit():
            raise _normals_error(normals, f"line {number} is not a station and its value: {line!r}.")
        value = int(digits)
        if station.startswith("USC00") and value not in _MISSING:
            if value < 0 and value != _ROUNDS_TO_ZERO:
                raise _normals_error(normals, f"line {number} has the unknown code {value}.")
            stations[station[5:7]].append(max(value, 0))
    absent = [state.name for state in states().values() if state.noaa not in stations]
    if absent:
        raise _normals_error(normals, f"has no cooperative station with a value in {', '.join(absent[:5])}.")
    return {state.fips: float(median(stations[state.noaa])) for state in states().values()}


def _seds_error(path: Path, what: str) -> GeographyError:
    return GeographyError(
        path.name, what, "Fetch the complete price file of the State Energy Data System that covers the year."
    )


def _normals_error(path: Path, what: str) -> GeographyError:
    return GeographyError(path.name, what, "Fetch the 1981-2010 normals again; the file may be cut off.")
