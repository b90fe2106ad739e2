"""Raw files: the simulated surveys, a mirror folder, the cache or the official download."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Literal

import dagster as dg

from fusion_pipeline.raw import Missing, ResolvedFile, look_up, resolve_all
from fusion_pipeline.raw.entries import RawFile
from fusion_pipeline.registry import SurveyVintage
from fusion_pipeline.storage.atomic import exclusive
from fusion_pipeline.surveys.codebook import load_codebook

_PLACES = "spatial"


class RawFiles(dg.ConfigurableResource):
    """Finds the raw files that the registry names."""

    origin: Literal["simulated", "public"]
    mirror: str | None
    """Mirror folder; for simulated surveys the folder into which they are written."""
    cache: str
    offline: bool
    households: int
    """ACS households to simulate."""
    donors: int
    """Donor households to simulate."""
    seed: int

    @property
    def folder(self) -> Path:
        """The mirror folder.

        Raises
        ------
        ValueError
            If there is none.
        """
        if self.mirror is None:
            raise ValueError("there is no mirror folder")
        return Path(self.mirror)

    def survey(self, vintage: SurveyVintage) -> list[ResolvedFile]:
        """Find the files of a donor survey-year or an ACS year.

        Files that are declared not to have come with the household file (`without`) are left out if the mirror has
        them not.

        Raises
        ------
        RawFileError
            If files are not to be had: one error that lists them all.
        """
        self._simulate(vintage.folder)
        columns = load_codebook(vintage.codebook).raw_columns
        with Missing() as missing:
            found: list[ResolvedFile] = []
            for role in sorted(vintage.files, key=lambda role: role != "households"):
                file = vintage.files[role]
                with missing.noted():
                    if role in {left_out for other in found for left_out in other.without}:
                        where: dict[str, Any] = {"folder": vintage.folder, "mirror": self._mirror}
                        found += look_up(role, file, columns=columns(role), **where)
                    else:
                        found += self._find(role, file, vintage.folder, columns(role))
        return found

    def places(self, files: Mapping[str, RawFile], *, fetch: bool = False) -> list[ResolvedFile]:
        """Find files about places; optional ones where mirror or cache have them, or anywhere if to `fetch`."""
        self._simulate(_PLACES)
        found: list[ResolvedFile] = []
        with Missing() as missing:
            for role, file in files.items():
                cached = self.origin == "public" and (Path(self.cache) / _PLACES / file.name).is_file()
                with missing.noted():
                    if (fetch and not file.by_hand) or cached or not file.optional:
                        found += self._find(role, file, _PLACES)
                    else:
                        simulated = self.origin == "simulated"
                        found += look_up(role, file, folder=_PLACES, mirror=self._mirror, simulated=simulated)
        return found

    @property
    def _mirror(self) -> Path | None:
        return Path(self.mirror) if self.mirror else None

    def _find(
        self, role: str, file: RawFile, folder: str, columns: Collection[str] = ()
    ) -> list[ResolvedFile]:
        where: dict[str, Any] = {"folder": folder, "mirror": self._mirror, "cache": Path(self.cache)}
        where["columns"] = columns
        return resolve_all(role, file, offline=self.offline, simulated=self.origin == "simulated", **where)

    def _simulate(self, folder: str) -> None:
        """Write the simulated files of one folder of the mirror, if they are what is asked for."""
        if self.origin != "simulated":
            return
        from fusion_pipeline.simulate import simulate_folders

        if self._mirror is None:
            raise ValueError("simulated raw files need a folder to be written to")
        # Several assets ask for their surveys at once when a run has several processes; one at a time makes them.
        with exclusive(self._mirror.with_name(f".{self._mirror.name}.lock")):
            simulate_folders(
                self._mirror, [folder], households=self.households, donors=self.donors, seed=self.seed
            )
