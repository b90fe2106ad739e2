"""What the graph itself says is made from what, by partition: a list kept in a test would go stale."""

from collections.abc import Callable, Iterable
from functools import cache

import dagster as dg

from fusion_pipeline.definitions import build_defs
from fusion_pipeline.sensors import ON_REQUEST
from tests.conftest import PAIR

Made = tuple[str, str]
"""An asset and one of its partitions: ``("survey/raw", "RECS_2015")``."""
REPORT = ("quality/report", PAIR)


def chunks(*keys: str) -> set[Made]:
    """Return chunks of the pair as asset partitions."""
    return {("fusion/implicates", f"{PAIR}|{key}") for key in keys}


def downstream(*given: Made) -> set[Made]:
    """Return all that is made from the given, and these themselves."""
    return _closure(given, _graph().get_children_partitions)


def upstream(*given: Made) -> set[Made]:
    """Return all that the given are made from, and these themselves."""
    parents = _graph().get_parents_partitions
    return _closure(given, lambda asset, key: parents(asset, key).parent_partitions)


def of_pair() -> set[Made]:
    """Return what running the pair makes: all behind its report, and what else has the same partitions."""
    on_request = {key.to_user_string() for key in ON_REQUEST}
    behind = upstream(REPORT)
    keys = {key for _, key in behind}
    return {made for made in downstream(*behind) if made[1] in keys and made[0] not in on_request}


def neighbours(group: str) -> set[str]:
    """Return the assets of other groups that a group's are made from, or that are made from these."""
    graph = _graph()
    inside = graph.asset_keys_for_group(group)
    around = {
        key for asset in inside for key in (*graph.get(asset).parent_keys, *graph.get(asset).child_keys)
    }
    return {key.to_user_string() for key in around - inside}


def _closure(given: Iterable[Made], next_to: Callable[[dg.AssetKey, str], Iterable[tuple]]) -> set[Made]:
    found: set[Made] = set()
    reached = set(given)
    while reached:
        found |= reached
        around = (at for asset, key in reached for at in next_to(dg.AssetKey.from_user_string(asset), key))
        reached = {(asset.to_user_string(), key) for asset, key in around} - found
    return found


@cache
def _graph():
    return build_defs().resolve_asset_graph()
