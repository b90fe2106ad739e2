"""The mirror folder: all raw files of the simulated world, named and laid out as the registry expects.

Belongs here: which file goes where, publication, and the stamp that says what was asked for. Does not belong
here: the content of the files.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from fusion_pipeline.errors import SettingsError, StorageError
from fusion_pipeline.registry import Registry, SurveyVintage, load_registry
from fusion_pipeline.simulate.acs import write_acs
from fusion_pipeline.simulate.place import build_places
from fusion_pipeline.simulate.recs import write_recs
from fusion_pipeline.simulate.spatial import write_degree_days, write_prices, write_tracts
from fusion_pipeline.storage.atomic import atomic_directory, recover

log = logging.getLogger(__name__)

VERSION = "1"
"""Changes whenever the same arguments give other bytes."""
STAMP = "simulated.json"
SPATIAL = "spatial"
RECS_CODEBOOK = "recs_2015"
MIN_HOUSEHOLDS, MIN_DONORS = 500, 300
"""Two households in every PUMA; both halves of every pseudo-stratum occupied."""


def simulate(
    out: Path,
    *,
    households: int = 20_000,
    donors: int = 5_686,
    seed: int = 1,
    registry: Registry | None = None,
) -> None:
    """Write a population with known truth as raw files in each survey's public layout.

    Parameters
    ----------
    out : Path
        Mirror folder, published whole; left as it is if it was made by the same arguments and version.
    households : int
        Occupied households in the sample of each ACS year that is simulated.
    donors : int
        Households in the RECS sample.
    seed : int
        Same arguments, same bytes.
    registry : Registry, optional
        Names and folders of the files; the installed registry by default.

    Raises
    ------
    SettingsError
        If a sample is too small for its design.
    StorageError
        If `out` holds files that no simulation made, or cannot be written.

    Notes
    -----
    Layout: `<survey>_<vintage>/<official name>` for RECS 2015 and every ACS year that a pair of the
    registry fuses onto, `spatial/<official name>` for its geography, and `truth/acs_<year>.parquet`,
    `truth/recs_2015.parquet`.
    Both surveys are samples of the same places and the same model of households, drawn independently; the
    truth of any year is what RECS 2015 would have recorded.
    """
    registry = registry or load_registry()
    _check_sizes(households, donors)
    stamp = _stamp(households, donors, seed, registry)
    recover(out)
    if _made_by(out) == stamp:
        log.info("%s holds this simulation already", out)
        return
    places = build_places(seed)
    with atomic_directory(out) as folder:
        for survey in registry.surveys.values():
            if survey.codebook == RECS_CODEBOOK:
                target = folder / survey.folder
                write_recs(
                    places,
                    seed,
                    donors,
                    target / survey.files["households"].name,
                    folder / "truth" / "recs_2015.parquet",
                )
            else:
                log.info("%s is not simulated", survey.folder)
        for survey in _recipients(registry):
            target = folder / survey.folder
            write_acs(
                places,
                seed,
                survey.year,
                households,
                target / survey.files["households"].name,
                target / survey.files["persons"].name,
                folder / "truth" / f"acs_{survey.year}.parquet",
            )
        spatial = folder / SPATIAL
        spatial.mkdir()
        write_tracts(places, seed, spatial / registry.geography["tract_puma_2010"].name)
        write_prices(places, seed, spatial / registry.geography["seds_prices"].name)
        write_degree_days(places, seed, "hdd", spatial / registry.geography["heating_degree_days"].name)
        write_degree_days(places, seed, "cdd", spatial / registry.geography["cooling_degree_days"].name)
        (folder / STAMP).write_text(json.dumps(stamp, indent=1, sort_keys=True) + "\n")


def _recipients(registry: Registry) -> list[SurveyVintage]:
    """List the ACS years that a pair fuses onto; the others would only cost time and space."""
    used = {pair.recipient for pair in registry.pairs.values()}
    return [survey for key, survey in registry.recipients.items() if key in used]


def _check_sizes(households: int, donors: int) -> None:
    for name, value, least in (("households", households, MIN_HOUSEHOLDS), ("donors", donors, MIN_DONORS)):
        if value < least:
            raise SettingsError(
                f"simulate, {name}",
                f"{value} are too few for the sampling design.",
                f"Ask for {least} or more.",
            )


def _stamp(households: int, donors: int, seed: int, registry: Registry) -> dict[str, Any]:
    files = [
        f"{survey.folder}/{file.name}"
        for survey in (*registry.surveys.values(), *_recipients(registry))
        for file in survey.files.values()
    ]
    files += [f"{SPATIAL}/{file.name}" for file in registry.geography.values()]
    return {
        "version": VERSION,
        "households": households,
        "donors": donors,
        "seed": seed,
        "files": sorted(files),
    }


def _made_by(out: Path) -> dict[str, Any] | None:
    """Read the stamp; None if there is nothing. Anything else in the folder is not ours to replace."""
    if not out.exists():
        return None
    if (out / STAMP).is_file():
        return json.loads((out / STAMP).read_text())
    if out.is_dir() and not any(out.iterdir()):
        return None
    raise StorageError(
        str(out),
        f"holds files that no simulation made ({STAMP} is missing).",
        "Name another folder, or move those files away.",
    )
