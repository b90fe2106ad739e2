"""`fusion inspect`: pairs of the registry, and what of one is made."""

from fusion_pipeline.cli.root import console
from fusion_pipeline.registry import load_registry
from tests.conftest import PAIR


def test_inspect_lists_the_pairs_of_the_registry(run) -> None:
    result = run("inspect")
    assert result.exit_code == 0
    told = " ".join(result.output.split())
    for name, pair in load_registry().pairs.items():
        assert name in told
        assert all(variable in told for variable in pair.variables)


def test_inspect_of_a_pair_shows_what_is_not_made(run) -> None:
    result = run("inspect", PAIR)
    assert result.exit_code == 0
    assert result.output.count("not materialized") > 10


def test_inspect_on_a_narrow_screen_shows_origin_and_whole_names(run, fused, monkeypatch) -> None:
    monkeypatch.setattr(console, "_width", 60)
    result = run("inspect", PAIR)
    assert result.exit_code == 0
    first, *lines = result.output.splitlines()
    assert first == f"simulated data in {fused.root}"
    assert "…" not in result.output
    names = "".join(line.split(" ")[1] for line in lines if line.startswith(" ") and line[1] != " ")
    for side in ("donor", "recipient"):
        assert f"fusion/harmonized/{PAIR}/{side}" in names
