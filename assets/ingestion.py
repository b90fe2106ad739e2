"""The assets that donors and recipients have alike: record of raw files, households, persons.

Belongs here: the one builder that `survey.py` and `recipient.py` call. Does not belong here: what only donors have
(`survey.py`), ingestion itself (`fusion_pipeline/surveys`).
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import dagster as dg

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
from fusion_pipeline.surveys.ingest import RawPart
from fusion_pipeline.surveys.microdata import Microdata, make_households, make_persons
from fusion_pipeline.surveys.relating import Relation
from resources.compute import Compute
from resources.raw_files import RawFiles

RELATED = "related_records"


class Assets(NamedTuple):
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
) -> Assets:
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
        parts = _parts(from_table(raw.read()))
        made = make_households(
            parts.pop("households"), parts, codebook, **_imputing(vintage, "households", compute)
        )
        return publish(
            context,
            made.table,
            inputs=[raw],
            metadata={**_account(made), **lineage.of_microdata(prefix, codebook, "households")},
            checks=[check_related(made.report.relations)],
            descriptions=describe(codebook, "households"),
            imputed=made.imputed,
            outside=made.outside,
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
        parts = _parts([file for file in from_table(raw.read()) if file.role == "persons"])
        if codebook.persons is None or "persons" not in parts:
            # Downstream joins find a table with the keys and no rows.
            why = {"persons": "The survey has no person file, or it is not at hand."}
            return publish(
                context,
                ingest.no_persons(),
                inputs=[raw, households],
                metadata=why,
                checks=[check_related({})],
            )
        made = make_persons(parts["persons"], households, codebook, **_imputing(vintage, "persons", compute))
        assert made.relation is not None
        return publish(
            context,
            made.table,
            inputs=[raw, households],
            metadata={
                **_account(made),
                **lineage.of_microdata(prefix, codebook, "persons"),
                "persons and households": made.relation.sentence("persons"),
            },
            checks=[check_related({"persons": made.relation})],
            descriptions=describe(codebook, "persons"),
            imputed=made.imputed,
            outside=made.outside,
        )

    return Assets(raw, households, persons)


def describe(codebook: Codebook, kind: str) -> dict[str, str]:
    """Say what every column of the microdata is, in the codebook's words."""
    return {name: variable.description for name, variable in codebook.respondent(kind).everything.items()}


def _parts(files: list[ResolvedFile]) -> dict[str, list[RawPart]]:
    """Recorded raw files by role."""
    parts: dict[str, list[RawPart]] = {}
    for file in files:
        parts.setdefault(file.role, []).append(RawPart(verify(file), file.absent, file.member, file.excerpt))
    return parts


def _imputing(vintage: SurveyVintage, kind: str, compute: Compute) -> dict[str, Any]:
    name = f"impute/{vintage.folder}/{kind}"
    return {"seed": compute.seed, "threads": compute.threads, "stream_name": name}


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


def _account(made: Microdata) -> dict[str, Any]:
    report = made.report
    return {
        "rows read": report.rows_read,
        "rows kept": report.rows_kept,
        "dropped": dg.MetadataValue.json(dict(report.dropped)),
        "missing answers": dg.MetadataValue.json(dict(report.missing)),
        "imputed answers": dg.MetadataValue.json(dict(made.imputed)),
        "variables left out": dg.MetadataValue.json(dict(report.left_out)),
        "other files": dg.MetadataValue.json({k: r.sentence(k) for k, r in report.relations.items()}),
    }
