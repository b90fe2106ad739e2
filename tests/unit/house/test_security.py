"""What the code never does, whoever writes it; and archives made to harm."""

import ast
import io
import zipfile
from pathlib import Path

import pytest
from pydantic import ValidationError

from fusion_pipeline.errors import IngestError
from fusion_pipeline.registry import load_registry
from fusion_pipeline.surveys.reading import BLOCK_BYTES, RawPart, read_blocks

ROOT = Path(__file__).parents[3]
MODULES = sorted(p for top in ("fusion_pipeline", "assets", "resources") for p in (ROOT / top).rglob("*.py"))
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


def nodes(path: Path, kind):
    return [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, kind)]


def name_of(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def qualified(call: ast.Call) -> str:
    return ast.unparse(call.func)


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_pickle_no_eval_no_shell_and_only_safe_yaml(path: Path) -> None:
    imported = {a.name.split(".")[0] for node in nodes(path, ast.Import) for a in node.names}
    imported |= {(node.module or "").split(".")[0] for node in nodes(path, ast.ImportFrom)}
    assert not imported & IMPORTS
    calls = [c for c in nodes(path, ast.Call) if qualified(c) != "re.compile"]
    assert not {name_of(call) for call in calls} & CALLS
    assert not {qualified(call) for call in calls} & {"yaml.load", "yaml.unsafe_load", "yaml.full_load"}


def test_environment_is_read_in_one_place() -> None:
    """Secrets and settings come by the environment; who else looks at it is known, and only at what is no secret."""
    readers = {
        str(path.relative_to(ROOT))
        for path in MODULES
        if any(ast.unparse(node) in ("os.environ", "os.getenv") for node in nodes(path, ast.Attribute))
    }
    known = {"running", "diagnosis", "validation/expectations", "fusion/compiling"}
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


def test_archive_that_unpacks_beyond_measure_is_refused_before_it_is_read(tmp_path) -> None:
    packed = io.BytesIO(b"A\n" + b"0\n" * BLOCK_BYTES).getvalue()
    path = archive(tmp_path / "bomb.zip", {"bomb.csv": packed})
    assert path.stat().st_size < 100_000
    with pytest.raises(IngestError, match=r"bomb\.csv: would unpack from [\d,]+ to 33,554,434 bytes"):
        list(read_blocks(RawPart(path), ["A"], ()))


def test_member_whose_path_leads_out_is_read_and_written_nowhere(tmp_path) -> None:
    (tmp_path / "in").mkdir()
    path = archive(tmp_path / "in" / "a.zip", {"../../out.csv": b"A\n1\n"})
    [batch] = read_blocks(RawPart(path), ["A"], ())
    assert batch.num_rows == 1
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a.zip", "in"]
