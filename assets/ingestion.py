"""The assets that donors and recipients have alike: record of raw files, households, persons.

Belongs here: the one builder that `survey.py` and `recipient.py` call. Does not belong here: what only donors have
(`survey.py`), ingestion itself (`fusion_pipeline/surveys`).
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import dagster as dg
import numpy as np
import pyarrow as pa

from assets import lineage, recipes
from assets.publishing import publish
from assets.reuse import reusable
from fusion_pipeline.fusion import imputation
from fusion_pipeline.raw import VOLATILE, ResolvedFile, from_table, verify
from fusion_pipeline.raw import as_table as record
from fusion_pipeline.registry import SurveyVintage
from fusion_pipeline.storage.artefacts import Artefact
from fusion_pipeline.storage.tables import TableRef
from fusion_pipeline.surveys import imputing, ingest
from fusion_pipeline.surveys.codebook import Codebook, load_codebook
from fusion_pipeline.surveys.ingest import IngestReport, RawPart
from fusion_pipeline.surveys.relating import Relation
from fusion_pipeline.surveys.universes import outside_universe
from resources.compute import Compute
from resources.raw_files import RawFiles

RELATED = "related_records"


class Microdata(NamedTuple):
    """The assets of one group of survey-years."""

    raw: dg.AssetsDefinition
    households: dg.AssetsDefinition
    persons: dg.AssetsDefinition


class Descriptions(NamedTuple):
    """What the UI says of them."""

    raw: str
    households: str
    persons: str


def microdata_assets(
    prefix: str,
    group: str,
    partitions: dg.PartitionsDefinition,
    vintages: Mapping[str, SurveyVintage],
    descriptions: Descriptions,
) -> Microdata:
    """Make the assets `<prefix>/raw`, `<prefix>/households` and `<prefix>/persons`.

    Parameters
    ----------
    prefix, group : first part of the keys, and the group's name
    partitions, vintages : survey-years, and the registry's entry of each
    """
    common: dict[str, Any] = {
        "group_name": group,
        "partitions_def": partitions,
        "owners": ["team:surveys"],
    }
    microdata: dict[str, Any] = {
        **common,
        "kinds": {"arrow", "parquet"},
        "code_version": f"{ingest.VERSION}.{imputing.VERSION}.{imputation.VERSION}",
    }
    raw_in = dg.AssetIn([prefix, "raw"])

    def related(name: str) -> list[dg.AssetCheckSpec]:
        return [
            dg.AssetCheckSpec(
                RELATED,
                asset=[prefix, name],
                blocking=True,
                partitions_def=partitions,
                description="Households have as many persons and vehicles as they say: errors beyond what the codebook "
                "tolerates.",
            )
        ]

    @dg.asset(key=[prefix, "raw"], kinds={"file"}, code_version="4", description=descriptions.raw, **common)
    @reusable(looks_outside=True)
    def raw(context: dg.AssetExecutionContext, raw_files: RawFiles) -> dg.MaterializeResult[Artefact]:
        vintage = vintages[context.partition_key]
        files = raw_files.survey(vintage)
        there = {file.role for file in files}
        metadata = {
            "origin": files[0].origin,
            "files": ", ".join(file.role for file in files),
            "files that are not there": ", ".join(r for r in vintage.files if r not in there) or "none",
        }
        return publish(context, record(files), volatile=VOLATILE, metadata=metadata)

    @dg.asset(
        key=[prefix, "households"],
        ins={"raw": raw_in},
        description=descriptions.households,
        check_specs=related("households"),
        **microdata,
    )
    @reusable(recipes.imputed, seeded=True)
    def households(
        context: dg.AssetExecutionContext, compute: Compute, raw: TableRef
    ):  # Dagster takes no return annotation beside check_specs when there is a value
        vintage = vintages[context.partition_key]
        codebook = load_codebook(vintage.codebook)
        files = from_table(raw.read())
        table, report = _ingest(files, vintage, "households")
        table, imputed = _impute(table, vintage, "households", compute)
        return publish(
            context,
            table,
            inputs=[raw],
            metadata={**_account(report, imputed), **lineage.of_microdata(prefix, codebook, "households")},
            checks=[check_related(report.relations)],
            descriptions=describe(codebook, "households"),
            imputed=imputed,
            outside=outside_universe(report.unasked, table),
        )

    @dg.asset(
        key=[prefix, "persons"],
        ins={"raw": raw_in, "households": dg.AssetIn([prefix, "households"])},
        description=descriptions.persons,
        check_specs=related("persons"),
        **microdata,
    )
    @reusable(recipes.imputed, seeded=True)
    def persons(
        context: dg.AssetExecutionContext, compute: Compute, raw: TableRef, households: TableRef
    ):  # as above
        vintage = vintages[context.partition_key]
        codebook = load_codebook(vintage.codebook)
        files = from_table(raw.read())
        if codebook.persons is None or not any(file.role == "persons" for file in files):
            # Downstream joins find a table with the keys and no rows.
            why = {"persons": "The survey has no person file, or it is not at hand."}
            return publish(
                context,
                ingest.no_persons(),
                inputs=[raw, households],
                metadata=why,
                checks=[check_related({})],
            )
        everyone, report = _ingest(files, vintage, "persons")
        counted_by = codebook.persons.counted_by
        columns = ["hid", "weight", *([counted_by] if counted_by in households.columns else [])]
        table, relation = ingest.match_records(
            everyone, households.read(columns), codebook.persons, "persons"
        )
        inside = np.isin(everyone["hid"].to_numpy(), households.read(["hid"])["hid"].to_numpy())
        outside = outside_universe(report.unasked, table, inside)
        table, imputed = _impute(table, vintage, "persons", compute)
        return publish(
            context,
            table,
            inputs=[raw, households],
            metadata={
                **_account(report, imputed),
                **lineage.of_microdata(prefix, codebook, "persons"),
                "persons and households": relation.sentence("persons"),
            },
            checks=[check_related({"persons": relation})],
            descriptions=describe(codebook, "persons"),
            imputed=imputed,
            outside=outside,
        )

    return Microdata(raw, households, persons)


def describe(codebook: Codebook, kind: str) -> dict[str, str]:
    """Say what every column of the microdata is, in the codebook's words."""
    return {name: variable.description for name, variable in codebook.respondent(kind).everything.items()}


def _ingest(files: list[ResolvedFile], vintage: SurveyVintage, kind: str) -> tuple[pa.Table, IngestReport]:
    """Ingest the recorded raw files of one kind of record; households also learn from the others."""
    parts: dict[str, list[RawPart]] = {}
    for file in files:
        if kind in ("households", file.role):
            parts.setdefault(file.role, []).append(_part(file))
    return ingest.ingest_with_report(parts.pop(kind), load_codebook(vintage.codebook), kind, parts)


def _part(file: ResolvedFile) -> RawPart:
    return RawPart(verify(file), file.absent, file.member, file.excerpt)


def _impute(
    table: pa.Table, vintage: SurveyVintage, kind: str, compute: Compute
) -> tuple[pa.Table, dict[str, int]]:
    return imputing.impute_missing(
        table,
        load_codebook(vintage.codebook).respondent(kind),
        seed=compute.seed,
        threads=compute.threads,
        stream_name=f"impute/{vintage.folder}/{kind}",
    )


def check_related(relations: Mapping[str, Relation]) -> dg.AssetCheckResult:
    """Hold the numbers that households say they have against those of the files; a few may differ."""
    beyond = any(relation.is_excessive for relation in relations.values())
    told = "; ".join(relation.sentence(kind) for kind, relation in relations.items())
    return dg.AssetCheckResult(
        check_name=RELATED,
        passed=not any(relation.differing for relation in relations.values()),
        severity=dg.AssetCheckSeverity.ERROR if beyond else dg.AssetCheckSeverity.WARN,
        metadata={"found": told or "no other records"},
    )


def _account(report: IngestReport, imputed: Mapping[str, int]) -> dict[str, Any]:
    return {
        "rows read": report.rows_read,
        "rows kept": report.rows_kept,
        "dropped": dg.MetadataValue.json(dict(report.dropped)),
        "missing answers": dg.MetadataValue.json(dict(report.missing)),
        "imputed answers": dg.MetadataValue.json(dict(imputed)),
        "variables left out": dg.MetadataValue.json(dict(report.left_out)),
        "other files": dg.MetadataValue.json({k: r.sentence(k) for k, r in report.relations.items()}),
    }
