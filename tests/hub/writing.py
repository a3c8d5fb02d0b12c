"""The requests that write: create, preupload, the protocol of Git LFS, commit.

As huggingface_hub speaks them (``_commit_api.py``, ``lfs.py``) and as its documentation says
the Hub answers; https://github.com/git-lfs/git-lfs/blob/main/docs/api/batch.md for the batch.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from tests.hub.content import as_json
from tests.hub.reading import Reading
from tests.hub.written import ConflictError, MissingObjectError, Written, complaints

_CHUNK = 1 << 16


class Handler(Reading):
    """Reads and writes."""

    @property
    def written(self) -> Written:
        return self.hub.written

    def do_POST(self) -> None:  # noqa: N802 - http.server's name
        path = unquote(urlsplit(self.path).path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        routes: tuple[tuple[str, str, Callable[..., None]], ...] = (
            (r"/api/repos/create", "create", self._create),
            (r"/api/validate-yaml", "validate", self._validate),
            (r"/api/models/([^/]+/[^/]+)/preupload/[^/]+", "preupload", self._preupload),
            (r"/api/models/([^/]+/[^/]+)/commit/main", "commit", self._commit),
            (r"/([^/]+/[^/]+)\.git/info/lfs/objects/batch", "batch", self._batch),
            (r"/([^/]+/[^/]+)\.git/info/lfs/objects/verify", "verify", self._verify),
            (r"/storage/lfs/([0-9a-f]{64})/complete", "complete", self._complete),
        )
        for pattern, target, answer in routes:
            if found := re.fullmatch(pattern, path):
                self._begin(target, "hub")
                self._request.received = len(body)
                if self._may_write(target) and not self._faulty(target):
                    answer(*found.groups(), body)
                return
        self._begin(path, "hub")
        self._refuse(404, "")

    def _may_write(self, target: str) -> bool:
        if target == "validate" or self.written.root is None:
            return True
        if target == "complete":
            return True  # the address itself is signed
        token = self._request.token
        if token not in self.written.writers:
            message = "Invalid credentials in Authorization header" if token else "refused"
            self._answer(as_json({"error": message}), 401, {"X-Error-Message": message})
            return False
        return True

    # -- the API -----------------------------------------------------------------------------

    def _create(self, body: bytes) -> None:
        told = json.loads(body)
        owner = told.get("organization") or "me"
        name = f"{owner}/{told['name']}"
        if owner not in self.written.accounts:
            self._answer(as_json({"error": "no rights"}), 403, {"X-Error-Message": "no rights"})
            return
        made = self.written.create(name, told.get("visibility") == "private")
        url = {"url": f"{self.hub.url}/{name}"}
        self._answer(as_json(url), 200 if made else HTTPStatus.CONFLICT)

    def _validate(self, body: bytes) -> None:
        wrong = complaints(json.loads(body)["content"])
        told = {"errors": [{"message": one} for one in wrong], "warnings": []}
        self._answer(as_json(told), 400 if wrong else 200)

    def _preupload(self, name: str, body: bytes) -> None:
        if name not in self.hub.repos["models"]:
            self._refuse(404, "RepoNotFound")
            return
        repo = self.hub.repos["models"][name]
        files = []
        for one in json.loads(body)["files"]:
            mode = self.written.mode(one["path"], one["size"])
            told = {"path": one["path"], "uploadMode": mode, "shouldIgnore": False}
            if repo.file(one["path"]) is not None:
                told["oid"] = repo.etag(one["path"])
            files.append(told)
        self._answer(as_json({"files": files}))

    def _commit(self, name: str, body: bytes) -> None:
        lost = self.hub.take_fault("commit", "POST", {"lost"})
        lines = [json.loads(line) for line in body.splitlines()]
        of = {kind: [one["value"] for one in lines if one["key"] == kind] for kind in _KINDS}
        files = {one["path"]: base64.b64decode(one["content"]) for one in of["file"]}
        large = {one["path"]: str(one["oid"]) for one in of["lfsFile"]}
        gone = [str(one["path"]) for one in of["deletedFile"]]
        try:
            oid = self.written.commit(name, of["header"][0], files, large, gone)
        except ConflictError:
            self._answer(as_json({"error": "A commit has happened since."}), 412)
            return
        except MissingObjectError:
            self._answer(as_json({"error": "an object is missing"}), 400)
            return
        url = f"{self.hub.url}/{name}/commit/{oid}"
        answer = as_json({"success": True, "commitOid": oid, "commitUrl": url})
        self._answer(answer, lost.status if lost else 200)

    # -- Git LFS -----------------------------------------------------------------------------

    def _batch(self, name: str, body: bytes) -> None:
        told = json.loads(body)
        objects = [self._object(name, one) for one in told["objects"]]
        self._answer(as_json({"transfer": "basic", "objects": objects}))

    def _object(self, name: str, one: dict[str, Any]) -> dict[str, Any]:
        oid, size = str(one["oid"]), int(one["size"])
        known = {"oid": oid, "size": size}
        if self.written.stored(oid, size):
            return known
        place = f"{self.hub.storage}/storage/lfs/{oid}"
        upload: dict[str, Any] = {"href": place}
        step = self.written.part_size
        if step and size > step:
            parts = {str(n + 1): f"{place}/{n + 1}" for n in range(-(-size // step))}
            upload = {"href": f"{place}/complete", "header": {"chunk_size": str(step), **parts}}
        verify = {"href": f"{self.hub.url}/{name}.git/info/lfs/objects/verify"}
        return {**known, "actions": {"upload": upload, "verify": verify}}

    def _verify(self, _name: str, body: bytes) -> None:
        told = json.loads(body)
        there = self.written.stored(told["oid"], told["size"])
        self._answer(b"{}", 200 if there else 404)

    def do_PUT(self) -> None:  # noqa: N802 - http.server's name
        path = unquote(urlsplit(self.path).path)
        found = re.fullmatch(r"/storage/lfs/([0-9a-f]{64})(?:/(\d+))?", path)
        if found is None:
            self._begin(path, "storage")
            self._refuse(404, "")
            return
        self._begin(found[1], "storage")
        if self._faulty(found[1]):
            self.close_connection = True  # the body was not read
            return
        part = self.written.objects / f"{found[1]}.{found[2] or 'part'}.{id(self):x}"
        if not self._received(found[1], part):
            part.unlink()
            return
        if found[2]:
            part.replace(self.written.objects / f"{found[1]}.{found[2]}")
            self._answer(b"", 200, {"ETag": f'"{found[2]}"'})
        else:
            self._answer(b"", 200 if self.written.keep(found[1], part) else 400)

    def _received(self, oid: str, part: Path) -> bool:
        """Read a body into a file; False when the connection is to be, or was, cut before."""
        fault = self.hub.take_fault(oid, "PUT", {"drop", "stall"})
        left = int(self.headers["Content-Length"])
        with part.open("wb") as stream:
            while left:
                if fault and self._request.received >= fault.after:
                    if fault.kind == "stall":
                        self.hub.closing.wait()
                    self.close_connection = True
                    return False
                chunk = self.rfile.read1(min(_CHUNK, left))
                if not chunk:
                    self.close_connection = True
                    return False
                stream.write(chunk)
                self._request.received += len(chunk)
                left -= len(chunk)
        return True

    def _complete(self, oid: str, body: bytes) -> None:
        whole = self.written.objects / f"{oid}.whole"
        with whole.open("wb") as stream:
            for one in json.loads(body)["parts"]:
                part = self.written.objects / f"{oid}.{one['partNumber']}"
                stream.write(part.read_bytes())
                part.unlink()
        self._answer(b"{}", 200 if self.written.keep(oid, whole) else 400)


_KINDS = ("header", "file", "lfsFile", "deletedFile")
