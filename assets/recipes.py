"""What each asset depends on beside its inputs and its code: codebooks, harmonies, entries of the registry.

Belongs here: functions of the partition key for `reusable(...)`, exact enough that a change elsewhere in the
registry makes nothing again. Contents are named by a digest, small settings as they are.
"""

import hashlib
import json
from typing import Any

from pydantic import BaseModel

from assets.reuse import Settings
from fusion_pipeline.fusion import modelset
from fusion_pipeline.geography.summaries import load_summaries
from fusion_pipeline.harmonize import Harmony, pair_harmonies
from fusion_pipeline.partitions import IMPLICATES, REGISTRY
from fusion_pipeline.surveys.codebook import load_codebook
from fusion_pipeline.validation.area_proxies import load_proxies


def codebook(survey_year: str) -> dict[str, Any]:
    """Name the codebook of a donor survey-year, a pool or an ACS year."""
    return {"codebook": _digest(load_codebook(REGISTRY.codebook(survey_year)))}


def summaries(_acs_year: str) -> dict[str, Any]:
    """Name the declared summaries."""
    return {"summaries": _digest(load_summaries())}


def dataset(name: str) -> dict[str, Any]:
    """Name the entry of a spatial dataset; where its files come from and which years use it does not matter."""
    entry = REGISTRY.spatial[name].model_dump(mode="json", exclude={"description", "window"})
    for table in entry["tables"].values():
        del table["file"], table["records"]
    return {"dataset": _digest_of(entry)}


def prepared(pair: str) -> dict[str, Any]:
    """Name what a pair's tables are made of, and which vintages of spatial datasets its years take."""
    entry = REGISTRY.pair(pair)
    years = {key: REGISTRY.year(key) for key in (*entry.donors, entry.recipient)}
    windows = {name: dataset.window for name, dataset in REGISTRY.spatial.items()}
    return {**of_pair("locations", "fuse", "prices")(pair), "years": years, "windows": windows}


def harmony(pair: str) -> dict[str, Any]:
    """Name the harmonies of a fusion pair and its disclosed locations."""
    entry = REGISTRY.pair(pair)
    content = tuple(pair_harmonies(entry, REGISTRY).values())
    return {"harmony": _digest(content), "locations": list(entry.locations)}


def page(survey_year: str) -> dict[str, Any]:
    """Name the harmonies that the dictionary page of a donor survey-year shows."""
    content = tuple(harmonies_of(survey_year))
    return {**codebook(survey_year), "harmonies": _digest(content)}


def harmonies_of(survey_year: str) -> list[Harmony]:
    """Harmonies of a donor survey-year with all ACS years that it is fused onto, in their order."""
    used = {
        (pair.recipient, pair.harmony_set): pair_harmonies(pair, REGISTRY)[survey_year]
        for pair in REGISTRY.pairs.values()
        if survey_year in pair.donors
    }
    return [harmony for _, harmony in sorted(used.items())]


def of_pair(*fields: str) -> Settings:
    """Name fields of a fusion pair's entry in the registry."""

    def settings(pair: str) -> dict[str, Any]:
        entry = REGISTRY.pair(pair.partition("|")[0]).model_dump(mode="json", include=set(fields))
        return {field: entry[field] for field in fields}

    return settings


def libraries(_pair: str) -> dict[str, Any]:
    """Name the releases that decide the bytes of a model set."""
    return {"libraries": modelset.versions()}


def proxies(pair: str) -> dict[str, Any]:
    """Name the proxies of area errors, the disclosed locations, and what decides the spatial predictors."""
    windows = {name: dataset.window for name, dataset in REGISTRY.spatial.items()}
    year = REGISTRY.survey_year(REGISTRY.pair(pair).recipient).year
    chosen = {"proxies": _digest(load_proxies()), "windows": windows, "year": year}
    return {**chosen, **libraries(pair), **of_pair("locations")(pair)}


def complete(pair: str) -> dict[str, Any]:
    """Name what comparing the finished set depends on: number and chunks, locations, the donors' replicate design."""
    codebooks = {donor: codebook(donor)["codebook"] for donor in REGISTRY.pair(pair).donors}
    return {"implicates": IMPLICATES.model_dump(), "codebooks": codebooks, **of_pair("locations")(pair)}


def report(pair: str) -> dict[str, Any]:
    """Name what the report shows: the finished set, and what of harmonies and plan is left out."""
    return {**complete(pair), **harmony(pair), **of_pair("fuse", "prices", "forced")(pair)}


def _digest(content: Any) -> str:
    """Name validated models by their content; the order of levels and steps is part of it."""
    parts = content if isinstance(content, tuple) else (content,)
    plain = [part.model_dump(mode="json") if isinstance(part, BaseModel) else part for part in parts]
    return _digest_of(plain)


def _digest_of(plain: Any) -> str:
    return hashlib.sha256(json.dumps(plain).encode()).hexdigest()[:16]
