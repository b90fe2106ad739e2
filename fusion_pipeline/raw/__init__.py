"""Raw files: found in a mirror folder, in the local cache or at the official address, and known by digest.

`resolving.py` decides where a file comes from, `download.py` fetches it, `record.py` writes down what was
found so that later steps can tell whether it is still there. Reading the files' content is ingestion's work
(`surveys`).
"""

from fusion_pipeline.raw.missing import Missing
from fusion_pipeline.raw.record import VOLATILE, ResolvedFile, as_table, from_table, verify
from fusion_pipeline.raw.resolving import look_up, resolve, resolve_all

__all__ = [
    "VOLATILE",
    "Missing",
    "ResolvedFile",
    "as_table",
    "from_table",
    "look_up",
    "resolve",
    "resolve_all",
    "verify",
]
