"""What lies on disk of a fusion pair, in which version, and what it was made from.

Belongs here: reading provenance back. It needs no Dagster: the files carry it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from fusion_pipeline.fusion.modelset import load_model_set
from fusion_pipeline.registry import FusionPair, load_registry
from fusion_pipeline.storage.layout import Layout
from fusion_pipeline.storage.tables import TableRef


def artefacts_of(pair: FusionPair, name: str, layout: Layout) -> Iterator[tuple[str, str, str, str, str]]:
    """Describe a pair's artefacts, upstream first: name, rows, columns, data version, inputs."""
    registry = load_registry()
    behind = [key for donor in pair.donors for key in registry.behind(donor)]
    pools = [donor for donor in pair.donors if donor in registry.pools]
    pumas = registry.pumas_of(pair.recipient)
    stages: tuple[tuple[str, tuple[str, ...], list[str]], ...] = (
        ("survey", ("raw", "households", "persons", "dictionary"), behind),
        ("pool", ("households", "persons", "dictionary"), pools),
        ("acs", ("raw", "households", "persons", "dictionary"), [pair.recipient]),
        ("geography", ("raw", "concordance"), [pumas]),
        ("spatial", ("raw",), list(registry.spatial)),
        ("spatial", ("summaries",), [key for key, (_, of) in registry.summaries.items() if of == pumas]),
        ("geography", ("predictors",), [pair.recipient]),
    )
    upstream = [
        layout.table((group, stage), key) for group, names, keys in stages for key in keys for stage in names
    ]
    pair_tables = [
        layout.tables(("fusion", stage), name) / f"{part}.parquet"
        for stage, parts in (
            ("harmonized", ("donor", "recipient")),
            ("located", ("donor", "recipient", "draws")),
            ("prepared", ("donor", "recipient", "draws")),
        )
        for part in parts
    ]
    implicates = sorted(layout.implicates(name).glob("implicate=*/part-0.parquet"))
    finished = [
        layout.table(("fusion", "microdata"), name),
        layout.marginals(name),
        layout.table(("quality", "external"), name),
    ]
    for path in [*upstream, *pair_tables, *implicates, *finished]:
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
        (layout.plan(name), _digest),
        (layout.model_set(name), lambda path: load_model_set(path).fingerprint),
        (layout.area_error(name), _digest),
        (layout.internal(name) / "summary.json", _digest),
        (layout.report(name), lambda _: "there"),
    )
    for path, version in versions:
        state = version(path)[:8] if path.exists() else "not materialized"
        yield str(path.relative_to(layout.root)), "", "", state, ""


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
