"""A real web server on this machine that misbehaves on demand."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from fusion_pipeline.raw import download


@dataclass
class Server:
    """Serves `body` at every path; `script` holds one behaviour a request, the last one repeated."""

    body: bytes = b""
    script: list[str] = field(default_factory=lambda: ["whole"])
    etag: str | None = '"v1"'
    ranges: list[str | None] = field(default_factory=list)
    if_ranges: list[str | None] = field(default_factory=list)
    sent: list[int] = field(default_factory=list)
    """Body bytes of each answer."""
    address: str = ""


def _handler(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

        def do_GET(self) -> None:
            behaviour = server.script[min(len(server.ranges), len(server.script) - 1)]
            server.ranges.append(self.headers.get("Range"))
            server.if_ranges.append(self.headers.get("If-Range"))
            if behaviour.isdigit():
                server.sent.append(0)
                self.send_response(int(behaviour))
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            start = 0
            asked = self.headers.get("Range")
            current = self.headers.get("If-Range") in (None, server.etag) or behaviour == "ignore-if-range"
            if asked is not None and current and behaviour != "ignore-range":
                start = int(asked.removeprefix("bytes=").removesuffix("-"))
            if start >= len(server.body) > 0:
                server.sent.append(0)
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(server.body)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            rest = server.body[start:]
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(server.body) - 1}/{len(server.body)}")
            if server.etag is not None:
                self.send_header("ETag", server.etag)
            self.send_header("Content-Type", "text/html" if behaviour == "web-page" else "text/csv")
            self.send_header("Content-Length", str(len(rest)))
            self.end_headers()
            if behaviour == "half":
                rest = rest[: len(rest) // 2]
            elif behaviour == "first-half":
                rest = rest[: max(len(server.body) // 2 - start, 0)]
            server.sent.append(len(rest))
            self.wfile.write(rest)

    return Handler


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(download, "BACKOFF", 0.001)
    state = Server(body=bytes(range(256)) * 4000)
    with ThreadingHTTPServer(("127.0.0.1", 0), _handler(state)) as http:
        state.address = f"http://127.0.0.1:{http.server_address[1]}/recs.csv"
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield state
        http.shutdown()
        thread.join()
