"""The mirror folder: raw files of the simulated world, named and laid out as the registry expects.

Belongs here: which file goes where, publication, and the stamps that say what was asked for. Does not belong
here: the content of the files.

Every survey-year, and `spatial`, is a folder of its own: published whole, with its own stamp, so that a later pair adds
to the mirror what it needs and remakes nothing.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from fusion_pipeline.errors import SettingsError, StorageError
from fusion_pipeline.raw.entries import RawFile
from fusion_pipeline.raw.resolving import SIMULATED as STAMP
from fusion_pipeline.registry import Registry, SurveyVintage, load_registry
from fusion_pipeline.simulate import boundaries, neighbourhoods, tracts
from fusion_pipeline.simulate.acs import write_acs
from fusion_pipeline.simulate.ahs import write_ahs
from fusion_pipeline.simulate.cei import YEARS as CEI_YEARS
from fusion_pipeline.simulate.cei import write_cei
from fusion_pipeline.simulate.nhts import write_nhts
from fusion_pipeline.simulate.place import Places, build_places
from fusion_pipeline.simulate.recs import write_recs
from fusion_pipeline.simulate.recs_2020 import write_recs_2020
from fusion_pipeline.simulate.spatial import write_degree_days, write_prices, write_use
from fusion_pipeline.storage.atomic import atomic_directory, atomic_file, recover

log = logging.getLogger(__name__)

VERSION = "10"
"""Changes whenever the same arguments give other bytes."""
SPATIAL, TRUTH = "spatial", "truth"
MIN_HOUSEHOLDS, MIN_DONORS = 500, 300
"""Two households in every PUMA; both halves of every pseudo-stratum occupied."""

Writer = Callable[[Places, int, SurveyVintage, int, Path, Path], None]
"""Writes a survey-year: places, seed, registry entry, households of the sample, folder, file of the truth."""


def _write_recs(
    places: Places, seed: int, survey: SurveyVintage, size: int, folder: Path, truth: Path
) -> None:
    write_recs(places, seed, size, folder / survey.files["households"].name, truth)


def _write_acs(
    places: Places, seed: int, survey: SurveyVintage, size: int, folder: Path, truth: Path
) -> None:
    housing, persons = (folder / survey.files[role].name for role in ("households", "persons"))
    write_acs(places, seed, survey.year, size, housing, persons, truth, vintage=survey.vintage)


DONORS: Mapping[tuple[str, str], Writer] = {
    ("RECS", "2015"): _write_recs,
    ("NHTS", "2017"): write_nhts,
    ("NHTS", "2022"): write_nhts,
    ("RECS", "2020"): write_recs_2020,
    ("AHS", "2015"): write_ahs,
    ("AHS", "2017"): write_ahs,
    ("AHS", "2019"): write_ahs,
    ("AHS", "2021"): write_ahs,
    **{("CEI", str(year)): write_cei for year in range(CEI_YEARS[0], CEI_YEARS[1] + 1)},
}
"""Donor surveys that are simulated, by survey and vintage."""


def simulate(
    out: Path,
    pairs: Collection[str] | None = None,
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
        Mirror folder. What it holds of the same arguments and version stays as it is; what other arguments made goes.
    pairs : collection of str, optional
        Fusion pairs whose donors, ACS years and geography are written; all of the registry by default.
    households : int
        Occupied households in the sample of each ACS year.
    donors : int
        Households in the sample of each donor survey-year.
    seed : int
        Same arguments, same bytes, in whatever order the pairs come.
    registry : Registry, optional
        Names and folders of the files; the installed registry by default.

    Raises
    ------
    RegistryError
        If there is no such pair.
    SettingsError
        If a sample is too small for its design.
    StorageError
        If `out` holds files that no simulation made, or cannot be written.

    Notes
    -----
    Layout: `<survey>_<vintage>/<official name>`, `spatial/<official name>` for geography, and
    `truth/<survey>_<vintage>.parquet`. All surveys are samples of the same places and the same model of
    households, drawn independently; the truth of any year is what RECS 2015 would have recorded. Survey-years for which
    there is no model are left out by name.
    """
    registry = registry or load_registry()
    chosen = [registry.pair(name) for name in (registry.pairs if pairs is None else pairs)]
    surveys = [
        registry.surveys[key] for pair in chosen for donor in pair.donors for key in registry.behind(donor)
    ]
    surveys += [registry.recipients[pair.recipient] for pair in chosen]
    folders = dict.fromkeys([*(survey.folder for survey in surveys), SPATIAL])
    simulate_folders(out, folders, households=households, donors=donors, seed=seed, registry=registry)


def simulate_folders(
    out: Path,
    folders: Collection[str],
    *,
    households: int,
    donors: int,
    seed: int,
    registry: Registry | None = None,
) -> None:
    """Write some folders of the mirror, such as `recs_2015`, `acs_2015` or `spatial`; otherwise as `simulate`."""
    registry = registry or load_registry()
    _check_sizes(households, donors)
    _claim(out, {"households": households, "donors": donors, "seed": seed})
    donor_folders = {survey.folder: survey for survey in registry.surveys.values()}
    recipient_folders = {survey.folder: survey for survey in registry.recipients.values()}
    writers = {
        survey.folder: DONORS.get((survey.survey, survey.vintage)) for survey in donor_folders.values()
    }
    writers |= dict.fromkeys(recipient_folders, _write_acs)
    places: Places | None = None
    for folder in folders:
        survey = donor_folders.get(folder) or recipient_folders.get(folder)
        write, size = writers.get(folder), donors if folder in donor_folders else households
        if survey is not None and write is None:
            log.info("%s is not simulated", folder)
            continue
        files = list((survey.files if survey else registry.place_files()).values())
        stamp = _stamp(folder, seed, size if survey else None, files)
        recover(out / folder)
        if _read(out / folder / STAMP) == stamp:
            log.info("%s holds this simulation already", out / folder)
            continue
        places = places or build_places(seed)
        with atomic_directory(out / folder) as target:
            if survey is None or write is None:
                _write_spatial(places, seed, registry, target)
            else:
                # The truth comes first: a folder with its stamp has its truth beside it.
                with atomic_file(out / TRUTH / f"{folder}.parquet") as truth:
                    write(places, seed, survey, size, target, truth)
            (target / STAMP).write_text(json.dumps(stamp, indent=1, sort_keys=True) + "\n")


def _write_spatial(places: Places, seed: int, registry: Registry, folder: Path) -> None:
    areas = tracts.build_tracts(places, seed)
    of_role = tracts.writers(places, areas)
    known: dict[str, Callable[[Path], None]] = {
        **neighbourhoods.writers(places, areas, seed),
        **boundaries.writers(places, seed),
        "eia/prices": lambda file: write_prices(places, seed, file),
        "eia/use": lambda file: write_use(places, seed, file),
        "noaa/heating": lambda file: write_degree_days(places, seed, "hdd", file),
        "noaa/cooling": lambda file: write_degree_days(places, seed, "cdd", file),
        "puma10/tracts": of_role["tracts10"],
        "puma20/tracts": of_role["tracts20"],
        "puma10/housing": of_role["zcta10"],
    }
    written: set[str] = set()
    for name, file in registry.place_files().items():
        write = known.get(name) or of_role.get(name.partition("/")[2])
        if write is not None and file.name not in written:
            write(folder / file.name)
            written.add(file.name)


def _check_sizes(households: int, donors: int) -> None:
    for name, value, least in (("households", households, MIN_HOUSEHOLDS), ("donors", donors, MIN_DONORS)):
        if value < least:
            raise SettingsError(
                f"simulate, {name}",
                f"{value} are too few for the sampling design.",
                f"Ask for {least} or more.",
            )


def _stamp(folder: str, seed: int, size: int | None, files: Collection[RawFile]) -> dict[str, Any]:
    names = sorted({f"{folder}/{file.name}" for file in files})
    return {"version": VERSION, "seed": seed, "files": names, **({} if size is None else {"sample": size})}


def _claim(out: Path, arguments: Mapping[str, int]) -> None:
    """Make the mirror one of these arguments: what others made goes, and what nobody simulated is not ours."""
    stamp = {"version": VERSION, **arguments}
    before = _read(out / STAMP)
    if before == stamp:
        return
    if out.exists() and before is None and (not out.is_dir() or any(out.iterdir())):
        raise StorageError(
            str(out),
            f"holds files that no simulation made ({STAMP} is missing).",
            "Name another folder, or move those files away.",
        )
    if before is not None:
        # The stamp goes last: cut off half way, the folder is still known for a simulation's.
        for path in sorted(out.iterdir()):
            if path.is_dir():
                shutil.rmtree(path)
    with atomic_file(out / STAMP) as path:
        path.write_text(json.dumps(stamp, indent=1, sort_keys=True) + "\n")


def _read(stamp: Path) -> dict[str, Any] | None:
    return json.loads(stamp.read_text()) if stamp.is_file() else None
