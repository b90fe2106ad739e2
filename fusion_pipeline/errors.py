"""The one family of exceptions: what is wrong, where, and what to do about it.

Belongs here: exception classes, the way their messages are put together, and how these name what there is. Does not
belong here: the checks that raise them.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

MOST_NAMES = 40
"""Names that a message lists."""


def choose_among(name: str, known: Iterable[str]) -> str:
    """Say what may be meant by a name that is unknown: those spelled alike, else all, or as many as can be read."""
    folded = {text.lower(): text for text in known}
    near = difflib.get_close_matches(name.lower(), folded, n=3, cutoff=0.7)
    if near:
        return f"Did you mean {' or '.join(folded[text] for text in near)}?"
    return f"Choose one of: {listing(folded.values())}."


def listing(names: Iterable[str]) -> str:
    """List names for a message, replicate weights left out; of very many the first."""
    names = [name for name in names if not name.startswith("rep_")]
    more = f" ... ({len(names)} in all)" if len(names) > MOST_NAMES else ""
    return ", ".join(names[:MOST_NAMES]) + more


class FusionError(Exception):
    """Something a user can put right.

    Parameters
    ----------
    where : str
        File, table or partition, then column and value, as narrow as is known.
    what : str
        What was found and what was expected.
    remedy : str
        What to do about it.
    """

    def __init__(self, where: str, what: str, remedy: str) -> None:
        self.where, self.what, self.remedy = where, what, remedy
        super().__init__(f"{where}: {what} {remedy}")

    def __reduce__(self) -> tuple[type[FusionError], tuple[str, str, str]]:
        """Survive the trip between processes with all three parts."""
        return type(self), (self.where, self.what, self.remedy)


class SettingsError(FusionError):
    """A setting or environment variable is wrong."""


class RegistryError(FusionError):
    """`registry.yaml`, a codebook or a harmony file contradicts its schema or the others."""


class RawFileError(FusionError):
    """A raw survey file is missing, cannot be fetched, or is not what the registry says."""


class IngestError(FusionError):
    """A raw file's content contradicts its codebook."""


class HarmonyError(FusionError):
    """A value of the donor or the recipient has no place in a harmony."""


class GeographyError(FusionError):
    """A place is unknown, or has no candidates."""


class TrainingError(FusionError):
    """The donor table or the plan cannot be modelled."""


class FusingError(FusionError):
    """The recipient does not fit the model set."""


class AnalysisError(FusionError):
    """An estimate was asked for that the data cannot give."""


class CheckError(FusionError):
    """A blocking check found that an artefact is not what it has to be."""


class OutOfMemoryError(FusionError):
    """A step needs more memory than its process may take."""


class StorageError(FusionError):
    """A file of the store is missing, damaged or cannot be written."""


def out_of_memory(where: str, error: MemoryError) -> OutOfMemoryError:
    """Say of a step or command that could not allocate what it needs, and which settings to lower."""
    return OutOfMemoryError(
        where,
        f"needs more memory than this process may take ({error or 'allocation failed'}).",
        "Lower FUSION_MEMORY_LIMIT or FUSION_THREADS, or give it more; what was made before stays.",
    )
