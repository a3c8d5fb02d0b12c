"""The requests that read: the API, files, and the storage behind them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import TYPE_CHECKING, cast
from urllib.parse import parse_qs, unquote, urlsplit

from tests.hub.content import Repo, as_json
from tests.hub.records import Fault, Request

if TYPE_CHECKING:
    from tests.hub.server import Hub, Server

API = "api"  # the fault target that stands for all requests of the API
_CHUNK = 1 << 16


class Reading(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each answer waits 40 ms for the client's ACK

    _request: Request

    @property
    def hub(self) -> Hub:
        return cast("Server", self.server).hub

    def log_message(self, format: str, *args: object) -> None:
        """Stay silent; ``Hub.requests`` is the log."""

    def do_HEAD(self) -> None:
        self._route()

    def do_GET(self) -> None:
        self._route()

    def _route(self) -> None:
        url = urlsplit(self.path)
        path = unquote(url.path)
        if found := re.fullmatch(r"/api/(models|datasets)/([^/]+/[^/]+)(?:/(.+))?", path):
            self._begin(API, "hub")
            blobs = "blobs" in parse_qs(url.query)
            self._api(found[1], found[2], found[3] or "revision/main", blobs)
        elif found := re.fullmatch(
            r"/(storage/)?(datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path
        ):
            self._begin(found[5], "storage" if found[1] else "hub")
            self._resolve((found[2] or "models/")[:-1], found[3], found[4], found[5])
        else:
            self._begin(path, "hub")
            self._refuse(404, "")

    def _begin(self, target: str, origin: str) -> None:
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        asked = self.headers.get("Range") or ""
        self._request = Request(self.command, target, origin, asked, token)
        self.hub.log(self._request)

    def _api(self, kind: str, name: str, rest: str, blobs: bool) -> None:
        if self._faulty(API):
            return
        what, _, revision = rest.partition("/")
        if what not in ("tree", "revision", "commits"):
            self._refuse(404, "")
            return
        repo = self._allowed(kind, name, revision)
        if repo is None:
            return
        if what == "tree":
            self._answer(as_json(repo.tree()))
        elif what == "commits":
            self._answer(as_json(repo.commits()))
        else:
            self._answer(as_json(repo.info(name, blobs)))

    def _allowed(self, kind: str, name: str, revision: str) -> Repo | None:
        """The repository, or None when the refusal has been sent; codes are the real Hub's."""
        token = self._request.token
        repo = self.hub.repos[kind].get(name)
        if repo is None or (repo.private and token not in repo.granted):
            self._refuse(404 if token else 401, "RepoNotFound")
        elif not repo.knows(revision):
            self._refuse(404, "RevisionNotFound")
        else:
            return repo.at(revision)
        return None

    def _resolve(self, kind: str, name: str, revision: str, path: str) -> None:
        if self._request.origin == "storage":
            repo = self.hub.repos[kind][name]
            self._body(repo, path)
            return
        if self._faulty(path):
            return
        found = self._allowed(kind, name, revision)
        if found is None:
            return
        if found.gated and self._request.token not in found.granted:
            self._refuse(403 if self._request.token else 401, "GatedRepo")
        elif found.file(path) is None:
            self._refuse(404, "EntryNotFound")
        elif found.is_lfs(path):
            self._redirect(found, path)
        else:
            self._body(found, path)

    def _redirect(self, repo: Repo, path: str) -> None:
        size = (repo.folder / path).stat().st_size
        self._head(
            302,
            {
                "Location": f"{self.hub.storage}/storage{self.path}",
                "ETag": f'"{repo.blob_id(path)}"',
                "X-Repo-Commit": repo.revision,
                "X-Linked-Etag": f'"{repo.etag(path)}"',
                "X-Linked-Size": str(size),
                "Content-Length": "0",
            },
        )

    def _body(self, repo: Repo, path: str) -> None:
        file = repo.folder / path
        size = file.stat().st_size
        first, last = self._wanted_range(path, size)
        if first >= size > 0:
            self._head(416, {"Content-Range": f"bytes */{size}", "Content-Length": "0"})
            return
        headers = {
            "ETag": f'"{repo.etag(path)}"',
            "X-Repo-Commit": repo.revision,
            "Accept-Ranges": "bytes",
            "Content-Length": str(last - first),
        }
        if (first, last) != (0, size):
            headers["Content-Range"] = f"bytes {first}-{last - 1}/{size}"
        self._head(206 if "Content-Range" in headers else 200, headers)
        if self.command == "GET":
            self._send(file, path, first, last)

    def _wanted_range(self, path: str, size: int) -> tuple[int, int]:
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", self._request.range)
        if not found or self.hub.take_fault(path, self.command, {"ignore-range"}):
            return 0, size
        last = int(found[2]) + 1 if found[2] else size
        return int(found[1]), min(last, size)

    def _send(self, file: Path, path: str, first: int, last: int) -> None:
        fault = self.hub.take_fault(path, "GET", {"drop", "corrupt", "stall"})
        short = fault is not None and fault.kind in ("drop", "stall")
        stop = min(last, first + fault.after) if fault and short else last
        with file.open("rb") as stream:
            stream.seek(first)
            position = first
            while position < stop:
                chunk = bytearray(stream.read(min(_CHUNK, stop - position)))
                if fault and fault.kind == "corrupt" and 0 <= fault.at - position < len(chunk):
                    chunk[fault.at - position] ^= 0xFF
                self.wfile.write(chunk)
                self._request.sent += len(chunk)
                position += len(chunk)
        if fault and fault.kind == "stall":
            self.hub.closing.wait()
        if stop < last:
            self.close_connection = True

    def _faulty(self, target: str) -> bool:
        fault = self.hub.take_fault(target, self.command, {"status", "endless", "endless-head"})
        if fault is None:
            return False
        code = {"X-Error-Code": fault.code} if fault.code else {}
        if fault.kind == "status":
            self.close_connection = True  # it may have said another length than it sends
            self._answer(fault.body, fault.status, {**code, **fault.headers})
        else:
            self._go_on(fault)
        return True

    def _go_on(self, fault: Fault) -> None:
        """Send until nobody listens any more."""
        self.close_connection = True
        if fault.kind == "endless":
            self._head(fault.status, {"Connection": "close", **fault.headers})
        else:
            self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
        while not self.hub.closing.wait(fault.pause):
            self.wfile.write(fault.body)
            self._request.sent += len(fault.body)

    def _refuse(self, status: int, code: str) -> None:
        headers = {"X-Error-Code": code, "X-Error-Message": "refused"} if code else {}
        self._answer(as_json({"error": "refused"}), status, headers)

    def _answer(
        self, body: bytes, status: int = 200, extra: Mapping[str, str] | None = None
    ) -> None:
        length = {"Content-Length": str(len(body)), "Content-Type": "application/json"}
        self._head(status, {**length, **(extra or {})})
        if self.command != "HEAD":
            self.wfile.write(body)
            self._request.sent += len(body)

    def _head(self, status: int, headers: Mapping[str, str]) -> None:
        self._request.status = status
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
