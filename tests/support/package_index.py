"""A package index on this machine: the simple API as HTML (PEP 503) or JSON (PEP 691)."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

JSON_TYPE = "application/vnd.pypi.simple.v1+json"


@dataclass
class Index:
    """What the index serves and how it misbehaves.

    Attributes:
        url: The simple index.
        files: Content by project and file name.
        form: ``html``, ``json``, ``page`` (something that is no index) or ``endless``.
        hashes: Whether digests are stated.
        status: Answers by path that are errors.
        damaged: File names whose first byte is another one.
        cut: File names of which only the first half is sent.
        asked: The paths that were asked for.
        ranges: Whether parts of files are served.
        sent: Bytes of such parts.
    """

    url: str = ""
    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    form: str = "html"
    hashes: bool = True
    status: dict[str, int] = field(default_factory=dict)
    damaged: set[str] = field(default_factory=set)
    cut: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)
    ranges: bool = True
    sent: int = 0

    def add(self, project: str, name: str, content: bytes) -> str:
        """Serve a file; returns its SHA-256."""
        self.files.setdefault(project, {})[name] = content
        return hashlib.sha256(content).hexdigest()

    def page(self, project: str) -> tuple[str, bytes]:
        """The type and the body of a project's page."""
        if self.form == "page":
            return "text/plain", b"Welcome to the printer"
        files = self.files[project]
        digests = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
        if self.form == "json":
            listed = [
                {
                    "filename": name,
                    "url": f"/files/{project}/{name}",
                    "hashes": {"sha256": digests[name]} if self.hashes else {},
                }
                for name in files
            ]
            body = {"meta": {"api-version": "1.0"}, "name": project, "files": listed}
            return JSON_TYPE, json.dumps(body).encode()
        links = [
            f'<a href="/files/{project}/{name}{f"#sha256={digests[name]}" if self.hashes else ""}">'
            f"{name}</a>"
            for name in files
        ]
        return "text/html", f"<html><body>{''.join(links)}</body></html>".encode()


class _Handler(BaseHTTPRequestHandler):
    """Answers for the index that its class has."""

    index: Index

    def do_GET(self) -> None:
        self.index.asked.append(self.path)
        parts = self.path.strip("/").split("/")
        if self.index.form == "endless":
            self._endless(self.index.status.get(self.path, 200))
        elif self.path in self.index.status:
            self._send(self.index.status[self.path], "text/plain", b"no")
        elif parts[0] == "simple" and len(parts) == 2 and parts[1] in self.index.files:
            self._send(200, *self.index.page(parts[1]))
        elif parts[0] == "files" and parts[2] in self.index.files.get(parts[1], {}):
            self._file(parts[2], self.index.files[parts[1]][parts[2]])
        else:
            self._send(404, "text/plain", b"not found")

    def _endless(self, status: int) -> None:
        """Bytes until nobody reads them; of a redirect to the project's page too."""
        self.send_response(status)
        self.send_header("Location", "/simple/other/")
        self.end_headers()
        with suppress(ConnectionError):
            while True:
                self.wfile.write(bytes(1 << 16))

    def _file(self, name: str, content: bytes) -> None:
        if name in self.index.damaged:
            content = bytes([content[0] ^ 1]) + content[1:]
        half = len(content) // 2 if name in self.index.cut else len(content)
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range") or "")
        if asked is None or not self.index.ranges:
            self._send(200, "application/octet-stream", content, half)
            return
        first, last = int(asked[1]), min(int(asked[2]), len(content) - 1)
        self.index.sent += last + 1 - first
        whole = f"bytes {first}-{last}/{len(content)}"
        self._send(206, "application/octet-stream", content[first : last + 1], whole=whole)

    def _send(
        self, status: int, kind: str, body: bytes, sent: int | None = None, whole: str = ""
    ) -> None:
        self.send_response(status)
        if whole:
            self.send_header("Content-Range", whole)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:sent])

    def log_message(self, format: str, *args: object) -> None:
        return


@contextmanager
def running() -> Iterator[Index]:
    """An empty index that listens."""
    index = Index()

    handler = type("Handler", (_Handler,), {"index": index})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        index.url = f"http://127.0.0.1:{server.server_address[1]}/simple/"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield index
        finally:
            server.shutdown()
            thread.join()
