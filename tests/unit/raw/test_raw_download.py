"""Downloads against a real server on this machine."""

from __future__ import annotations

import hashlib
import json
import logging
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from fusion_pipeline.errors import RawFileError
from fusion_pipeline.raw import download
from fusion_pipeline.raw.download import fetch


def _sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def _leftovers(target: Path) -> set[str]:
    return {path.name for path in target.parent.iterdir()} - {target.name, f".{target.name}.lock"}


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "recs_2015" / "recs.csv"


def test_a_complete_download_is_published_whole_and_leaves_nothing_else(server, target):
    fetch(server.address, target, size=len(server.body), sha256=_sha256(server.body))
    assert target.read_bytes() == server.body
    assert _leftovers(target) == set()


def test_a_truncated_body_is_continued_where_it_ended(server, target):
    server.script = ["half", "whole"]
    fetch(server.address, target, sha256=_sha256(server.body))
    half = len(server.body) // 2
    assert target.read_bytes() == server.body
    assert server.ranges == [None, f"bytes={half}-"]
    assert server.if_ranges == [None, '"v1"']
    assert server.sent == [half, half]


def test_attempts_that_bring_new_bytes_do_not_count_as_failures(server, target):
    server.script = ["half"] * (download.ATTEMPTS + 3) + ["whole"]
    fetch(server.address, target)
    assert target.read_bytes() == server.body


def test_a_body_truncated_for_ever_is_given_up_and_kept_for_resumption(server, target):
    server.script = ["first-half"]
    with pytest.raises(
        RawFileError, match=rf"(?s){server.address}.*gave up after {download.ATTEMPTS} attempts"
    ):
        fetch(server.address, target)
    assert not target.exists()
    assert target.with_name("recs.csv.part").stat().st_size == len(server.body) // 2


def test_a_later_run_asks_only_for_the_rest(server, target):
    server.script = ["first-half"]
    with pytest.raises(RawFileError):
        fetch(server.address, target)
    server.script, half = ["whole"], len(server.body) // 2
    server.ranges.clear()
    server.sent.clear()
    fetch(server.address, target, sha256=_sha256(server.body))
    assert target.read_bytes() == server.body
    assert server.ranges == [f"bytes={half}-"]
    assert server.sent == [len(server.body) - half]


@pytest.mark.parametrize("behaviour", ["whole", "ignore-if-range"])
def test_a_file_revised_between_two_runs_is_not_patched_together(server, target, behaviour):
    server.script = ["first-half"]
    with pytest.raises(RawFileError):
        fetch(server.address, target)
    server.script, server.etag, server.body = [behaviour], '"v2"', server.body[::-1]
    fetch(server.address, target)
    assert target.read_bytes() == server.body


def test_a_part_of_unknown_version_is_not_continued(server, target):
    target.parent.mkdir()
    target.with_name("recs.csv.part").write_bytes(b"bytes of who knows what")
    fetch(server.address, target)
    assert server.ranges == [None]
    assert target.read_bytes() == server.body


def test_a_part_that_was_already_whole_is_published_without_a_second_transfer(server, target):
    target.parent.mkdir()
    target.with_name("recs.csv.part").write_bytes(server.body)
    known = {"etag": server.etag, "modified": None, "total": len(server.body)}
    target.with_name("recs.csv.part.json").write_text(json.dumps(known))
    fetch(server.address, target, sha256=_sha256(server.body))
    assert target.read_bytes() == server.body
    assert server.sent == [0]
    assert _leftovers(target) == set()


def test_a_weak_etag_is_not_used_to_join_bytes(server, target):
    server.etag = 'W/"v1"'
    server.script = ["half", "whole"]
    fetch(server.address, target)
    assert server.if_ranges == [None, None]
    assert target.read_bytes() == server.body


def test_a_server_that_ignores_ranges_is_read_from_the_start(server, target):
    server.script = ["half", "ignore-range"]
    fetch(server.address, target, sha256=_sha256(server.body))
    assert server.ranges[1] is not None
    assert server.sent[1] == len(server.body)
    assert target.read_bytes() == server.body


def test_a_wrong_checksum_drops_the_part_and_names_both_digests(server, target):
    with pytest.raises(RawFileError) as caught:
        fetch(server.address, target, sha256="0" * 64)
    assert "0" * 64 in str(caught.value)
    assert _sha256(server.body) in str(caught.value)
    assert not target.exists()
    assert _leftovers(target) == set()


def test_a_wrong_size_drops_the_part(server, target):
    with pytest.raises(RawFileError, match="the registry expects 12"):
        fetch(server.address, target, size=12)
    assert not target.exists()
    assert _leftovers(target) == set()


@pytest.mark.parametrize("status", ["404", "403", "410"])
def test_a_refusal_fails_at_once(server, target, status):
    server.script = [status]
    with pytest.raises(RawFileError, match=f"answered {status}"):
        fetch(server.address, target)
    assert len(server.ranges) == 1


@pytest.mark.parametrize("status", ["503", "500", "429"])
def test_a_busy_server_is_asked_again(server, target, status):
    server.script = [status, status, "whole"]
    fetch(server.address, target)
    assert len(server.ranges) == 3
    assert target.read_bytes() == server.body


def test_a_web_page_is_not_taken_for_the_file(server, target):
    server.script = ["web-page"]
    with pytest.raises(RawFileError, match="a web page instead of the file"):
        fetch(server.address, target)
    assert not target.exists()


def test_an_unreachable_address_is_named(server, target):
    address = "http://127.0.0.1:9/recs.csv"
    with pytest.raises(RawFileError, match=rf"(?s){address}.*the connection failed"):
        fetch(address, target)


def test_a_full_disk_says_so_and_the_download_resumes_afterwards(server, target):
    limit = len(server.body) // 3
    script = (
        "import resource, signal, sys\n"
        "from pathlib import Path\n"
        "from fusion_pipeline.raw.download import fetch\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n"
        "fetch(sys.argv[1], Path(sys.argv[2]))\n"
    )
    command = [sys.executable, "-c", script, server.address, str(target)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "RawFileError" in result.stderr
    assert f"{target}: cannot be written (File too large)" in result.stderr
    assert not target.exists()
    assert 0 < target.with_name("recs.csv.part").stat().st_size <= limit

    fetch(server.address, target, sha256=_sha256(server.body))
    assert server.ranges[-1] is not None
    assert target.read_bytes() == server.body


def test_two_downloads_of_one_file_at_a_time_transfer_it_once(server, target):
    started = threading.Barrier(2)
    failures: list[BaseException] = []

    def download_it() -> None:
        started.wait()
        try:
            fetch(server.address, target, sha256=_sha256(server.body))
        except RawFileError as error:
            failures.append(error)

    threads = [threading.Thread(target=download_it) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert server.sent == [len(server.body)]
    assert target.read_bytes() == server.body


def test_progress_says_how_far_it_is(server, target, caplog):
    with caplog.at_level(logging.INFO, logger="fusion_pipeline.raw"):
        fetch(server.address, target)
    lines = [record.message for record in caplog.records]
    assert lines[0] == f"recs.csv: downloading from {server.address}"
    assert "recs.csv: 1.0 of 1.0 MB (100%)" in lines[-1]
    assert len(lines) <= 3
