"""The fitted model set of a fusion pair, as a directory: everything fusing needs, readable by anything.

Belongs here: layout, manifest, checksums, loading. Does not belong here: fitting (`training.py`), writing
(`saving.py`), use (`fusing.py`).

    manifest.json            plan, variables, predictors, settings, versions, per-model report, sha256 of all files
    manifest.sha256          sha256 of the manifest
    models/*.txt             LightGBM text models
    donors.parquet           values of the matched fusion variables, the weight, and the weights redrawn for each set;
                             one row a donor, no ids
    pools/NN-centres.parquet scaled centres of step NN
    pools/NN-donors.parquet  one row a centre: the rows of donors.parquet in its pool, nearest first

No pickle, no time stamps: the same donor, plan and settings give the same bytes. Donors' values are in it, so a
model set may be shared only where the donor microdata may.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from fusion_pipeline.errors import FusionError, StorageError
from fusion_pipeline.fusion import arguments
from fusion_pipeline.fusion.forest import Forest, read_forest
from fusion_pipeline.fusion.matching import DonorPools, Scaling
from fusion_pipeline.fusion.specification import DONOR_WEIGHT, FusionPlan
from fusion_pipeline.fusion.variables import Variable
from fusion_pipeline.storage.tables import read_table

FORMAT = 2
"""Raised whenever a directory written before could no longer be read."""
CONSTRAINED_FORMAT = 3
"""Of a model set whose plan has rules or conditions that readers of format 2 would not obey."""


@dataclass(frozen=True)
class ModelRecord:
    """One fitted model: which variable and role, where it lies, what cross-validation said.

    `role` is ``"classes"``, ``"zero"``, ``"mean"`` or ``"quantile i"`` (1-based); `importance` is the gain of each
    predictor, in the order of the step's predictors; `losses` has the best averaged loss per tree size; `classes`
    are the codes of the variable's levels that occur among donors, in the order of the model's classes. `set` is 0 for
    a model fitted on the donors' own weights, and b for one fitted on the weights redrawn for set b.
    """

    step: int
    variable: str
    role: str
    set: int
    file: str
    donors: int
    classes: tuple[int, ...]
    loss: float
    rounds: int
    leaves: int
    losses: dict[str, float]
    importance: tuple[float, ...]


@dataclass(frozen=True)
class ModelSet:
    """A model set on disk, opened.

    Parameters
    ----------
    path : Path
    manifest : dict
        As in manifest.json.
    fingerprint : str
        SHA-256 of the manifest, and so of all files.
    number : int
        Which of the sets of redrawn weights draws are made from; 0: the donors' own weights.
    """

    path: Path
    manifest: dict[str, Any]
    fingerprint: str
    number: int = 0

    @cached_property
    def plan(self) -> FusionPlan:
        """Steps, predictors, products."""
        return FusionPlan.from_json(json.dumps(self.manifest["plan"]))

    @cached_property
    def variables(self) -> dict[str, Variable]:
        """Fusion variables by name, products among them."""
        return {v["name"]: Variable.from_json(v) for v in self.manifest["variables"]}

    @cached_property
    def predictors(self) -> dict[str, Variable]:
        """Predictors the recipient must have, by name."""
        return {v["name"]: Variable.from_json(v) for v in self.manifest["predictors"]}

    @cached_property
    def records(self) -> list[ModelRecord]:
        """All models, in fusion order."""
        return [
            ModelRecord(**(r | {"importance": tuple(r["importance"]), "classes": tuple(r["classes"])}))
            for r in self.manifest["models"]
        ]

    @property
    def constants(self) -> dict[str, float]:
        """Fusion variables that are the same for all donors of their step: the number, or the code of the level."""
        return dict(self.manifest.get("constants", {}))

    @property
    def bootstraps(self) -> int:
        """Number of sets of redrawn weights; 0: all implicates are drawn from the donors' own."""
        return int(self.manifest["bootstraps"])

    def redrawn(self, number: int) -> ModelSet:
        """Return the model set as set `number` sees it: its weights, and its models where these were fitted again."""
        return replace(self, number=number)

    @cached_property
    def donors(self) -> pa.Table:
        """Donor values of matched fusion variables, and `DONOR_WEIGHT`: the weight draws are made with."""
        table = read_table(self.path / "donors.parquet")
        weight = table[weight_column(self.number)]
        names = [n for n in table.column_names if not n.startswith(DONOR_WEIGHT)]
        return table.select(names).append_column(DONOR_WEIGHT, weight)

    def forests(self, step: int, variable: str) -> list[tuple[ModelRecord, Forest]]:
        """Return the models of a variable in the order they were fitted: classes; or zero, mean, quantiles.

        Of a set of redrawn weights, those that were fitted again on it.
        """
        return [
            (r, read_forest((self.path / r.file).read_text(), str(self.path / r.file)))
            for r in self.records
            if r.step == step and r.variable == variable and r.set == self.number
        ]

    def pools(self, step: int) -> DonorPools | None:
        """Return the donor pools of a step; None for a solo categorical one, which needs none."""
        described = self.manifest["pools"][step]
        if described is None:
            return None
        points = read_table(self.path / described["centres"])
        lists = read_table(self.path / described["donors"]).column("donors").combine_chunks()
        return DonorPools(
            Scaling(np.array(described["centre"]), np.array(described["scale"])),
            np.column_stack([c.to_numpy() for c in points.columns]).astype(np.float32),
            lists.values.to_numpy().astype(np.int32),
            lists.offsets.to_numpy().astype(np.int64),
        )

    def report(self) -> pd.DataFrame:
        """Return one row a model: variable, role, donors, leaves, rounds, loss, the three predictors that gain most."""
        rows = []
        for record in (r for r in self.records if r.set == 0):
            names = self.plan.steps[record.step].predictors
            order = np.argsort(record.importance, kind="stable")[::-1][:3]
            top = ", ".join(names[i] for i in order if record.importance[i] > 0)
            rows.append(
                (record.variable, record.role, record.donors, record.leaves, record.rounds, record.loss, top)
            )
        return pd.DataFrame(
            rows, columns=["variable", "model", "donors", "leaves", "rounds", "loss", "most important"]
        )


def model_file(step: int, variable: str, role: str, number: int = 0) -> str:
    """Return the name of a model's file, such as `models/03-btuel_mean.txt`, or `models/03-btuel_zero-set_2.txt`."""
    plain = re.sub(r"\W+", "_", f"{variable}-{role}".replace("-", " "))
    return f"models/{step + 1:02d}-{plain}{f'-set_{number}' if number else ''}.txt"


def weight_column(number: int) -> str:
    """Return the column of donors.parquet that has the weights of a set."""
    return f"{DONOR_WEIGHT} {number}" if number else DONOR_WEIGHT


def load_model_set(path: Path | str) -> ModelSet:
    """Open a model set and check every file against the manifest.

    Raises
    ------
    StorageError
        If the directory, the manifest or a file is missing, damaged or of another format; the message names it.

    Examples
    --------
    >>> import fusion_pipeline as fp, tempfile
    >>> donor, recipient = fp.example_tables()
    >>> folder = tempfile.mkdtemp()
    >>> trained = fp.train(donor, y=["cool"], x=["group"], weight="weight", out=folder, leaves=[4])
    >>> fp.load_model_set(folder).fingerprint == trained.fingerprint
    True
    """
    path = arguments.path("load_model_set", path, StorageError)
    file = path / "manifest.json"
    remedy = "Train it again (materialize fusion/models of its pair)."
    if not file.is_file():
        raise StorageError(str(file), "does not exist: this is not a complete model set.", remedy)
    content = file.read_bytes()
    try:
        manifest = json.loads(content)
        files, written = manifest["files"], manifest["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise StorageError(str(file), f"is not a readable manifest ({error}).", remedy) from error
    if isinstance(written, int) and written > CONSTRAINED_FORMAT:
        raise StorageError(
            str(file),
            f"has format {written}, of a later version than this one, which reads up to {CONSTRAINED_FORMAT} "
            f"(written with {manifest.get('versions')}).",
            f"Update fusion_pipeline, or: {remedy}",
        )
    if written not in (FORMAT, CONSTRAINED_FORMAT):
        raise StorageError(
            str(file), f"has format {written}; this version reads {FORMAT} and {CONSTRAINED_FORMAT}.", remedy
        )
    seal = path / "manifest.sha256"
    if not seal.is_file():
        raise StorageError(str(seal), "is missing from the model set.", remedy)
    if seal.read_text().strip() != hashlib.sha256(content).hexdigest():
        raise StorageError(str(file), "is damaged: its SHA-256 is not the one beside it.", remedy)
    for name, expected in files.items():
        if not (path / name).is_file():
            raise StorageError(str(path / name), "is missing from the model set.", remedy)
        if sha256(path / name) != expected:
            raise StorageError(str(path / name), "is damaged: its SHA-256 is not the manifest's.", remedy)
    return ModelSet(path, manifest, hashlib.sha256(content).hexdigest())


def open_model_set(where: str, models: ModelSet | Path | str, error: type[FusionError]) -> ModelSet:
    """Return a model set, given as one or by its path.

    Raises
    ------
    FusionError
        Of the class given, if it is neither; else as `load_model_set`.
    """
    return models if isinstance(models, ModelSet) else load_model_set(arguments.path(where, models, error))


def versions(
    names: Sequence[str] = ("fusion-pipeline", "lightgbm", "faiss-cpu", "numpy", "pyarrow"),
) -> dict[str, str]:
    """Return the versions of the packages that decide the bytes of a model set."""
    from importlib.metadata import version

    return {name: version(name) for name in names}


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, as the manifest has it."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
