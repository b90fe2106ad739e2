"""Downloads that survive interruptions: resumed, retried, checked, and published whole.

Belongs here: one file from one address to one path. Does not belong here: which file and why
(`resolving.py`).

Range requests and their validators follow RFC 9110, sections 13.1.5 (If-Range) and 14 (Range).
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from fusion_pipeline.errors import RawFileError
from fusion_pipeline.raw.progress import Progress

if TYPE_CHECKING:
    import requests

ATTEMPTS = 5
"""Consecutive attempts that bring not one new byte before giving up."""
BACKOFF = 1.0
"""Seconds before the second attempt; doubled each time."""
LONGEST_WAIT = 60.0
"""Seconds, whatever the server's Retry-After says."""
TIMEOUT = (20.0, 60.0)
"""Seconds to connect, and between two pieces of an answer."""
PIECE = 1 << 18
"""Bytes written at a time."""

_RETRIED = frozenset({429, 500, 502, 503, 504})
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Version:
    """Which version of the remote file the bytes on disk belong to."""

    etag: str | None = None
    modified: str | None = None
    total: int | None = None

    @property
    def validator(self) -> str | None:
        """What If-Range may say: a weak ETag does not promise equal bytes."""
        strong = self.etag if self.etag and not self.etag.startswith("W/") else None
        return strong or self.modified


class _TryAgainError(Exception):
    """An attempt failed in a way that may pass."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        self.reason, self.wait = reason, wait
        super().__init__(reason)


def fetch(url: str, target: Path, *, size: int | None = None, sha256: str | None = None) -> None:
    """Download `url` to `target`; at `target` there is the whole file or nothing.

    Bytes go to `target.part`, which an interrupted download leaves behind and the next one continues. A lock
    beside it keeps other processes waiting, which then find the file done.

    Parameters
    ----------
    size, sha256 : optional
        What the file must have.

    Raises
    ------
    RawFileError
        Naming address and path: refused by the server, unreachable, always cut short, of wrong size or
        digest, or not writable.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _locked(target):
            if not target.is_file():
                _Download(url, target, size, sha256).run()
    except OSError as error:
        raise RawFileError(
            str(target),
            f"cannot be written ({error.strerror or error}).",
            "Free space or correct permissions, then run the same command again: the download resumes.",
        ) from error


class _Download:
    def __init__(self, url: str, target: Path, size: int | None, sha256: str | None) -> None:
        self.url, self.target, self.size, self.sha256 = url, target, size, sha256
        self.part = target.with_name(f"{target.name}.part")
        self.notes = target.with_name(f"{target.name}.part.json")

    def run(self) -> None:
        import requests

        _log.info("%s: downloading from %s", self.target.name, self.url)
        failures, best = 0, self._have()
        with requests.Session() as session:
            while True:
                try:
                    self._attempt(session)
                    break
                except _TryAgainError as problem:
                    if self._have() > best:
                        failures, best = 0, self._have()
                    failures += 1
                    if failures == ATTEMPTS:
                        raise self._failure(
                            f"{problem.reason}; gave up after {ATTEMPTS} attempts.",
                            "Try again later (what arrived is kept and resumed), or fetch the file by hand "
                            f"into {self.target}.",
                        ) from problem
                    wait = min(problem.wait or BACKOFF * 2 ** (failures - 1), LONGEST_WAIT)
                    _log.info("%s: %s; next attempt in %.1f s", self.target.name, problem.reason, wait)
                    time.sleep(wait)
        self._check()
        self._publish()

    def _attempt(self, session: requests.Session) -> None:
        import requests
        import urllib3

        have, known = self._have(), self._known()
        headers = {"Accept-Encoding": "identity", "User-Agent": "fusion-pipeline"}
        # Without any mark of the version, bytes of two versions could be joined: begin anew.
        if have and (known.validator or known.total):
            headers["Range"] = f"bytes={have}-"
            if known.validator:
                headers["If-Range"] = known.validator
        try:
            with session.get(self.url, headers=headers, stream=True, timeout=TIMEOUT) as response:
                self._receive(response, have, known)
        except (requests.ConnectionError, requests.Timeout, urllib3.exceptions.HTTPError) as error:
            raise _TryAgainError(f"the connection failed ({_innermost(error)})") from error
        except requests.RequestException as error:
            raise self._failure(
                f"cannot be fetched ({error}).", "Correct its address in registry.yaml."
            ) from error

    def _receive(self, response: requests.Response, have: int, known: _Version) -> None:
        self._refuse_errors(response)
        if response.status_code == 416:
            # Nothing lies beyond what we have. Either that is the whole file, or it is not this file.
            if _total_of(response) != have:
                self._forget()
                raise _TryAgainError("the server has a shorter file than was begun")
            return
        total: int | None
        if response.status_code == 206:
            start, total = _range_of(response)
            etag = response.headers.get("ETag")
            if start != have or total != known.total or etag != known.etag:
                self._forget()
                raise _TryAgainError("the server answered with another part of the file than was asked for")
        else:
            have, total = 0, _length_of(response)
            self._forget()
        self.notes.write_text(
            json.dumps(
                asdict(_Version(response.headers.get("ETag"), response.headers.get("Last-Modified"), total))
            )
        )
        with self.part.open("ab") as out:
            have = self._write(out, response, have, total)
        if total is not None and have < total:
            raise _TryAgainError(f"the answer ended after {have:,} of {total:,} bytes")

    def _write(self, out: BinaryIO, response: requests.Response, have: int, total: int | None) -> int:
        progress = Progress(self.target.name, have, total)
        # `iter_content` would lose the last, unfilled piece of an answer that is cut short.
        while piece := response.raw.read1(PIECE, decode_content=False):
            out.write(piece)
            have += len(piece)
            progress.report(have)
        return have

    def _refuse_errors(self, response: requests.Response) -> None:
        status = f"{response.status_code} {response.reason}"
        if response.status_code in _RETRIED:
            raise _TryAgainError(f"the server answered {status}", _retry_after(response))
        if response.status_code >= 400 and response.status_code != 416:
            raise self._failure(
                f"the server answered {status}.",
                "Look up the file's present address and correct registry.yaml, or put the file "
                f"at {self.target}.",
            )
        kind = response.headers.get("Content-Type", "")
        if kind.startswith("text/html") and self.target.suffix not in {".htm", ".html"}:
            raise self._failure(
                f"the server answered {status} with a web page instead of the file.",
                "Open the address in a browser (a login, a proxy or a moved file), or put the file "
                f"at {self.target}.",
            )

    def _check(self) -> None:
        found = self._have()
        if self.size is not None and found != self.size:
            self._forget()
            raise self._failure(
                f"has {found:,} bytes, the registry expects {self.size:,}; it was dropped.",
                "If the publisher revised the file, update registry.yaml; otherwise try again.",
            )
        if self.sha256 is not None:
            with self.part.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
            if digest != self.sha256:
                self._forget()
                raise self._failure(
                    f"has sha256 {digest}, the registry expects {self.sha256}; it was dropped.",
                    "If the publisher revised the file, update registry.yaml; otherwise try again.",
                )

    def _publish(self) -> None:
        with self.part.open("rb") as stream:
            os.fsync(stream.fileno())
        self.part.replace(self.target)
        self.notes.unlink(missing_ok=True)
        folder = os.open(self.target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _have(self) -> int:
        return self.part.stat().st_size if self.part.is_file() else 0

    def _known(self) -> _Version:
        try:
            return _Version(**json.loads(self.notes.read_text()))
        except (FileNotFoundError, ValueError, TypeError):
            return _Version()

    def _forget(self) -> None:
        self.part.unlink(missing_ok=True)
        self.notes.unlink(missing_ok=True)

    def _failure(self, what: str, remedy: str) -> RawFileError:
        return RawFileError(f"{self.target.name} from {self.url}", what, remedy)


@contextmanager
def _locked(target: Path) -> Iterator[None]:
    with target.with_name(f".{target.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _log.info("%s: another process is downloading it; waiting", target.name)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _length_of(response: requests.Response) -> int | None:
    value = response.headers.get("Content-Length", "")
    return int(value) if value.isdigit() else None


def _range_of(response: requests.Response) -> tuple[int | None, int | None]:
    match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
    if match is None:
        return None, None
    return int(match[1]), None if match[2] == "*" else int(match[2])


def _total_of(response: requests.Response) -> int | None:
    match = re.fullmatch(r"bytes \*/(\d+)", response.headers.get("Content-Range", ""))
    return int(match[1]) if match else None


def _retry_after(response: requests.Response) -> float | None:
    value = response.headers.get("Retry-After", "")
    return float(value) if value.isdigit() else None


def _innermost(error: BaseException) -> str:
    while error.__context__ is not None:
        error = error.__context__
    return str(error) or type(error).__name__
