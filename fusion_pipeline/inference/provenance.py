"""Where the columns of an analysis come from: observed, imputed or fused, and from which donor.

Belongs here: source flags, the recorded pooling rule, the warning when donors meet. Does not belong here: bounds on
what cannot be known (`bounds.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from fusion_pipeline.errors import AnalysisError
from fusion_pipeline.inference.given import Implicates, surveys_of
from fusion_pipeline.inference.relation import KEYS, STATIC
from fusion_pipeline.storage.tables import TableRef

if TYPE_CHECKING:
    from fusion_pipeline.inference.estimands import Estimand
    from fusion_pipeline.inference.microdata import Microdata

SOURCES = ("observed", "imputed", "fused")
"""From the surest to the least sure; an estimate has the last of its columns'."""
RULE = "pooling"
"""Key of an implicate's provenance that names its pooling rule."""
COLUMNS_AT_HAND = (
    "estimand",
    "variable",
    "level",
    "estimate",
    "standard_error",
    "margin",
    "df",
    "n",
    "effective_n",
    "missing_information",
    "M",
    "source",
)


def source_of(data: Microdata, texts: Sequence[str], sources: Mapping[str, str]) -> str:
    """Return the source flag of an estimate from all expressions it uses, groups and filter among them.

    Raises
    ------
    AnalysisError
        If a source given by the user is none.
    """
    if wrong := [name for name, source in sources.items() if source not in SOURCES]:
        raise AnalysisError(
            f"source of {wrong[0]}", f"is {sources[wrong[0]]!r}.", f"Write one of: {', '.join(SOURCES)}."
        )
    flags = {"observed"}
    for text in texts:
        for name, origin in data.origins(text, "estimate").items():
            native = "observed" if origin == STATIC or name in KEYS else "fused"
            flags.add(sources.get(name, native))
    return max(flags, key=SOURCES.index)


def cross_donor_note(
    data: Microdata, estimands: Sequence[Estimand], by: Sequence[str], where: str | None
) -> list[str]:
    """Say plainly which estimates relate variables of two donors; bounds take nothing for granted."""
    found = []
    for estimand in estimands:
        if estimand.name == "bounds":
            continue
        texts = [*(a.text for a in estimand.arguments), *by, *([where] if where else [])]
        donors: dict[str, str] = {}
        for text in texts:
            donors |= {
                o: n for n, o in data.origins(text, "estimate").items() if o != STATIC and n not in KEYS
            }
        if len(donors) > 1:
            pairs = " and ".join(f"{name} ({donor})" for donor, name in donors.items())
            found.append(
                f"{estimand.text} relates {pairs}, which no survey has asked together: the estimate rests on their "
                "independence given the predictors, and its margin does not hold that error. "
                "See `sensitivity`, and the estimand `bounds(variable, variable | common)`."
            )
    return found


def recorded_rule(implicates: Implicates | Mapping[str, Implicates], default: str) -> str:
    """Read the pooling rule that the maker of the implicates recorded; the default where none is.

    Raises
    ------
    AnalysisError
        If several surveys were made for different rules.
    """
    rules = {
        name: str((TableRef(given[0]).provenance if isinstance(given, list) else {}).get(RULE) or default)
        for name, given in surveys_of(implicates).items()
    }
    if len(set(rules.values())) > 1:
        told = ", ".join(f"{name} by {rule}" for name, rule in rules.items())
        raise AnalysisError(
            "implicates",
            f"are to be pooled by different rules: {told}.",
            "Name the one to pool by with `rule`.",
        )
    return next(iter(rules.values()))
