"""What lies on disk of a fusion pair, in which version, and what it was made from.

Belongs here: reading provenance back. It needs no Dagster: the files carry it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from fusion_pipeline.fusion.modelset import load_model_set
from fusion_pipeline.registry import FusionPair, load_registry
from fusion_pipeline.storage.layout import Layout
from fusion_pipeline.storage.tables import TableRef


def artefacts_of(pair: FusionPair, name: str, layout: Layout) -> Iterator[tuple[str, str, str, str, str]]:
    """Describe a pair's artefacts, upstream first: name, rows, columns, data version, inputs."""
    donors = [layout.table(("survey", "households"), donor) for donor in pair.donors]
    acs = [layout.table(("acs", kind), pair.recipient) for kind in ("households", "persons")]
    places = [
        layout.table(("geography", "concordance"), load_registry().pumas_of(pair.recipient)),
        *(layout.table(("spatial", "summaries"), name) for name in load_registry().spatial),
        layout.table(("geography", "predictors"), pair.recipient),
    ]
    sides = [
        layout.tables(("fusion", stage), name) / f"{side}.parquet"
        for stage in ("harmonized", "located", "prepared")
        for side in ("donor", "recipient")
    ]
    implicates = sorted(layout.implicates(name).glob("implicate=*/part-0.parquet"))
    for path in [*donors, *acs, *places, *sides, *implicates]:
        label = str(path.relative_to(layout.root).with_suffix(""))
        if not path.exists():
            yield label, "-", "-", "not materialized", ""
            continue
        table = TableRef(path)
        origin = table.provenance
        # The engine knows no assets: an implicate names its model set and recipient by their digests.
        made_from = origin.get("inputs") or {k: origin[k] for k in ("model_set", "recipient") if k in origin}
        inputs = ", ".join(f"{key}@{version[:8]}" for key, version in made_from.items())
        yield (
            label,
            f"{table.num_rows:,}",
            str(len(table.columns)),
            str(origin.get("digest", origin.get("fingerprint", "")))[:8],
            inputs,
        )
    versions = (
        (layout.plan(name), lambda path: hashlib.sha256(path.read_bytes()).hexdigest()),
        (layout.model_set(name), lambda path: load_model_set(path).fingerprint),
        (layout.report(name), lambda _: "there"),
    )
    for path, version in versions:
        state = version(path)[:8] if path.exists() else "not materialized"
        yield str(path.relative_to(layout.root)), "", "", state, ""
