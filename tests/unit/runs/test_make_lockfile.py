"""Locks pin packages: what was installed, with the digests that an index states."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from orchestrator.planning import lockfile
from orchestrator.runs import load_and_plan, use_lockfile, write_lockfiles
from tests.support.lockfiles import install, locked, planned, recipe_in, refusal, session_in


def test_without_the_environment_only_stated_packages_are_pinned_and_that_is_said(
    tmp_path: Path,
) -> None:
    path, said = recipe_in(tmp_path), list[str]()
    write_lockfiles.write_locks(load_and_plan.load([path]), session_in(tmp_path), said.append)
    found = use_lockfile.read(lockfile.path_of(path))
    assert found is not None
    assert found.python is not None
    assert not found.python.complete
    assert "torch" in found.python.packages
    assert any("is not made yet" in text for text in said)


def test_all_installed_packages_are_pinned_and_installed_again(tmp_path: Path) -> None:
    path, session = recipe_in(tmp_path), session_in(tmp_path)
    install(session.store, "torch==2.13.0+cpu", "Jinja2==3.1.6", "Foo.Bar__baz==1")
    found = locked(path, tmp_path)
    assert found.python is not None
    assert found.python.complete
    assert {n: p.version for n, p in found.python.packages.items()} == {
        "torch": "2.13.0+cpu",
        "jinja2": "3.1.6",
        "foo-bar-baz": "1",
    }
    [step] = [one for one in planned(path, session).steps if one.kind == "environment"]
    assert step.context["constraints"] == ["foo-bar-baz==1", "jinja2==3.1.6", "torch==2.13.0"]


def test_an_environment_with_other_packages_is_refused(tmp_path: Path) -> None:
    path, session = recipe_in(tmp_path), session_in(tmp_path)
    install(session.store, "torch==2.13.0+cpu", "jinja2==3.1.6")
    locked(path, tmp_path)
    install(session.store, "torch==2.13.0", "jinja2==3.1.7")
    message = refusal(path, tmp_path)
    assert "the package jinja2 is 3.1.7, not 3.1.6" in message
    assert "torch" not in message


class _Index(BaseHTTPRequestHandler):
    """A simple index that knows two releases of one package."""

    def do_GET(self) -> None:
        if not self.path.rstrip("/").endswith("numpy"):
            self.send_error(404)
            return
        files = [
            {
                "filename": f"numpy-{version}{suffix}",
                "url": f"numpy-{version}{suffix}",
                "hashes": {"sha256": hashlib.sha256((version + suffix).encode()).hexdigest()},
                "size": 7,
            }
            for version in ("2.2.5", "2.2.6")
            for suffix in (".tar.gz", "-cp311-cp311-manylinux2014_x86_64.whl")
        ]
        page = {"meta": {"api-version": "1.1"}, "name": "numpy", "files": files}
        body = json.dumps({**page, "versions": ["2.2.5", "2.2.6"]}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/vnd.pypi.simple.v1+json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), _Index)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}/simple"
    monkeypatch.setenv("PIP_INDEX_URL", url)
    yield url
    server.shutdown()
    server.server_close()
    thread.join()


def test_packages_have_the_digests_of_every_file_of_their_release(
    index: str, tmp_path: Path
) -> None:
    path = recipe_in(tmp_path)
    found = locked(path, tmp_path, offline=False)
    assert found.python is not None
    numpy = found.python.packages["numpy"]
    wanted = ["2.2.6.tar.gz", "2.2.6-cp311-cp311-manylinux2014_x86_64.whl"]
    digests = {hashlib.sha256(text.encode()).hexdigest() for text in wanted}
    assert (numpy.version, set(numpy.sha256)) == ("2.2.6", digests)
    assert found.python.packages["torch"].sha256 == ()  # this index lacks it


def test_an_index_out_of_reach_costs_the_digests_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    path, said = recipe_in(tmp_path), list[str]()
    session = session_in(tmp_path, offline=False)
    write_lockfiles.write_locks(load_and_plan.load([path]), session, said.append)
    assert any("without digests: the package index cannot be reached" in text for text in said)
    assert use_lockfile.read(lockfile.path_of(path)) is not None
