"""What the code never does, whoever writes it; and archives made to harm."""

import ast
import gzip
import zipfile
from pathlib import Path

import pytest
from pydantic import ValidationError

from fusion_pipeline.errors import RawFileError
from fusion_pipeline.geography.reading import read_columns
from fusion_pipeline.raw import resolve
from fusion_pipeline.raw.entries import RawFile
from fusion_pipeline.raw.unpacking import SMALL_BYTES, open_gzip
from fusion_pipeline.registry import load_registry
from fusion_pipeline.surveys.reading import RawPart, read_blocks
from tests.source import ROOT, calls, imported, modules, nodes

MODULES = modules()
CALLS = {"eval", "exec", "compile", "__import__", "system", "popen", "extractall", "extract", "mktemp"}
IMPORTS = {
    "pickle",
    "cPickle",
    "dill",
    "cloudpickle",
    "joblib",
    "shelve",
    "marshal",
    "subprocess",
    "telnetlib",
}


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_pickle_no_eval_no_shell_and_only_safe_yaml(path: Path) -> None:
    assert not {name.split(".")[0] for name in imported(path)} & IMPORTS
    called = [(name, qualified) for name, qualified in calls(path) if qualified != "re.compile"]
    assert not {name for name, _ in called} & CALLS
    assert not {qualified for _, qualified in called} & {"yaml.load", "yaml.unsafe_load", "yaml.full_load"}


def test_environment_is_read_in_one_place() -> None:
    """Secrets and settings come by the environment; who else looks at it is known, and only at what is no secret."""
    readers = {
        str(path.relative_to(ROOT))
        for path in MODULES
        if any(
            node.attr in ("environ", "getenv") and ast.unparse(node.value) == "os"
            for node in nodes(path)
            if isinstance(node, ast.Attribute)
        )
    }
    known = {"running", "diagnosis", "validation/judging", "fusion/compiling"}
    assert readers <= {f"fusion_pipeline/{name}.py" for name in known}


@pytest.mark.parametrize("name", ["../up", "a/b", "a b", "", "a|b", "~", "a\x00"])
def test_name_that_could_leave_its_folder_is_refused_by_the_registry(name: str) -> None:
    registry = load_registry()
    with pytest.raises(ValidationError):
        type(registry).model_validate(
            {**registry.model_dump(), "surveys": {name: registry.surveys["RECS_2015"].model_dump()}}
        )


def archive(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return path


@pytest.fixture(scope="module")
def bombs(tmp_path_factory) -> Path:
    """A folder with the same harmful text, zipped and gzipped."""
    folder = tmp_path_factory.mktemp("bombs")
    text = b"A\n" + b"0\n" * SMALL_BYTES
    archive(folder / "bomb.csv.zip", {"bomb.csv": text})
    (folder / "bomb.csv.gz").write_bytes(gzip.compress(text))
    assert all(path.stat().st_size < 100_000 for path in folder.iterdir())
    return folder


REFUSED = {
    "zip": r"bomb\.csv: would unpack from [\d,]+ to 33,554,434 bytes",
    "gz": r"bomb\.csv\.gz: unpacks from [\d,]+ to more than 16,777,216 bytes",
}


@pytest.mark.parametrize("kind", REFUSED)
def test_survey_that_unpacks_beyond_measure_is_refused(bombs, kind) -> None:
    with pytest.raises(RawFileError, match=REFUSED[kind]):
        list(read_blocks(RawPart(bombs / f"bomb.csv.{kind}"), ["A"], ()))


def test_table_of_places_that_unpacks_beyond_measure_is_refused(bombs) -> None:
    with pytest.raises(RawFileError, match=REFUSED["gz"]):
        read_columns(bombs / "bomb.csv.gz", ["A"])


@pytest.mark.parametrize("kind", REFUSED)
def test_digest_of_what_unpacks_beyond_measure_is_refused(bombs, kind) -> None:
    file = RawFile(name="bomb.csv", url="https://example.org/bomb.csv", sha256="0" * 64)
    packed = bombs.parent / f"{bombs.name}_{kind}" / bombs.name
    packed.mkdir(parents=True)
    (packed / f"bomb.csv.{kind}").hardlink_to(bombs / f"bomb.csv.{kind}")
    with pytest.raises(RawFileError, match=REFUSED[kind]):
        resolve("households", file, folder=packed.name, mirror=packed.parent, cache=bombs / "none")


def test_gzip_that_stays_within_bounds_is_read_whole(tmp_path) -> None:
    text = b"".join(b"%d\n" % i for i in range(300_000))
    (tmp_path / "a.gz").write_bytes(gzip.compress(text))
    with open_gzip(tmp_path / "a.gz") as stream:
        assert stream.read() == text
    with open_gzip(tmp_path / "a.gz", most=len(text) - 1) as stream, pytest.raises(RawFileError):
        stream.read()


def test_compressed_files_are_opened_in_one_place() -> None:
    openers = {"gzip.open", "gzip.decompress", "zlib.decompress", "archive.open", "pa.CompressedInputStream"}
    for path in MODULES:
        if {qualified for _, qualified in calls(path)} & openers:
            assert path.name == "unpacking.py"


def test_member_whose_path_leads_out_is_read_and_written_nowhere(tmp_path) -> None:
    (tmp_path / "in").mkdir()
    path = archive(tmp_path / "in" / "a.zip", {"../../out.csv": b"A\n1\n"})
    [batch] = read_blocks(RawPart(path), ["A"], ())
    assert batch.num_rows == 1
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a.zip", "in"]
