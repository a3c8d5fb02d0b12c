"""A registry of OCI artifacts on 127.0.0.1, as the distribution specification has it.

Enough of it for pushing and pulling: blobs in one piece or several, held against their digests,
and manifests whose blobs must be there.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

_PATH = re.compile(r"/v2/(?P<name>.+?)/(?P<kind>blobs/uploads|blobs|manifests)/?(?P<rest>.*)")


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@dataclass
class Registry:
    """What it holds, by digest and by tag; ``log`` are its requests; ``closed`` refuses all."""

    host: str = ""
    blobs: dict[str, bytes] = field(default_factory=dict)
    manifests: dict[str, bytes] = field(default_factory=dict)
    uploads: dict[str, bytes] = field(default_factory=dict)
    log: list[tuple[str, str]] = field(default_factory=list)
    closed: bool = False

    def pulled(self, tag: str) -> tuple[Mapping[str, Any], list[bytes]]:
        """The configuration and the layers of a tag, as a client gets them."""
        told = json.loads(self.manifests[tag])
        layers = [self.blobs[one["digest"]] for one in told["layers"]]
        assert [len(one) for one in layers] == [one["size"] for one in told["layers"]]
        return json.loads(self.blobs[told["config"]["digest"]]), layers


class _Handler(BaseHTTPRequestHandler):
    registry: Registry

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _answer(self, status: int, data: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _do(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        url = urlsplit(self.path)
        found = _PATH.fullmatch(url.path)
        self.registry.log.append((self.command, url.path))
        if self.registry.closed:
            self._answer(403, b"{}")
        elif found is None:
            self._answer(404, b"{}")
        elif found["kind"] == "blobs/uploads":
            self._upload(found["name"], found["rest"], body, parse_qs(url.query))
        elif found["kind"] == "blobs":
            known = self.registry.blobs.get(found["rest"])
            self._answer(404, b"{}") if known is None else self._answer(200, known)
        elif self.command == "PUT":
            self._tag(found["rest"], body)
        else:
            told = self.registry.manifests.get(found["rest"])
            self._answer(404, b"{}") if told is None else self._answer(200, told)

    def _upload(self, name: str, rest: str, body: bytes, query: Mapping[str, list[str]]) -> None:
        rest = rest or f"u{len(self.registry.log)}"
        whole = self.registry.uploads.get(rest, b"") + body
        self.registry.uploads[rest] = whole
        if self.command != "PUT":
            self._answer(202, Location=f"/v2/{name}/blobs/uploads/{rest}")
        elif query["digest"] != [digest_of(whole)]:
            self._answer(400, b'{"errors": [{"code": "DIGEST_INVALID"}]}')
        else:
            self.registry.blobs[digest_of(whole)] = whole
            self._answer(201)

    def _tag(self, tag: str, body: bytes) -> None:
        told = json.loads(body)
        named = [one["digest"] for one in (told["config"], *told["layers"])]
        if any(one not in self.registry.blobs for one in named):
            self._answer(400, b'{"errors": [{"code": "MANIFEST_BLOB_UNKNOWN"}]}')
        else:
            self.registry.manifests[tag] = body
            self._answer(201)

    def __getattr__(self, name: str) -> Any:
        """All methods are answered in one place."""
        if name.startswith("do_"):
            return self._do
        raise AttributeError(name)


@contextmanager
def serving() -> Iterator[Registry]:
    """A registry that answers while this lasts."""
    held = Registry()
    handler = type("Handler", (_Handler,), {"registry": held})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    held.host = f"127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield held
    finally:
        server.shutdown()
        server.server_close()
