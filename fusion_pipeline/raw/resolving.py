"""Where a raw file comes from: mirror folder, then cache, then official download, then a clear error.

Belongs here: the order of places, partial alternatives, sizes and checksums. Does not belong here: transfer
(`download.py`), what a file means (`surveys`, `geography`).

A mirror is a folder of files somebody brought, laid out `<survey>_<vintage>/<file>[.gz|.zip]`. Nothing in it
is ever written or removed, and a file in it whose size or digest is wrong stops the run rather than being
passed over. The cache is ours: such a file in it is fetched again.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import zipfile
import zlib
from collections.abc import Collection
from dataclasses import dataclass, replace
from io import BufferedIOBase
from pathlib import Path
from typing import Any

from fusion_pipeline.errors import RawFileError
from fusion_pipeline.raw.download import fetch
from fusion_pipeline.raw.entries import Alternative, Excerpt, Part, RawFile
from fusion_pipeline.raw.record import Origin, ResolvedFile
from fusion_pipeline.raw.unpacking import open_gzip, open_member

_log = logging.getLogger(__name__)

SIMULATED = "simulated.json"
"""What simulating leaves in a folder: its files are no official ones, whatever their names, sizes and digests."""


@dataclass(frozen=True)
class _Candidate:
    """A path that would do, and the size and digest known for it."""

    path: Path
    size: int | None = None
    sha256: str | None = None
    inside: str | None = None
    """Name of the wrapped file when `size` and `sha256` are of what the wrapper (.gz, .zip) holds."""
    absent: tuple[str, ...] = ()
    states: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    excerpt: Excerpt | None = None


def resolve(
    role: str,
    file: RawFile,
    *,
    folder: str,
    mirror: Path | None,
    cache: Path,
    offline: bool = False,
    simulated: bool = False,
    columns: Collection[str] = (),
) -> ResolvedFile:
    """Find one raw file, downloading it if need be.

    Parameters
    ----------
    role : str
        The file's key in the registry, such as `households`.
    file : RawFile
        The registry's entry.
    folder : str
        Folder of its survey and vintage in a mirror or cache, such as `recs_2015`.
    mirror : Path, optional
        Mirror folder; when `simulated`, the folder of the simulated surveys.
    cache : Path
        Folder of official downloads; the file goes to `cache/folder/name`.
    offline : bool
        Never download.
    simulated : bool
        `mirror` holds simulated files: neither cache nor download may stand in for them, and the official
        sizes and digests do not apply.
    columns : collection of str
        Raw columns that will be read of it, which an alternative may lack.

    Returns
    -------
    ResolvedFile
        With the raw columns and states that a partial alternative lacks.

    Raises
    ------
    RawFileError
        If the file is nowhere to be had, a size or digest is wrong, or the download fails.
    """
    for candidate in _in_mirror(file, folder, mirror, columns):
        if candidate.path.is_file():
            return _from_mirror(role, file, candidate, simulated=simulated)

    where = f"{folder}/{file.name} ({role})"
    looked_at = [str(candidate.path) for candidate in _in_mirror(file, folder, mirror, columns)]
    if simulated:
        raise RawFileError(
            where,
            f"is not among the simulated files. Looked at: {'; '.join(looked_at) or 'no folder was given'}.",
            f"Delete {mirror} and simulate again, or set FUSION_SOURCE=public to use the file of {file.url}.",
        )

    target = _Candidate(cache / folder / file.name, file.size, file.sha256)
    if target.path.is_file():
        contradiction = _contradiction(target)
        if contradiction is None:
            return _resolved(role, target, "cache", file.member)
        if offline:
            raise contradiction
        _log.warning("%s: the cached file is another than the registry's; fetching it again", where)
        target.path.unlink()
    if offline:
        place = (
            mirror / folder if mirror is not None else Path("<mirror folder named by FUSION_RAW>") / folder
        )
        raise RawFileError(
            where,
            f"was not found and FUSION_OFFLINE forbids downloading. Looked at: "
            f"{'; '.join([*looked_at, str(target.path)])}. Its official address is {file.url}.",
            f"Fetch it on a connected machine into {place}/{file.name}, or unset FUSION_OFFLINE.",
        )
    fetch(file.url, target.path, size=file.size, sha256=file.sha256)
    return _resolved(role, target, "download", file.member)


def resolve_all(
    role: str,
    file: RawFile,
    *,
    folder: str,
    mirror: Path | None,
    cache: Path,
    offline: bool = False,
    simulated: bool = False,
    columns: Collection[str] = (),
) -> list[ResolvedFile]:
    """Find the files of a role: one, or the parts of a split alternative that the mirror holds.

    Parameters are those of `resolve`, which decides when the mirror holds nothing of the role.

    Raises
    ------
    RawFileError
        As `resolve`.
    """
    known: dict[str, Any] = {"folder": folder, "mirror": mirror, "simulated": simulated, "columns": columns}
    return look_up(role, file, **known) or [resolve(role, file, cache=cache, offline=offline, **known)]


def find_in_mirror(file: RawFile, folder: str, mirror: Path) -> tuple[list[Path], tuple[str, ...]]:
    """Tell, without opening it, where a mirror folder holds a raw file and which others did not come with it.

    Returns
    -------
    list of Path, tuple of str
        One path, several of a split file, none; roles that the publisher of an alternative left out.
    """
    found, _ = _held(file, folder, mirror, ())
    return [candidate.path for candidate in found], found[0].without if found else ()


def look_up(
    role: str,
    file: RawFile,
    *,
    folder: str,
    mirror: Path | None,
    simulated: bool = False,
    columns: Collection[str] = (),
) -> list[ResolvedFile]:
    """Find the files of a role in the mirror folder; none if it has none. Parameters and errors as in `resolve`.

    A whole file goes before parts. Parts that the mirror lacks are logged with their states.
    """
    found, lacking = _held(file, folder, mirror, columns)
    if lacking:
        _log.warning("%s/%s: %s has no part for %s", folder, role, mirror, ", ".join(lacking))
    return [_from_mirror(role, file, candidate, simulated=simulated) for candidate in found]


def _held(
    file: RawFile, folder: str, mirror: Path | None, columns: Collection[str]
) -> tuple[list[_Candidate], list[str]]:
    """Find what the mirror holds of a file: the whole, else the parts that are there; and the states of the others."""
    whole = [c for c in _in_mirror(file, folder, mirror, columns) if c.path.is_file()][:1]
    if whole or mirror is None:
        return whole, []
    for other in file.alternatives:
        found: list[_Candidate] = []
        lacking: list[str] = []
        for part in other.parts:
            present = [c for c in _candidates(mirror, part, other, columns) if c.path.is_file()]
            found += present[:1]
            lacking += [] if present else part.states or (part.path,)
        if found:
            return found, lacking
    return [], []


def _from_mirror(role: str, file: RawFile, candidate: _Candidate, *, simulated: bool) -> ResolvedFile:
    if not simulated and (contradiction := _contradiction(candidate)):
        raise contradiction
    return _resolved(role, candidate, "simulated" if simulated else "mirror", file.member)


def _in_mirror(file: RawFile, folder: str, mirror: Path | None, columns: Collection[str]) -> list[_Candidate]:
    """List where a whole file may lie, in the order of looking."""
    if mirror is None:
        return []
    official = mirror / folder / file.name
    candidates = [_Candidate(official, file.size, file.sha256)]
    candidates += [
        _Candidate(Path(f"{official}{suffix}"), file.size, file.sha256, file.name)
        for suffix in (".gz", ".zip")
    ]
    others = [
        candidate
        for other in file.alternatives
        if not other.parts
        for candidate in _candidates(mirror, other.files[0], other, columns)
    ]
    # A compressed official file that an alternative names is known by what the alternative says of it.
    named = {candidate.path for candidate in others}
    found = [*(candidate for candidate in candidates if candidate.path not in named), *others]
    if (mirror / folder / SIMULATED).is_file():
        return [replace(candidate, size=None, sha256=None) for candidate in found]
    return found


def _candidates(mirror: Path, part: Part, of: Alternative, columns: Collection[str]) -> list[_Candidate]:
    path, lacks = mirror / part.path, (of.lacks(columns), part.states, of.without, of.excerpt)
    if path.suffix == ".gz":
        # Size and digest are of the compressed file and say nothing about an uncompressed one.
        second = _Candidate(path.with_suffix(""), None, None, None, *lacks)
    else:
        second = _Candidate(Path(f"{path}.gz"), part.size, part.sha256, path.name, *lacks)
    return [_Candidate(path, part.size, part.sha256, None, *lacks), second]


def _resolved(role: str, found: _Candidate, origin: Origin, member: str) -> ResolvedFile:
    path, digest = found.path.absolute(), _sha256(found.path)
    there = path.stat()
    _log.info("%s: %s (%s, %.1f MB)", role, path, origin, there.st_size / 1e6)
    return ResolvedFile(
        role,
        path,
        there.st_size,
        digest,
        origin,
        found.absent,
        found.states,
        member,
        found.without,
        found.excerpt,
        there.st_mtime_ns,
    )


def _contradiction(found: _Candidate) -> RawFileError | None:
    """Tell how a file is another than the registry's; by its size first, which costs nothing to look at."""
    if found.size is None and found.sha256 is None:
        return None
    what = f"{found.inside} in it" if found.inside else "it"
    size, digest = (
        _measure_inside(found.path, found.inside) if found.inside else (found.path.stat().st_size, None)
    )
    if found.size not in (None, size):
        told = f"the registry expects {found.size:,} bytes, {what} has {size:,}."
    elif found.sha256 not in (None, digest := digest or _sha256(found.path)):
        told = f"the registry expects sha256 {found.sha256}, {what} has {digest}."
    else:
        return None
    return RawFileError(
        str(found.path),
        told,
        "Replace the file by the official one; if the publisher revised it, update registry.yaml.",
    )


def _sha256(path: Path) -> str:
    """Digest of a file; one that this process has read and that was not written since is not read again."""
    try:
        there = path.stat()
        return _digest(path, there.st_size, there.st_mtime_ns)
    except OSError as error:
        raise RawFileError(
            str(path), f"cannot be read ({error.strerror or error}).", "Correct its permissions."
        ) from error


@functools.lru_cache(maxsize=1024)
def _digest(path: Path, size: int, mtime_ns: int) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _measure_inside(path: Path, name: str) -> tuple[int, str]:
    """Size and digest of the file that a .gz or .zip wraps: the official file may lie compressed in a mirror."""
    try:
        if path.suffix == ".gz":
            with open_gzip(path) as stream:
                return _measure(stream)
        with zipfile.ZipFile(path) as archive:
            members = [member for member in archive.namelist() if Path(member).name == name]
            if len(members) != 1:
                raise RawFileError(
                    str(path),
                    f"holds {archive.namelist()}, not one {name}.",
                    f"Zip {name} alone under that name.",
                )
            with open_member(archive, members[0]) as stream:
                return _measure(stream)
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        raise RawFileError(
            str(path), f"is not a readable archive ({error}).", "Copy it again from where it came."
        ) from error


def _measure(stream: BufferedIOBase) -> tuple[int, str]:
    digest, size = hashlib.sha256(), 0
    while piece := stream.read(1 << 20):
        digest.update(piece)
        size += len(piece)
    return size, digest.hexdigest()
