"""What the survey and the ACS assets share: from the record of raw files to microdata and its account."""

from __future__ import annotations

from typing import Any

import dagster as dg
import pyarrow as pa

from fusion_pipeline.raw import from_table, verify
from fusion_pipeline.registry import SurveyVintage
from fusion_pipeline.storage.tables import TableRef
from fusion_pipeline.surveys.codebook import RespondentName, load_codebook
from fusion_pipeline.surveys.imputing import impute_missing
from fusion_pipeline.surveys.ingest import RawPart, ingest_with_report
from resources.compute import Compute


def descriptions(vintage: SurveyVintage, respondent: RespondentName) -> dict[str, str]:
    """Say what every column of the microdata is, in the codebook's words."""
    entry = load_codebook(vintage.codebook).respondent(respondent)
    return {name: variable.description for name, variable in entry.everything.items()}


def ingest_recorded(
    raw: TableRef, vintage: SurveyVintage, respondent: RespondentName, compute: Compute
) -> tuple[pa.Table, dict[str, Any]]:
    """Ingest the recorded raw files of one respondent, impute what is missing; return table and account."""
    files = [file for file in from_table(raw.read()) if file.role == respondent]
    for file in files:
        verify(file)
    parts = [RawPart(file.path, file.absent) for file in files]
    codebook = load_codebook(vintage.codebook)
    table, report = ingest_with_report(parts, codebook, respondent)
    table, imputed = impute_missing(
        table,
        codebook.respondent(respondent),
        seed=compute.seed,
        threads=compute.threads,
        stream_name=f"impute/{vintage.folder}/{respondent}",
    )
    return table, {
        "rows read": report.rows_read,
        "rows kept": report.rows_kept,
        "dropped": dg.MetadataValue.json(dict(report.dropped)),
        "missing answers": dg.MetadataValue.json(dict(report.missing)),
        "imputed answers": dg.MetadataValue.json(imputed),
        "variables left out": dg.MetadataValue.json(dict(report.left_out)),
    }
