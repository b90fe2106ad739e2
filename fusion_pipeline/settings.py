"""Every setting, read from the environment in one place (`FUSION_DATA`, `FUSION_RAW`, `FUSION_SEED`, ...).

Belongs here: what differs between machines and runs. Does not belong here: what is true of surveys and
fusion pairs (`registry.yaml`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import ByteSize, Field, TypeAdapter, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from fusion_pipeline.errors import SettingsError
from fusion_pipeline.machine import usable_cores


class Settings(BaseSettings):
    """Settings of a run; each field is the environment variable ``FUSION_<NAME>``."""

    model_config = SettingsConfigDict(env_prefix="FUSION_", frozen=True)

    data: Path = Path("data")
    """Folder of everything that is made."""
    remote: str | None = Field(default=None, pattern=r"^[a-z0-9]+://\S+$")
    """Object store through which machines share artefacts, such as ``s3://bucket/fusion``; `data` is then a copy."""
    raw: Path | None = None
    """Mirror folder of real raw files, any subset, laid out `<survey>_<vintage>/<file>[.gz|.zip]`."""
    source: Literal["simulated", "public"] | None = None
    """Where raw files come from. Unset: `public` when a mirror folder is given, else `simulated`."""
    offline: bool = False
    """Never download."""
    seed: int = Field(default=1, ge=0)
    threads: int = Field(default_factory=usable_cores, ge=1)
    concurrent_steps: int = Field(default=2, ge=1)
    """Steps that may run at once on a machine: they share threads and memory. As many as dagster.yaml lets run."""
    memory_limit: ByteSize = TypeAdapter(ByteSize).validate_python("2GiB")
    """Bound on the row blocks of fusing and analysis, such as ``2GiB``."""
    implicates: int | None = Field(default=None, ge=2, le=100)
    """Number of implicates M; unset: the registry's."""
    simulated_households: int = Field(default=20_000, ge=500)
    """ACS households of the simulated population's sample."""
    simulated_donors: int = Field(default=5_686, ge=300)
    """RECS households of the simulated population's sample (the real survey's size)."""

    @property
    def origin(self) -> Literal["simulated", "public"]:
        """Where raw files come from, decided."""
        return self.source or ("public" if self.raw else "simulated")

    @property
    def step_threads(self) -> int:
        """Threads of one step: together the concurrent ones take no more than `threads`."""
        return max(1, self.threads // self.concurrent_steps)

    @property
    def step_memory(self) -> int:
        """Bytes that one step's row blocks may take."""
        return int(self.memory_limit) // self.concurrent_steps

    @property
    def root(self) -> Path:
        """Folder of this origin's artefacts: simulated and public data never mix."""
        return self.data.resolve() / self.origin

    @property
    def shared(self) -> str | None:
        """Address of this origin's artefacts in the object store."""
        return f"{self.remote.rstrip('/')}/{self.origin}" if self.remote else None


def load_settings(**overrides: object) -> Settings:
    """Read the environment; keyword arguments win.

    Raises
    ------
    SettingsError
        Naming the environment variable, its value and what is accepted.
    """
    try:
        settings = Settings(**overrides)  # type: ignore[arg-type]
    except ValidationError as error:
        first = error.errors()[0]
        name = "FUSION_" + "_".join(str(part) for part in first["loc"]).upper()
        raise SettingsError(
            name, f"{first['input']!r} is not accepted ({first['msg']}).", "Correct or unset it."
        ) from error
    if settings.raw is not None and not settings.raw.is_dir():
        raise SettingsError(
            "FUSION_RAW", f"{settings.raw} is not a folder.", "Name the mirror folder, or unset it."
        )
    return settings
