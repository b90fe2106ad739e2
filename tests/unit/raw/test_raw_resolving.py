"""Where a raw file is taken from, and what is said when it cannot be had."""

from __future__ import annotations

import gzip
import hashlib
import os
import zipfile
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fusion_pipeline.errors import RawFileError
from fusion_pipeline.raw import (
    Missing,
    ResolvedFile,
    as_table,
    from_table,
    resolve,
    resolve_all,
    resolving,
    verify,
)
from fusion_pipeline.raw.entries import Alternative, Excerpt, FoldedFlag, RawFile
from fusion_pipeline.registry import load_registry

BODY = b"DOEID,NWEIGHT\n1,2.5\n"
DIGEST = hashlib.sha256(BODY).hexdigest()
EXCERPT = Excerpt(begins={"ID": "2017"}, times={"WT*": 5}, fold={"COST": FoldedFlag(flag="WHO", amount="3")})
UNREACHABLE = "http://127.0.0.1:9/recs.csv"


def _put(path: Path, body: bytes = BODY) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(body)
    return path


def _file(**fields) -> RawFile:
    return RawFile(**{"name": "recs.csv", "url": UNREACHABLE, **fields})


def _resolve(tmp_path: Path, file: RawFile, *, mirror: bool = True, **options) -> ResolvedFile:
    return resolve(
        "households",
        file,
        folder="recs_2015",
        mirror=tmp_path / "mirror" if mirror else None,
        cache=tmp_path / "cache",
        **options,
    )


def test_the_mirror_goes_before_the_cache(tmp_path):
    mirrored = _put(tmp_path / "mirror/recs_2015/recs.csv", b"from the mirror")
    _put(tmp_path / "cache/recs_2015/recs.csv", b"from the cache")
    found = _resolve(tmp_path, _file())
    assert (found.path, found.origin) == (mirrored, "mirror")
    assert found.size == len(b"from the mirror")
    assert found.sha256 == hashlib.sha256(b"from the mirror").hexdigest()


def test_the_cache_goes_before_the_download(tmp_path):
    cached = _put(tmp_path / "cache/recs_2015/recs.csv")
    found = _resolve(tmp_path, _file(sha256=DIGEST))
    assert (found.path, found.origin) == (cached, "cache")


def test_what_is_nowhere_is_downloaded_into_the_cache(tmp_path, server):
    server.body = BODY
    found = _resolve(tmp_path, _file(url=server.address, sha256=DIGEST, size=len(BODY)))
    assert (found.path, found.origin) == (tmp_path / "cache/recs_2015/recs.csv", "download")
    assert (found.size, found.sha256) == (len(BODY), DIGEST)
    again = _resolve(tmp_path, _file(url=server.address, sha256=DIGEST))
    assert again.origin == "cache"
    assert len(server.ranges) == 1


def test_a_damaged_cached_file_is_fetched_again(tmp_path, server):
    server.body = BODY
    _put(tmp_path / "cache/recs_2015/recs.csv", b"damaged")
    found = _resolve(tmp_path, _file(url=server.address, sha256=DIGEST))
    assert (found.origin, found.path.read_bytes()) == ("download", BODY)


def test_a_cached_file_of_another_size_is_fetched_again_though_no_digest_is_known(tmp_path, server):
    server.body = BODY
    _put(tmp_path / "cache/recs_2015/recs.csv", BODY[:-1])
    found = _resolve(tmp_path, _file(url=server.address, size=len(BODY)))
    assert (found.origin, found.path.read_bytes()) == ("download", BODY)


def test_a_file_of_another_size_is_refused_before_it_is_digested(tmp_path, monkeypatch):
    mirrored = _put(tmp_path / "mirror/recs_2015/recs.csv", BODY[:-1])
    monkeypatch.setattr(resolving, "_sha256", lambda path: pytest.fail(f"{path} was read"))
    with pytest.raises(RawFileError, match=f"expects {len(BODY)} bytes, it has {len(BODY) - 1}") as caught:
        _resolve(tmp_path, _file(size=len(BODY), sha256=DIGEST))
    assert str(mirrored) in str(caught.value)


def test_files_that_simulation_wrote_are_not_held_against_the_official_ones(tmp_path):
    mirrored = _put(tmp_path / "mirror/recs_2015/recs.csv", b"made up")
    with pytest.raises(RawFileError, match="bytes"):
        _resolve(tmp_path, _file(size=len(BODY), sha256=DIGEST))
    _put(mirrored.with_name(resolving.SIMULATED), b"{}")
    assert _resolve(tmp_path, _file(size=len(BODY), sha256=DIGEST)).path == mirrored


@pytest.mark.parametrize("suffix", [".gz", ".zip"])
def test_the_size_of_an_official_file_is_that_of_what_lies_compressed(tmp_path, suffix):
    path = tmp_path / f"mirror/recs_2015/recs.csv{suffix}"
    _put(path, gzip.compress(BODY))
    if suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("recs.csv", BODY)
    assert _resolve(tmp_path, _file(size=len(BODY))).path == path
    with pytest.raises(RawFileError, match=rf"expects 9 bytes, recs.csv in it has {len(BODY)}"):
        _resolve(tmp_path, _file(size=9))


def test_a_compressed_official_file_that_an_alternative_names_is_held_against_its_digest(tmp_path):
    path = _put(tmp_path / "mirror/recs_2015/recs.csv.gz", gzip.compress(BODY))
    known = Alternative(path="recs_2015/recs.csv.gz", size=path.stat().st_size, sha256="0" * 64)
    with pytest.raises(RawFileError, match=f"expects sha256 {'0' * 64}"):
        _resolve(tmp_path, _file(alternatives=(known,)))
    short = known.model_copy(update={"size": 1})
    with pytest.raises(RawFileError, match="expects 1 bytes"):
        _resolve(tmp_path, _file(alternatives=(short,)))


def test_every_digest_in_the_registry_has_its_size_beside_it():
    registry = load_registry()
    entries = (*registry.surveys.values(), *registry.recipients.values())
    files = [file for entry in entries for file in entry.files.values()] + [*registry.place_files().values()]
    parts = [part for file in files for other in file.alternatives for part in other.files]
    assert [known for known in (*files, *parts) if bool(known.sha256) != bool(known.size)] == []
    assert sum(bool(file.sha256) for file in files) >= 4


def test_a_damaged_cached_file_is_an_error_offline_and_stays(tmp_path):
    cached = _put(tmp_path / "cache/recs_2015/recs.csv", b"damaged")
    with pytest.raises(RawFileError, match=DIGEST):
        _resolve(tmp_path, _file(sha256=DIGEST), offline=True)
    assert cached.read_bytes() == b"damaged"


def test_the_official_name_goes_before_compressed_forms_and_alternatives(tmp_path):
    file = _file(alternatives=(Alternative(path="recs_2015/part.csv", absent=("HHSEX",)),))
    places = ["recs_2015/part.csv", "recs_2015/recs.csv.zip", "recs_2015/recs.csv.gz", "recs_2015/recs.csv"]
    for place in places:
        path = _put(tmp_path / "mirror" / place)
        assert _resolve(tmp_path, file).path == path


def test_a_compressed_official_file_is_checked_by_what_it_holds(tmp_path):
    path = tmp_path / "mirror/recs_2015/recs.csv.gz"
    _put(path, gzip.compress(BODY))
    found = _resolve(tmp_path, _file(sha256=DIGEST))
    assert found.path == path
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    _put(path, gzip.compress(BODY + b"2,1\n"))
    with pytest.raises(RawFileError, match=rf"expects sha256 {DIGEST}, recs.csv in it has"):
        _resolve(tmp_path, _file(sha256=DIGEST))


def test_a_zipped_official_file_is_checked_by_what_it_holds(tmp_path):
    path = tmp_path / "mirror/recs_2015/recs.csv.zip"
    path.parent.mkdir(parents=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("folder/recs.csv", BODY)
    assert _resolve(tmp_path, _file(sha256=DIGEST)).path == path
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("other.csv", BODY)
    with pytest.raises(RawFileError, match=r"holds \['other.csv'\], not one recs.csv"):
        _resolve(tmp_path, _file(sha256=DIGEST))


@pytest.mark.parametrize("name", ["recs.csv.gz", "recs.csv.zip"])
def test_a_truncated_archive_is_named(tmp_path, name):
    _put(tmp_path / "mirror/recs_2015" / name, gzip.compress(BODY * 100)[:30])
    with pytest.raises(RawFileError, match=rf"{name}: is not a readable archive"):
        _resolve(tmp_path, _file(sha256=DIGEST))


def test_a_wrong_digest_in_the_mirror_stops_even_when_the_file_could_be_had_elsewhere(tmp_path):
    mirrored = _put(tmp_path / "mirror/recs_2015/recs.csv", b"revised")
    _put(tmp_path / "cache/recs_2015/recs.csv")
    with pytest.raises(RawFileError) as caught:
        _resolve(tmp_path, _file(sha256=DIGEST))
    message = str(caught.value)
    assert str(mirrored) in message
    assert DIGEST in message
    assert hashlib.sha256(b"revised").hexdigest() in message
    assert "registry.yaml" in message


def test_an_alternative_brings_its_gaps_along(tmp_path):
    other = Alternative(path="elsewhere/part.csv.gz", absent=("HHSEX", "BEDROOMS"), states=("10",))
    path = _put(tmp_path / "mirror/elsewhere/part.csv.gz", gzip.compress(BODY))
    found = _resolve(tmp_path, _file(alternatives=(other,)))
    assert (found.path, found.origin) == (path, "mirror")
    assert (found.absent, found.states) == (("HHSEX", "BEDROOMS"), ("10",))


def test_an_alternative_is_checked_by_its_own_digest(tmp_path):
    body = gzip.compress(BODY)
    good = Alternative(path="part.csv.gz", sha256=hashlib.sha256(body).hexdigest())
    _put(tmp_path / "mirror/part.csv.gz", body)
    assert _resolve(tmp_path, _file(sha256="1" * 64, alternatives=(good,))).path.name == "part.csv.gz"
    with pytest.raises(RawFileError, match="0" * 64):
        _resolve(tmp_path, _file(alternatives=(Alternative(path="part.csv.gz", sha256="0" * 64),)))


def test_an_alternative_may_lie_compressed_or_not(tmp_path):
    listed_compressed = Alternative(path="a/part.csv.gz", sha256="0" * 64)
    _put(tmp_path / "mirror/a/part.csv")
    assert _resolve(tmp_path, _file(alternatives=(listed_compressed,))).path.name == "part.csv"
    listed_plain = Alternative(path="b/part.csv", sha256=DIGEST)
    _put(tmp_path / "mirror/b/part.csv.gz", gzip.compress(BODY))
    assert _resolve(tmp_path, _file(alternatives=(listed_plain,))).path.name == "part.csv.gz"


def test_offline_the_error_lists_every_place_the_address_and_what_to_do(tmp_path):
    file = _file(alternatives=(Alternative(path="elsewhere/part.csv.gz"),))
    with pytest.raises(RawFileError) as caught:
        _resolve(tmp_path, file, offline=True)
    message = str(caught.value)
    mirror = tmp_path / "mirror"
    for place in ("recs_2015/recs.csv", "recs_2015/recs.csv.gz", "recs_2015/recs.csv.zip"):
        assert str(mirror / place) in message
    assert str(mirror / "elsewhere/part.csv.gz") in message
    assert str(tmp_path / "cache/recs_2015/recs.csv") in message
    assert UNREACHABLE in message
    assert "households" in message
    assert f"Fetch it on a connected machine into {mirror}/recs_2015/recs.csv" in message


def test_offline_without_a_mirror_the_error_says_how_to_name_one(tmp_path):
    with pytest.raises(RawFileError, match=r"FUSION_RAW.*recs_2015/recs\.csv"):
        _resolve(tmp_path, _file(), mirror=False, offline=True)


def test_a_simulated_file_is_not_held_against_the_official_digest(tmp_path):
    path = _put(tmp_path / "mirror/recs_2015/recs.csv", b"simulated")
    found = _resolve(tmp_path, _file(sha256=DIGEST), simulated=True)
    assert (found.path, found.origin) == (path, "simulated")


def test_a_missing_simulated_file_is_never_replaced_by_a_real_one(tmp_path, server):
    _put(tmp_path / "cache/recs_2015/recs.csv")
    with pytest.raises(RawFileError, match="simulate again"):
        _resolve(tmp_path, _file(url=server.address), simulated=True)
    assert server.ranges == []


def test_all_files_that_are_not_to_be_had_are_named_at_once(tmp_path):
    with pytest.raises(RawFileError) as told, Missing() as missing:
        for name in ("a.csv", "b.csv"):
            with missing.noted():
                _resolve(tmp_path, _file(name=name), offline=True)
    assert told.value.where == "2 raw files"
    assert all(f"\n- recs_2015/{name} (households): " in told.value.what for name in ("a.csv", "b.csv"))
    lines = told.value.what.splitlines()[1:]
    for line, name in zip(lines, ("a.csv", "b.csv"), strict=True):
        assert f"Fetch it on a connected machine into {tmp_path}/mirror/recs_2015/{name}, or unset" in line


def test_files_of_several_surveys_are_counted_and_told_once_each(tmp_path):
    with pytest.raises(RawFileError) as told, Missing() as all_surveys:
        for names in (("a.csv", "b.csv"), ("b.csv", "c.csv")):
            with all_surveys.noted(), Missing() as of_survey:
                for name in names:
                    with of_survey.noted():
                        _resolve(tmp_path, _file(name=name), offline=True)
    assert told.value.where == "3 raw files"
    assert told.value.what.count("b.csv (households)") == 1


def test_another_error_is_not_hidden_by_files_that_are_missing(tmp_path):
    with pytest.raises(ZeroDivisionError), Missing() as missing:
        with missing.noted():
            _resolve(tmp_path, _file(), offline=True)
        1 / 0  # noqa: B018


def test_a_file_that_changed_is_digested_again(tmp_path):
    path = _put(tmp_path / "mirror/recs_2015/recs.csv")
    first = _resolve(tmp_path, _file()).sha256
    _put(path, BODY.replace(b"1", b"2"))
    os.utime(path, ns=(1, 1))
    assert _resolve(tmp_path, _file()).sha256 != first


def test_the_record_survives_the_trip_through_a_table(tmp_path):
    files = [
        ResolvedFile("households", tmp_path / "h.csv", 7, DIGEST, "mirror", ("HHSEX",), ("10", "46")),
        ResolvedFile("persons", tmp_path / "p.zip", 0, DIGEST, "download", (), (), "per*.csv", ("trips",)),
        ResolvedFile("vehicles", tmp_path / "v.csv", 7, DIGEST, "mirror", excerpt=EXCERPT),
    ]
    pq.write_table(as_table(files), tmp_path / "raw.parquet")
    table = pq.read_table(tmp_path / "raw.parquet")
    assert from_table(table) == files
    ours = ["role", "path", "size", "sha256", "origin", "absent", "states", "member", "without"]
    assert table.column_names == [*ours, "excerpt", "mtime_ns"]
    assert table.schema.field("absent").type == pa.list_(pa.string())
    assert from_table(as_table([])) == []


def test_a_file_that_vanished_or_changed_since_is_noticed(tmp_path):
    path = _put(tmp_path / "mirror/recs_2015/recs.csv")
    found = _resolve(tmp_path, _file())
    assert verify(found) == path
    with pytest.raises(RawFileError, match="has 20 bytes and had 21"):
        verify(replace(found, size=21))
    before = path.read_bytes()
    os.utime(path, ns=(1, 1))
    verify(found)
    path.write_bytes(before[::-1])
    os.utime(path, ns=(2, 2))
    with pytest.raises(RawFileError, match="another content"):
        verify(found)
    path.unlink()
    with pytest.raises(RawFileError, match="is not now"):
        verify(found)


@pytest.mark.realdata
def test_the_registered_alternatives_are_found_and_have_the_registered_digests(tmp_path):
    shared = Path(os.environ.get("FUSION_SHARED", Path(__file__).parents[3] / "../shared")) / "data"
    registry = load_registry()
    vintages = [registry.surveys["RECS_2015"], registry.recipients["2013"]]
    files = [(v.folder, role, file) for v in vintages for role, file in v.files.items()]
    places = registry.place_files().items()
    files += [("spatial", role, file) for role, file in places if file.alternatives or file.sha256]
    for folder, role, file in files:
        found = resolve(role, file, folder=folder, mirror=shared, cache=tmp_path, offline=True)
        if not file.sha256:
            assert (found.size, found.sha256) == (file.alternatives[0].size, file.alternatives[0].sha256)


def test_a_split_alternative_gives_the_parts_that_are_there_with_their_states(tmp_path):
    parts = [{"path": f"acs/h{state}.csv.gz", "states": [state]} for state in ("04", "08", "10")]
    file = _file(alternatives=[{"parts": parts, "absent": ["VEH"]}])
    for state in ("04", "10"):
        _put(tmp_path / f"mirror/acs/h{state}.csv.gz", gzip.compress(BODY))
    options = {"folder": "recs_2015", "mirror": tmp_path / "mirror", "cache": tmp_path / "cache"}
    found = resolve_all("households", file, **options, offline=True)
    assert [(f.states, f.absent) for f in found] == [(("04",), ("VEH",)), (("10",), ("VEH",))]
    whole = _put(tmp_path / "mirror/recs_2015/recs.csv")
    assert [f.path for f in resolve_all("households", file, **options)] == [whole]


def test_a_partial_file_lacks_what_is_read_and_is_not_listed_or_matched_by_a_pattern() -> None:
    partial = Alternative(path="part.csv", only=("DOEID", "BRRWT*"))
    assert partial.lacks(["doeid", "BRRWT1", "BRRWT96", "NWEIGHT", "XBRRWT"]) == ("NWEIGHT", "XBRRWT")
    assert Alternative(path="part.csv", absent=("HHSEX",)).lacks(["DOEID"]) == ("HHSEX",)
