"""The decorator of every asset: reuse what is there if it is what would be made, else make it, measure and record.

Belongs here: the mechanism, once. Does not belong here: when an artefact is current (`fusion_pipeline/storage/
receipts.py`), which settings an asset depends on (`assets/recipes.py`).

    @dg.asset(...)
    @reusable(recipes.harmony)
    def fusion_harmonized(context, ...): ...
"""

import functools
import inspect
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import dagster as dg
from dagster._core.definitions.metadata import normalize_metadata
from dagster._core.storage.tags import ROOT_RUN_ID_TAG
from dagster._serdes import deserialize_value, serialize_value

from fusion_pipeline.errors import out_of_memory
from fusion_pipeline.measuring import Usage, measured
from fusion_pipeline.storage.artefacts import Artefact, Kept
from fusion_pipeline.storage.receipts import Receipt, Recipe
from resources.compute import Compute
from resources.store import FusionStore

FORCE = "fusion/force"
"""Run tag that has everything made again, whatever is there."""
Settings = Callable[[str], Mapping[str, Any]]
_log = logging.getLogger("fusion_pipeline.reuse")


def reusable(
    settings: Settings | None = None, *, seeded: bool = False, looks_outside: bool = False
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorate the function of an asset.

    Parameters
    ----------
    settings : callable, optional
        Partition key -> what the result depends on beside inputs and code, such as a codebook's digest.
    seeded : bool
        Whether it draws.
    looks_outside : bool
        Whether its input is the world, such as a folder of raw files: it always looks, and counts as reused if it
        finds what it found before.
    """

    def decorate(make: Callable[..., Any]) -> Callable[..., Any]:
        own = inspect.signature(make).parameters
        added = {"store": FusionStore, "compute": Compute}

        @functools.wraps(make)
        def step(context: dg.AssetExecutionContext, **given: Any) -> dg.MaterializeResult:
            store: FusionStore = given["store"]
            recipe = _recipe(context, settings, given["compute"].seed if seeded else None)
            receipt, reason = store.receipt(recipe)
            if forced(context):
                reason = "forced"
            label = f"{recipe.asset}[{recipe.partition or ''}]"
            if receipt is not None and reason is None and not looks_outside:
                _log.info("%s is reused, version %s", label, receipt.version[:8])
                store.publish(recipe.asset, recipe.partition)
                return _kept(receipt, store.layout.origin)
            with measured() as usage:
                try:
                    result = make(context, **{name: value for name, value in given.items() if name in own})
                except MemoryError as error:
                    raise out_of_memory(label, error) from error
            same = looks_outside and reason is None and _version(result) == getattr(receipt, "version", None)
            state = "as it was" if same else f"made ({reason or 'found changed'})"
            _log.info("%s is %s, %.1f s", label, state, usage.seconds)
            story = {"reused": same, "made because": "-" if same else reason or "found changed"}
            story["source"] = store.layout.origin
            return _recorded(store, recipe, result, {**story, **_shown(usage)})

        parameters = [*own.values()]
        for name, kind in added.items():
            if name not in own:
                parameters.append(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=kind))
        step.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        step.__annotations__ = {**added, **make.__annotations__}
        return step

    return decorate


def forced(context: dg.AssetExecutionContext) -> bool:
    """Whether the run was told to make everything again (tag `fusion/force`, `fusion run --force`).

    A run that is tried again keeps its tags, and would otherwise make again what its earlier attempts have made.
    """
    return told_to_force(context.run) and not (tried_before(context) and _made_by_earlier_attempt(context))


def told_to_force(run: dg.DagsterRun) -> bool:
    """Whether a run has the tag `fusion/force`."""
    return run.tags.get(FORCE, "false").lower() not in ("", "0", "false", "no")


def tried_before(context: dg.AssetExecutionContext) -> bool:
    """Whether this run is another attempt at one that ended."""
    return ROOT_RUN_ID_TAG in context.run.tags


def _made_by_earlier_attempt(context: dg.AssetExecutionContext) -> bool:
    partitions = [str(context.partition_key)] if context.has_partition_key else None
    wanted = dg.AssetRecordsFilter(context.asset_key, asset_partitions=partitions)
    last = context.instance.fetch_materializations(wanted, limit=1).records
    root = context.run.tags[ROOT_RUN_ID_TAG]
    others = context.instance.get_runs(dg.RunsFilter(tags={ROOT_RUN_ID_TAG: root}))
    attempts = {root, *(run.run_id for run in others)}
    return bool(last) and last[0].event_log_entry.run_id in attempts


def _recipe(context: dg.AssetExecutionContext, settings: Settings | None, seed: int | None) -> Recipe:
    partition = str(context.partition_key) if context.has_partition_key else None
    chosen = dict(settings(partition or "")) if settings else {}
    return Recipe(
        context.asset_key.to_user_string(),
        partition,
        context.assets_def.code_versions_by_key.get(context.asset_key),
        chosen if seed is None else {**chosen, "seed": seed},
    )


def _version(result: dg.MaterializeResult) -> str | None:
    return result.data_version.value if result.data_version else None


def _shown(usage: Usage) -> dict[str, Any]:
    return {
        "seconds": round(usage.seconds, 2),
        "CPU seconds": round(usage.cpu_seconds, 2),
        "peak memory MB": round(usage.peak_bytes / 1e6),
    }


def _recorded(
    store: FusionStore, recipe: Recipe, result: dg.MaterializeResult, story: Mapping[str, Any]
) -> dg.MaterializeResult:
    """Complete a result by its recipe and story, and have its receipt written."""
    metadata: dict[str, Any] = dict(normalize_metadata(result.metadata or {}))
    provenance = {**metadata["provenance"].value, "settings": dict(recipe.settings)}
    metadata["provenance"] = dg.MetadataValue.json(provenance)
    checks = list(result.check_results)
    sound = all(c.passed for c in checks if c.severity == dg.AssetCheckSeverity.ERROR)
    is_table = isinstance(result.value, Artefact)
    account = {
        "metadata": serialize_value(metadata),
        "checks": [_as_json(check) for check in checks],
        "table": is_table,
    }
    version = str(_version(result))
    value: dict[str, Any] = {}
    if is_table:
        value = {"value": replace(result.value, provenance=provenance, sound=sound, account=account)}
    else:
        paths = store.layout.by_hand(recipe.asset.split("/"), str(recipe.partition))
        store.record(recipe, version, paths, provenance=provenance, sound=sound, account=account)
    return dg.MaterializeResult(
        data_version=result.data_version, metadata={**metadata, **story}, check_results=checks, **value
    )


def _kept(receipt: Receipt, origin: str) -> dg.MaterializeResult:
    metadata = deserialize_value(receipt.account["metadata"], dict)
    value: dict[str, Any] = {"value": Kept()} if receipt.account["table"] else {}
    return dg.MaterializeResult(
        data_version=dg.DataVersion(receipt.version),
        metadata={**metadata, "reused": True, "source": origin},
        check_results=[_as_check(check) for check in receipt.account["checks"]],
        **value,
    )


def _as_json(check: dg.AssetCheckResult) -> dict[str, Any]:
    metadata: dict[str, Any] = dict(normalize_metadata(check.metadata))
    return {
        "name": check.check_name,
        "passed": check.passed,
        "severity": check.severity.value,
        "metadata": serialize_value(metadata),
    }


def _as_check(recorded: Mapping[str, Any]) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        check_name=recorded["name"],
        passed=recorded["passed"],
        severity=dg.AssetCheckSeverity(recorded["severity"]),
        metadata=deserialize_value(recorded["metadata"], dict),
    )
