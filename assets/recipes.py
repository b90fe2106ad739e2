"""What each asset depends on beside its inputs and its code: codebooks, harmonies, entries of the registry.

Belongs here: functions of the partition key for `reusable(...)`, exact enough that a change elsewhere in the
registry makes nothing again. Contents are named by a digest, small settings as they are.
"""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from assets.reuse import Settings
from fusion_pipeline import geography
from fusion_pipeline.fusion import modelset
from fusion_pipeline.geography.summaries import load_summaries
from fusion_pipeline.harmonize import Harmony, pair_harmonies
from fusion_pipeline.partitions import IMPLICATES, REGISTRY
from fusion_pipeline.storage.receipts import sha256
from fusion_pipeline.surveys import allocating, derive
from fusion_pipeline.surveys.codebook import Codebook, load_codebook
from fusion_pipeline.validation.area_proxies import load_proxies
from fusion_pipeline.validation.published import load_published

GEOGRAPHY = Path(geography.__file__).parent
UNITS = ("states.csv", "county_changes.csv")
"""What summaries of spatial datasets read too."""
COLUMNS = ("climate_zones.yaml", "concordance_columns.yaml")


def codebook(survey_year: str) -> dict[str, Any]:
    """Name the codebook of a donor survey-year, a pool or an ACS year, and the tables that it looks things up in."""
    content = load_codebook(REGISTRY.codebook(survey_year))
    return {"codebook": _digest(content), "tables": _looked_up(content)}


def imputed(survey_year: str) -> dict[str, Any]:
    """Name the codebook, and the releases that decide what is imputed."""
    return {**codebook(survey_year), **libraries(survey_year)}


def places(_definition: str) -> dict[str, Any]:
    """Name the tables of states, counties, climate zones and columns that a concordance is made with."""
    return {"places": {name: sha256(GEOGRAPHY / name) for name in (*UNITS, *COLUMNS)}}


def summaries(_acs_year: str) -> dict[str, Any]:
    """Name the declared summaries."""
    return {"summaries": _digest(load_summaries())}


def dataset(key: str) -> dict[str, Any]:
    """Name the entry of a spatial dataset; where its files come from and which years use it does not matter."""
    name, _ = REGISTRY.summaries[key]
    entry = REGISTRY.spatial[name].model_dump(mode="json", exclude={"description", "window"})
    for table in entry["tables"].values():
        del table["file"], table["records"]
    return {"dataset": _digest_of(entry), "places": {name: sha256(GEOGRAPHY / name) for name in UNITS}}


def located(pair: str) -> dict[str, Any]:
    """Name how many PUMAs donors draw, and what tells of them: locations, fusion variables, vintages of datasets."""
    return {**of_pair("location_draws")(pair), **prepared(pair), **libraries(pair)}


def prepared(pair: str) -> dict[str, Any]:
    """Name what a pair's tables are made of, and which vintages of spatial datasets its years take."""
    entry = REGISTRY.pair(pair)
    years = {key: REGISTRY.year(key) for key in (*entry.donors, entry.recipient)}
    return {**of_pair("locations", "fuse", "prices")(pair), "years": years, "windows": REGISTRY.windows}


def plan(pair: str) -> dict[str, Any]:
    """Name what a pair's plan is made of, groups that its rules may name, and the releases that decide the screen."""
    entries = next(iter(pair_harmonies(REGISTRY.pair(pair), REGISTRY).values())).entries
    groups = {"groups": {name: list(entry.names) for name, entry in entries.items() if entry.names}}
    return {
        **groups,
        **of_pair("fuse", "forced", "order", "prices", "universes", "rules")(pair),
        **libraries(pair),
    }


def harmony(pair: str) -> dict[str, Any]:
    """Name the harmonies of a fusion pair, the tables that they look things up in, and its disclosed locations."""
    entry = REGISTRY.pair(pair)
    content = tuple(pair_harmonies(entry, REGISTRY).values())
    tables = {path.stem: sha256(path) for path in sorted(_lookups(*content))}
    return {"harmony": _digest(content), "tables": tables, "locations": list(entry.locations)}


def page(survey_year: str) -> dict[str, Any]:
    """Name the harmonies that the dictionary page of a donor survey-year or an ACS year shows."""
    content = tuple(harmonies_of(survey_year))
    words = _digest_of(words_of_both_sides(survey_year))
    pooled = survey_year in REGISTRY.pools
    files = [] if pooled else [file.name for file in REGISTRY.survey_year(survey_year).files.values()]
    return {**codebook(survey_year), "harmonies": _digest(content), "words": words, "files": files}


def harmonies_of(survey_year: str) -> list[Harmony]:
    """Harmonies of a donor survey-year with all ACS years that it is fused onto, or of an ACS year with its donors."""
    used = {
        (pair.recipient, pair.harmony_set, donor): harmony
        for pair in REGISTRY.pairs.values()
        if survey_year in (*pair.donors, pair.recipient)
        for donor, harmony in pair_harmonies(pair, REGISTRY).items()
        if survey_year in (donor, pair.recipient)
    }
    return [harmony for _, harmony in sorted(used.items())]


def words_of_both_sides(survey_year: str) -> dict[str, dict[str, str]]:
    """Describe the variables that these harmonies link: survey and vintage -> variable -> description."""
    found: dict[str, dict[str, str]] = {}
    for harmony in harmonies_of(survey_year):
        donor, recipient = harmony.donor, harmony.recipient
        keys = {donor.label: f"{donor.survey}_{donor.vintage}", recipient.label: recipient.vintage}
        for label, key in keys.items():
            if label not in found:
                content = load_codebook(REGISTRY.codebook(key))
                entries = [entry.everything for entry in content.kinds.values()]
                found[label] = {n: v.description for entry in reversed(entries) for n, v in entry.items()}
    return found


def of_pair(*fields: str) -> Settings:
    """Name fields of a fusion pair's entry in the registry."""

    def settings(pair: str) -> dict[str, Any]:
        entry = REGISTRY.pair(pair.partition("|")[0]).model_dump(mode="json", include=set(fields))
        return {field: entry[field] for field in fields}

    return settings


def libraries(_partition: str) -> dict[str, Any]:
    """Name the releases that decide what the engine makes: screen, model set and draws."""
    return {"libraries": {**modelset.versions(), **modelset.versions(("numba", "scikit-learn"))}}


def proxies(pair: str) -> dict[str, Any]:
    """Name the proxies of area errors, the disclosed locations, and what decides the spatial predictors."""
    year = REGISTRY.survey_year(REGISTRY.pair(pair).recipient).year
    chosen = {"proxies": _digest(load_proxies()), "windows": REGISTRY.windows, "year": year}
    return {**chosen, **libraries(pair), **of_pair("locations", "location_draws")(pair)}


def validated(pair: str) -> dict[str, Any]:
    """Name how a pair is validated, by which groups, and the releases that decide what the engine makes."""
    chosen = {"validation": REGISTRY.validation.model_dump(mode="json")}
    return {**chosen, **libraries(pair), **of_pair("forced", "locations")(pair)}


def complete(pair: str) -> dict[str, Any]:
    """Name what comparing the finished set depends on: how many implicates, locations, replicate designs, releases."""
    codebooks = {donor: codebook(donor)["codebook"] for donor in REGISTRY.pair(pair).donors}
    chosen = {"implicates": IMPLICATES.model_dump(), "codebooks": codebooks}
    return {**chosen, **libraries(pair), **of_pair("locations")(pair)}


def estimated(pair: str) -> dict[str, Any]:
    """Name what estimates depend on beside the implicates: the recipient's replicate design, and universes."""
    recipient = REGISTRY.pair(pair).recipient
    design = load_codebook(REGISTRY.codebook(recipient)).households.replicates
    return {"replicates": _digest(design), **of_pair("universes")(pair)}


def external(pair: str) -> dict[str, Any]:
    """Name the published figures, how many implicates are held against them and how, and the donors' years."""
    years = {donor: REGISTRY.year(donor) for donor in REGISTRY.pair(pair).donors}
    chosen = {"published": _digest(load_published()), "implicates": IMPLICATES.model_dump(), "years": years}
    return {**chosen, **estimated(pair)}


def _looked_up(content: Codebook) -> dict[str, str]:
    """Digest the look-up and allocation tables that a codebook names; they are read when it is applied."""
    paths = _lookups(content)
    for entry in content.kinds.values():
        shares = [summary.share for summary in entry.summaries.values() if summary.share]
        paths |= {allocating.CODES / f"{share.table}.csv" for share in shares}
    return {path.stem: sha256(path) for path in sorted(paths)}


def _lookups(*contents: BaseModel) -> set[Path]:
    """Look-up tables that expressions name."""
    text = "".join(content.model_dump_json() for content in contents)
    return {derive.LOOKUPS / f"{name}.csv" for name in re.findall(r"lookup\(\s*[\\]?[\"'](\w+)", text)}


def report(pair: str) -> dict[str, Any]:
    """Name what the report shows: the finished set, estimates, and what of harmonies and plan is left out."""
    return {**complete(pair), **estimated(pair), **harmony(pair), **of_pair("fuse", "prices", "forced")(pair)}


def _digest(content: Any) -> str:
    """Name validated models by their content; the order of levels and steps is part of it."""
    parts = content if isinstance(content, tuple) else (content,)
    plain = [part.model_dump(mode="json") if isinstance(part, BaseModel) else part for part in parts]
    return _digest_of(plain)


def _digest_of(plain: Any) -> str:
    return hashlib.sha256(json.dumps(plain).encode()).hexdigest()[:16]
