"""The one list of surveys, vintages, raw files and fusion pairs: `registry.yaml`, validated.

Belongs here: the schema of the registry and look-ups in it. Partitions, mappings and jobs are generated from
it. Does not belong here: codes and labels (`codebooks/`), harmonies (`harmonies/`), the schema of raw files
(`raw/entries.py`) and of spatial datasets (`geography/datasets.py`).
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from fusion_pipeline.declared import read_declared
from fusion_pipeline.errors import RegistryError, choose_among
from fusion_pipeline.geography.datasets import DatasetName, SpatialDataset
from fusion_pipeline.raw.entries import Key, Model, RawFile, Role

PATH = Path(__file__).with_name("registry.yaml")


class SurveyVintage(Model):
    """One vintage of a donor survey, or one year of the ACS."""

    survey: Key
    vintage: Key
    year: int
    codebook: Key
    files: dict[Role, RawFile]
    """Raw files by what they hold: the kinds of records that the codebook names, and its replicate weights."""

    @field_validator("files")
    @classmethod
    def _households_are_there(cls, files: dict[str, RawFile]) -> dict[str, RawFile]:
        if "households" not in files:
            raise ValueError("a survey has a file of households")
        return files

    @property
    def folder(self) -> str:
        """Folder of its raw files in a mirror or cache, such as `recs_2015`."""
        return f"{self.survey}_{self.vintage}".lower()

    @model_validator(mode="after")
    def _files_cover_the_same_states(self) -> SurveyVintage:
        # A household whose persons are in no file could not be harmonized, and would stop its step.
        covered = {
            role: {s for other in file.alternatives for part in other.files for s in part.states}
            for role, file in self.files.items()
            if file.alternatives
        }
        if len({frozenset(states) for states in covered.values()}) > 1:
            raise ValueError(f"files: alternatives cover different states: {covered}")
        return self


class Pool(Model):
    """A donor made of several survey-years that are no donors by themselves."""

    survey: Key
    vintage: Key
    year: int
    """Whose dollars its amounts are in."""
    codebook: Key
    years: tuple[Key, ...] = Field(min_length=2)
    """Survey-years whose interviews it pools."""
    learns_from: tuple[Key, ...] = ()
    """Survey-years from whose households it learns what its own do not ask."""


class PriceStep(Model):
    """An expenditure fused as price: price = expenditure / quantity, drawn where the quantity is positive.

    Its fused value is the drawn price times the fused quantity.
    """

    expenditure: Key
    quantity: Key
    predictors: tuple[Key, ...]
    """Harmonized, location, spatial and fusion variables; those that a pair has not are left out by name."""
    outliers_by: Key | None = None
    """Column within whose categories an outlying price is found, and no donor; without it all prices are donors."""


class Block(Model):
    """Fusion variables that always come from one and the same donor."""

    block: tuple[Key, ...] = Field(min_length=2)


class FusionPair(Model):
    """What is fused onto what, and how."""

    donors: tuple[Key, ...] = Field(min_length=1)
    recipient: Key
    harmony_set: Literal["current", "paper"] = "current"
    locations: tuple[Key, ...]
    """Disclosed location columns of the donor, as the concordance names them."""
    location_draws: int | None = Field(default=None, ge=1, le=20)
    """PUMAs drawn for each donor household, all of which are trained on; unset: by the number of donors
    (`geography/puma_imputation.py`, `draws_for`)."""
    forced: tuple[Key, ...] = ()
    """Harmonized predictors that the screen always keeps."""
    order: Literal["given", "greedy"] = "greedy"
    """Fusion order: as listed in `fuse`, or found from the data."""
    fuse: tuple[Key | Block, ...] = Field(min_length=1)
    prices: tuple[PriceStep, ...] = ()
    universes: dict[Key, str] = Field(default_factory=dict)
    """Who a fusion variable means something for: a condition on fusion variables before it, such as `hhvehcnt > 0`.
    Elsewhere it is 0, and left out of estimates."""
    rules: tuple[str, ...] = ()
    """What must be true of every fused household, in the language of `fusion/rule_language.py`; groups of harmonized
    predictors by name, such as `btung > 0 if fuelheat__hfl == "Natural gas"`."""

    @property
    def variables(self) -> tuple[str, ...]:
        """All fusion variables, blocks opened, expenditures last."""
        solo_or_block = [(v,) if isinstance(v, str) else v.block for v in self.fuse]
        return (*(v for step in solo_or_block for v in step), *(p.expenditure for p in self.prices))


class Implicates(Model):
    """How many implicates there are, and how many make a chunk."""

    count: int = Field(ge=2, le=100)
    chunk: int = Field(ge=1)

    @property
    def chunks(self) -> dict[str, tuple[int, ...]]:
        """Partition keys and the 1-based implicates of each: `{"01-05": (1, ..., 5), ...}`."""
        starts = range(1, self.count + 1, self.chunk)
        members = [tuple(range(s, min(s + self.chunk, self.count + 1))) for s in starts]
        return {f"{m[0]:02d}-{m[-1]:02d}": m for m in members}


class Budget(Model):
    """What a step may take before somebody looks: a fixed part, and a part for each million of its rows."""

    cpu_seconds: float
    cpu_seconds_per_million: float = 0.0
    memory_mb: float
    memory_mb_per_million: float = 0.0

    def exceeded(self, cpu_seconds: float, memory_mb: float, rows: int) -> list[str]:
        """Say what is beyond the budget of a step that made so many rows; nothing if all is within."""
        millions = rows / 1e6
        cpu = self.cpu_seconds + self.cpu_seconds_per_million * millions
        memory = self.memory_mb + self.memory_mb_per_million * millions
        told = [("CPU seconds", cpu_seconds, cpu), ("peak memory MB", memory_mb, memory)]
        return [f"{name} {took:,.0f}, budget {limit:,.0f}" for name, took, limit in told if took > limit]


class InternalValidation(Model):
    """How a pair is validated on its own donors, and from where on a check warns."""

    folds: int = Field(ge=2, le=20)
    """Parts of the donors, each fused from the others."""
    implicates: int = Field(ge=2, le=100)
    smallest: int = Field(ge=2)
    """Donors that a subset has at least."""
    error_ratio: float = Field(gt=0)
    """Median error of fused subset estimates over that of the donors' own: no more than this."""
    coverage: tuple[float, float]
    """Share of the observed estimates within 90 % margins from the variance between implicates alone: from, to."""
    auc: float = Field(ge=0.5, le=1)
    """Area under the curve of a classifier of real and fused: no more than this."""

    @field_validator("coverage")
    @classmethod
    def _is_a_band(cls, coverage: tuple[float, float]) -> tuple[float, float]:
        if not 0 <= coverage[0] < coverage[1] <= 1:
            raise ValueError("coverage is a band of shares, such as [0.8, 0.97]")
        return coverage


class PumaDefinition(Model):
    """The PUMAs of one census, and the files that their concordance is built from."""

    acs_years: tuple[int, int]
    """First and last ACS year whose households are in them; of a five-year file, its last year."""
    files: dict[Role, RawFile]


class Registry(Model):
    """All of `registry.yaml`."""

    implicates: Implicates
    validation: InternalValidation
    surveys: dict[Key, SurveyVintage]
    pools: dict[Key, Pool] = Field(default_factory=dict)
    recipients: dict[Key, SurveyVintage]
    geography: dict[Literal["puma10", "puma20"], PumaDefinition]
    spatial: dict[DatasetName, SpatialDataset]
    pairs: dict[Key, FusionPair]
    budgets: dict[str, Budget] = Field(default_factory=dict)
    """By asset, such as ``fusion/models``."""

    @model_validator(mode="after")
    def _references_exist(self) -> Registry:
        if both := set(self.pools) & set(self.surveys):
            raise ValueError(f"pools: {sorted(both)} are surveys too")
        for name, pool in self.pools.items():
            if unknown := {*pool.years, *pool.learns_from} - set(self.surveys):
                raise ValueError(f"pools.{name}: {sorted(unknown)} are not among the surveys")
        pooled = {year for pool in self.pools.values() for year in pool.years}
        for name, pair in self.pairs.items():
            for donor in pair.donors:
                if donor in pooled:
                    raise ValueError(f"pairs.{name}.donors: {donor} is part of a pool; name the pool")
                if donor not in self.surveys and donor not in self.pools:
                    raise ValueError(f"pairs.{name}.donors: {donor} is not among the surveys and pools")
            if pair.recipient not in self.recipients:
                raise ValueError(f"pairs.{name}.recipient: {pair.recipient} is not among the recipients")
            if repeated := {v for v in pair.variables if pair.variables.count(v) > 1}:
                raise ValueError(f"pairs.{name}.fuse: {sorted(repeated)} is listed twice")
            if unknown := set(pair.universes) - {v for v in pair.fuse if isinstance(v, str)}:
                raise ValueError(f"pairs.{name}.universes: {sorted(unknown)} are not fused by themselves")
            quantities = {p.quantity for p in pair.prices} - set(pair.variables)
            if quantities:
                raise ValueError(f"pairs.{name}.prices: quantity {sorted(quantities)} is not fused")
        for key, recipient in self.recipients.items():
            if len(self._definitions(recipient.year)) != 1:
                raise ValueError(
                    f"geography: {recipient.year} of recipients.{key} is in no or several acs_years"
                )
        return self

    def _definitions(self, year: int) -> list[str]:
        return [name for name, d in self.geography.items() if d.acs_years[0] <= year <= d.acs_years[1]]

    def pumas_of(self, recipient: str) -> str:
        """Name the PUMA definition of an ACS year, which is also its column: `puma10` or `puma20`."""
        [name] = self._definitions(self.recipients[recipient].year)
        return name

    @property
    def summaries(self) -> dict[str, tuple[str, str]]:
        """Summaries of spatial datasets by PUMA: key -> dataset and PUMA definition."""
        return {f"{name}_{pumas}": (name, pumas) for name in self.spatial for pumas in self.geography}

    def place_files(self, pumas: str | None = None) -> dict[str, RawFile]:
        """Files about places, by definition or dataset and role, of one PUMA definition or all.

        A file may have several roles.
        """
        files: dict[str, dict[str, RawFile]] = {name: entry.files for name, entry in self.spatial.items()}
        files |= {name: entry.files for name, entry in self.geography.items() if pumas in (None, name)}
        return {f"{name}/{role}": file for name, of in files.items() for role, file in of.items()}

    @property
    def windows(self) -> dict[str, int]:
        """Years within which a vintage of each spatial dataset describes a place."""
        return {name: dataset.window for name, dataset in self.spatial.items()}

    def pair(self, name: str) -> FusionPair:
        """Look a fusion pair up.

        Raises
        ------
        RegistryError
            If there is none of that name; the message names those that are spelled alike, else all.
        """
        if name not in self.pairs:
            raise RegistryError(
                f"fusion pair {name}", "is not in the registry.", choose_among(name, self.pairs)
            )
        return self.pairs[name]

    def donor(self, key: str) -> SurveyVintage | Pool:
        """Look a donor up: a survey-year, or a pool of them."""
        return self.pools[key] if key in self.pools else self.surveys[key]

    def donor_asset(self, key: str, name: str) -> tuple[str, str]:
        """Name the asset that holds a donor's `households` or `persons`."""
        return ("pool" if key in self.pools else "survey", name)

    def behind(self, donor: str) -> tuple[str, ...]:
        """Name the survey-years that a donor is made of: itself, or those of its pool and those it learns from."""
        pool = self.pools.get(donor)
        return (donor,) if pool is None else (*pool.years, *pool.learns_from)

    def year(self, key: str) -> int:
        """Year that places are described for: a survey's own, the middle one of a pool's."""
        if key not in self.pools:
            return self.survey_year(key).year
        return sorted(self.surveys[year].year for year in self.pools[key].years)[
            len(self.pools[key].years) // 2
        ]

    def codebook(self, key: str) -> str:
        """Name the codebook of a donor or an ACS year."""
        return self.pools[key].codebook if key in self.pools else self.survey_year(key).codebook

    def survey_year(self, key: str) -> SurveyVintage:
        """Look a donor survey-year (`RECS_2015`) or an ACS year (`2015`) up.

        Raises
        ------
        RegistryError
            If there is none of that key; the message names those spelled alike, else all.
        """
        entries = {**self.surveys, **self.recipients}
        if key not in entries:
            raise RegistryError(f"survey-year {key}", "is not in the registry.", choose_among(key, entries))
        return entries[key]


@cache
def load_registry(path: Path = PATH) -> Registry:
    """Read and validate the registry.

    Raises
    ------
    RegistryError
        Naming the entry that contradicts the schema.
    """
    return read_declared(Registry, path)
