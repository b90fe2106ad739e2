"""The code location with a registry of one pair: what its run makes is all that there is, and the graph is green."""

from fusion_pipeline import registry

PAIR = "RECS_2015__ACS_2015"
whole = registry.load_registry()
pair = whole.pair(PAIR)
behind = {key for donor in pair.donors for key in whole.behind(donor)}
pumas = whole.pumas_of(pair.recipient)
alone = whole.model_copy(
    update={
        "surveys": {key: whole.surveys[key] for key in sorted(behind)},
        "pools": {},
        "recipients": {pair.recipient: whole.recipients[pair.recipient]},
        "pairs": {PAIR: pair},
        "geography": {pumas: whole.geography[pumas]},
    }
)
registry.load_registry = lambda: alone

from fusion_pipeline.definitions import build_defs  # noqa: E402

defs = build_defs()
