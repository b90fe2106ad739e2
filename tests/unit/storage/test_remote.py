"""What one machine published another sees whole: the old artefact or the new one, and never unsound bytes."""

from pathlib import Path

import pytest
from click.testing import CliRunner
from fsspec.core import url_to_fs

from fusion_pipeline.cli import main
from fusion_pipeline.errors import SettingsError, StorageError
from fusion_pipeline.storage.layout import Layout
from fusion_pipeline.storage.receipts import Recipe, read_receipt, why_made, write_receipt
from fusion_pipeline.storage.remote import Remote
from tests.objects import object_store

PAIR = "A__B"
MODELS = ("fusion/models", PAIR)


@pytest.fixture(scope="module")
def bucket():
    with object_store() as address:
        yield address


@pytest.fixture
def remote(bucket, request) -> Remote:
    """A prefix of its own for every test."""
    return Remote(f"{bucket}/{request.node.name}")


@pytest.fixture
def here(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "here")


@pytest.fixture
def there(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "there")


def make(layout: Layout, **files: str) -> None:
    """Make a model set of some files, from a plan."""
    folder = layout.model_set(PAIR)
    for name, text in {"manifest": "sealed", **files}.items():
        file = folder / "steps" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    origin = {
        "asset": MODELS[0],
        "partition": PAIR,
        "code_version": "1",
        "inputs": {f"fusion/plan[{PAIR}]": "1"},
    }
    write_receipt(layout, *MODELS, "".join(files.values()), [folder], provenance=origin)


def plan(layout: Layout) -> None:
    layout.plan(PAIR).parent.mkdir(parents=True, exist_ok=True)
    layout.plan(PAIR).write_text("{}")
    origin = {"asset": "fusion/plan", "partition": PAIR, "code_version": "1", "inputs": {}}
    write_receipt(layout, "fusion/plan", PAIR, "1", [layout.plan(PAIR)], provenance=origin)


def content(layout: Layout) -> dict[str, str]:
    return {p.name: p.read_text() for p in layout.model_set(PAIR).rglob("*") if p.is_file()}


def objects(remote: Remote) -> dict[str, int]:
    files, root = url_to_fs(remote.address, use_listings_cache=False)
    return {path.removeprefix(f"{root}/"): files.size(path) for path in files.find(root)}


def test_other_machine_gets_the_artefact_and_its_receipt(here, there, remote) -> None:
    make(here, trees="oak")
    remote.publish(here, *MODELS)
    assert remote.fetch(there, *MODELS) == read_receipt(here, *MODELS)
    assert content(there) == content(here) == {"manifest": "sealed", "trees": "oak"}
    assert read_receipt(there, *MODELS) == read_receipt(here, *MODELS)


def test_store_without_the_artefact_leaves_alone_what_is_here(here, remote) -> None:
    make(here, trees="oak")
    assert remote.fetch(here, *MODELS) is None
    assert content(here)["trees"] == "oak"


def test_new_version_replaces_the_old_one_whole(here, there, remote) -> None:
    make(here, trees="oak", pools="deep")
    remote.publish(here, *MODELS)
    remote.fetch(there, *MODELS)
    (here.model_set(PAIR) / "steps" / "pools").unlink()
    make(here, trees="elm")
    remote.publish(here, *MODELS)
    remote.fetch(there, *MODELS)
    assert content(there) == {"manifest": "sealed", "trees": "elm"}


def test_reader_sees_the_old_artefact_until_the_new_one_is_complete(here, there, remote, monkeypatch) -> None:
    make(here, trees="oak", pools="deep")
    remote.publish(here, *MODELS)
    before = objects(remote)
    make(here, trees="elm", pools="wide")
    send, seen = Remote._send, []

    def send_and_stop(self, file, checksum):
        seen.append(file.name)
        if len(seen) == 3:
            raise KeyboardInterrupt  # a kill between two objects
        return send(self, file, checksum)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Remote, "_send", send_and_stop)
        remote.publish(here, *MODELS)
    assert len(objects(remote)) > len(before), "nothing was sent before the kill: the test proves nothing"
    remote.fetch(there, *MODELS)
    assert content(there) == {"manifest": "sealed", "trees": "oak", "pools": "deep"}
    remote.publish(here, *MODELS)
    remote.fetch(there, *MODELS)
    assert content(there) == {"manifest": "sealed", "trees": "elm", "pools": "wide"}


def test_bytes_that_are_there_are_not_sent_again(here, remote, caplog) -> None:
    make(here, trees="oak")
    caplog.set_level("INFO")
    remote.publish(here, *MODELS)
    make(here, trees="oaks")
    remote.publish(here, *MODELS)
    remote.publish(here, *MODELS)
    sent = [int(r.getMessage().rsplit(", ", 1)[1].split()[0]) for r in caplog.records]
    assert sent == [len("sealed") + len("oak"), len("oaks")]


def test_damaged_object_is_noticed_dropped_and_sent_again(here, there, remote) -> None:
    make(here, trees="oak")
    remote.publish(here, *MODELS)
    files, root = url_to_fs(remote.address)
    [checksum] = [s for n, s in read_receipt(here, *MODELS).files.items() if n.endswith("trees")]
    files.pipe_file(f"{root}/objects/{checksum[:2]}/{checksum}", b"ivy")
    remote.fetch(there, *MODELS)
    assert content(there) == {}
    recipe = Recipe(*MODELS, "1")
    plan(there)
    reason = why_made(there, recipe, read_receipt(there, *MODELS, remote), remote)
    assert reason == f"models/{PAIR}/steps/manifest is missing"
    assert not any(checksum in name for name in objects(remote))


def test_file_that_is_not_what_its_receipt_says_is_not_published(here, remote) -> None:
    make(here, trees="oak")
    (here.model_set(PAIR) / "steps" / "trees").write_text("ivy")
    with pytest.raises(StorageError, match=r"trees: is not what its receipt says"):
        remote.publish(here, *MODELS)
    assert remote.receipt(*MODELS) is None


def test_artefact_made_elsewhere_from_the_same_is_reused(here, there, remote) -> None:
    plan(here)
    make(here, trees="oak")
    for asset in ("fusion/plan", "fusion/models"):
        remote.publish(here, asset, PAIR)
    recipe = Recipe(*MODELS, "1")
    assert why_made(there, recipe, read_receipt(there, *MODELS)) == "no receipt of an earlier one"
    assert why_made(there, recipe, read_receipt(there, *MODELS, remote), remote) is None
    assert content(there) == content(here)
    assert not there.plan(PAIR).exists(), "what is not read is not brought"


def test_artefact_comes_with_all_that_it_was_made_from(here, there, remote) -> None:
    plan(here)
    make(here, trees="oak")
    for asset in ("fusion/plan", "fusion/models"):
        remote.publish(here, asset, PAIR)
    assert remote.fetch_all(there, *MODELS) == [f"fusion/models[{PAIR}]", f"fusion/plan[{PAIR}]"]
    assert there.plan(PAIR).read_text() == "{}"


def test_store_that_cannot_be_reached_is_named_with_what_to_do(here, bucket) -> None:
    with pytest.raises(
        StorageError, match=r"s3://nowhere/x, fusion/models: cannot be written: there is no such bucket"
    ):
        make(here, trees="oak")
        Remote("s3://nowhere/x").publish(here, *MODELS)
    with pytest.raises(SettingsError, match="FUSION_REMOTE: nosuch://x cannot be opened"):
        Remote("nosuch://x").receipt(*MODELS)


def test_command_brings_a_pair_and_says_what_to_do_when_there_is_none(tmp_path, remote, monkeypatch) -> None:
    pair = "RECS_2015__ACS_2015"
    monkeypatch.setenv("FUSION_SOURCE", "simulated")
    monkeypatch.setenv("FUSION_DATA", str(tmp_path / "there"))
    monkeypatch.setenv("FUSION_REMOTE", remote.address)
    none = CliRunner().invoke(main, ["pull", pair])
    assert none.exit_code == 1
    assert f"Make it with `fusion run {pair}`" in none.output
    here = Layout(tmp_path / "here")
    here.report(pair).parent.mkdir(parents=True)
    here.report(pair).write_text("estimates")
    origin = {"asset": "quality/report", "partition": pair, "inputs": {}}
    write_receipt(here, "quality/report", pair, "1", [here.report(pair)], provenance=origin)
    Remote(f"{remote.address}/simulated").publish(here, "quality/report", pair)
    assert CliRunner().invoke(main, ["pull", pair]).exit_code == 0
    assert Layout(tmp_path / "there" / "simulated").report(pair).read_text() == "estimates"
