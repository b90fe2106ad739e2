"""Raw files: the simulated surveys, a mirror folder, the cache or the official download."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import dagster as dg

from fusion_pipeline.raw import ResolvedFile, resolve
from fusion_pipeline.registry import RawFile, SurveyVintage
from fusion_pipeline.storage.atomic import exclusive


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
        """Find the files of a donor survey-year or an ACS year."""
        return self._resolve({str(role): file for role, file in vintage.files.items()}, vintage.folder)

    def geography(self, files: dict[str, RawFile]) -> list[ResolvedFile]:
        """Find the geography files."""
        return self._resolve(files, "spatial")

    def _resolve(self, files: dict[str, RawFile], folder: str) -> list[ResolvedFile]:
        simulated = self.origin == "simulated"
        if simulated:
            self._simulate()
        mirror = Path(self.mirror) if self.mirror else None
        return [
            resolve(
                role,
                file,
                folder=folder,
                mirror=mirror,
                cache=Path(self.cache),
                offline=self.offline,
                simulated=simulated,
            )
            for role, file in files.items()
        ]

    def _simulate(self) -> None:
        from fusion_pipeline.simulate import simulate

        out = self.folder
        # Three assets ask for the population at once when a run has several processes; one makes it.
        with exclusive(out.with_name(f".{out.name}.lock")):
            simulate(out, households=self.households, donors=self.donors, seed=self.seed)
