"""Writing a model set: models, donor pools, donors' values, and the manifest that describes them.

Belongs here: what is written, and its order. Does not belong here: where things lie and how they are read
(`modelset.py`), fitting (`training.py`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from fusion_pipeline.fusion.donors import Donors
from fusion_pipeline.fusion.fitting import Fitted
from fusion_pipeline.fusion.matching import DonorPools
from fusion_pipeline.fusion.modelset import (
    CONSTRAINED_FORMAT,
    FORMAT,
    ModelRecord,
    model_file,
    sha256,
    versions,
    weight_column,
)
from fusion_pipeline.fusion.specification import FusionPlan
from fusion_pipeline.fusion.variables import Variable, values_to_draw
from fusion_pipeline.storage.atomic import atomic_directory
from fusion_pipeline.storage.tables import write_table


def save_model_set(
    out: Path,
    donors: Donors,
    plan: FusionPlan,
    fitted: Sequence[Fitted],
    pools: Sequence[DonorPools | None],
    redrawn: Sequence[np.ndarray],
    engine: str,
    settings: Mapping[str, Any],
) -> None:
    """Write a model set, replacing what was there as a whole.

    Parameters
    ----------
    out : Path
    donors : Donors
    plan : FusionPlan
    fitted : sequence of Fitted
        Of all steps.
    pools : sequence of DonorPools or None
        One a step.
    redrawn : sequence of (donors,) float64
        Sets of donor weights.
    engine : str
        Version of what fitted it.
    settings : mapping
        It was fitted with.
    """
    with atomic_directory(out) as folder:
        (folder / "models").mkdir()
        records = [record for done in fitted for record in _write_models(folder, done)]
        entries = [None if p is None else _write_pools(folder, i, p) for i, p in enumerate(pools)]
        matched = [
            v for step, p in zip(plan.steps, pools, strict=True) if p is not None for v in step.variables
        ]
        table = donors.table.select(matched)
        for number, weight in enumerate([donors.weight, *redrawn]):
            table = table.append_column(weight_column(number), pa.array(weight))
        write_table(folder / "donors.parquet", table)
        known = {done.task.variable.name: done.task.variable for done in fitted}
        known |= {name: Variable(name, "continuous", "double") for name in plan.products}
        constants = _constants(donors, fitted)
        _write_manifest(
            folder,
            {
                "engine": engine,
                "versions": versions(),
                "settings": dict(settings),
                "donors": donors.count,
                "bootstraps": len(redrawn),
                "plan": plan.to_dict(),
                "variables": [known[name].to_json() for name in plan.known_after(len(plan.steps))],
                "predictors": [donors.describe(name).to_json() for name in plan.predictors],
                "pools": entries,
                **({"constants": constants} if constants else {}),
                "models": [asdict(record) for record in records],
            },
        )


def _write_models(folder: Path, done: Fitted) -> list[ModelRecord]:
    records = []
    for model in done.models:
        for number, booster in enumerate([model.booster, *model.redrawn]):
            name = model_file(done.task.step, done.task.variable.name, model.role, number)
            (folder / name).write_text(booster.model_to_string())
            records.append(
                ModelRecord(
                    step=done.task.step,
                    variable=done.task.variable.name,
                    role=model.role,
                    set=number,
                    file=name,
                    donors=len(done.task.rows),
                    classes=done.task.classes,
                    loss=model.loss,
                    rounds=model.rounds,
                    leaves=model.leaves,
                    losses={str(leaves): loss for leaves, loss in model.losses.items()},
                    importance=tuple(float(g) for g in booster.feature_importance("gain")),
                )
            )
    return records


def _constants(donors: Donors, fitted: Sequence[Fitted]) -> dict[str, Any]:
    """Return the value of every variable that is the same for all donors of its step."""
    return {
        done.task.variable.name: values_to_draw(donors.table[done.task.variable.name], done.task.variable)[
            done.task.rows[0]
        ].item()
        for done in fitted
        if not done.task.objectives
    }


def _write_pools(folder: Path, step: int, pools: DonorPools) -> dict[str, Any]:
    """Write the pools of a step and return their entry in the manifest."""
    names = {
        "centres": f"pools/{step + 1:02d}-centres.parquet",
        "donors": f"pools/{step + 1:02d}-donors.parquet",
    }
    points = pa.table({f"coordinate {j + 1}": pools.centres[:, j] for j in range(pools.centres.shape[1])})
    lists = pa.ListArray.from_arrays(pa.array(pools.offsets.astype(np.int32)), pa.array(pools.donors))
    write_table(folder / names["centres"], points)
    write_table(folder / names["donors"], pa.table({"donors": lists}))
    return names | {
        "centre": pools.scaling.centre.tolist(),
        "scale": pools.scaling.scale.tolist(),
        "median size": float(np.median(pools.sizes)),
    }


def _write_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Complete a model set: hash every file and write the manifest."""
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    hashes = {p.relative_to(folder).as_posix(): sha256(p) for p in files}
    content = {"format": _format(manifest["plan"]), **manifest, "files": hashes}
    # Settings may have been given as numbers of NumPy.
    text = json.dumps(content, indent=1, default=lambda number: number.item()) + "\n"
    (folder / "manifest.json").write_text(text)
    (folder / "manifest.sha256").write_text(hashlib.sha256(text.encode()).hexdigest() + "\n")


def _format(plan: Mapping[str, Any]) -> int:
    drawn = {*plan["products"], *(variable for step in plan["steps"] for variable in step["variables"])}
    news = "rules" in plan or any(
        "outside" in step or step["universe"] not in (None, *drawn) for step in plan["steps"]
    )
    return CONSTRAINED_FORMAT if news else FORMAT
