"""Unit tests reach nothing beyond this machine, and leave nothing in its home.

An attempt to reach another host fails the test even where the code under test catches
exceptions: it is remembered and reported at the end.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.base import interruptible_sleep

_HOMES = {
    "HOME": "home",
    "USERPROFILE": "home",
    "XDG_CACHE_HOME": "home/.cache",
    "XDG_CONFIG_HOME": "home/.config",
    "XDG_DATA_HOME": "home/.local/share",
    "ORCHESTRATE_HOME": "orchestrate",
    "HF_HOME": "huggingface",
}
_FIXED = {
    "HF_HUB_DISABLE_XET": "1",  # read when huggingface_hub is first imported, in some test
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "GIT_ALLOW_PROTOCOL": "file",
    "GIT_CONFIG_NOSYSTEM": "1",
    "PIP_NO_INDEX": "1",
}
_UNSET = ("HF_ENDPOINT", "HF_TOKEN", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "HUGGING_FACE_HUB_TOKEN")


class NetworkEscapeError(AssertionError):
    """A test tried to reach another machine."""


@pytest.fixture(autouse=True)
def _temporary_homes(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path_factory.mktemp("homes")
    for name, folder in _HOMES.items():
        (root / folder).mkdir(parents=True, exist_ok=True)
        monkeypatch.setenv(name, str(root / folder))
    for name, value in _FIXED.items():
        monkeypatch.setenv(name, value)
    proxies = [name for name in os.environ if name.lower().endswith("_proxy")]
    for name in (*_UNSET, *proxies):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    escapes: list[str] = []

    def guard(host: object) -> None:
        if not _is_local(host):
            escapes.append(str(host))
            raise NetworkEscapeError(f"a unit test tried to reach {host}")

    _guard_sockets(monkeypatch, guard)
    yield
    if escapes:
        pytest.fail(f"tried to reach {', '.join(sorted(set(escapes)))}")


def _guard_sockets(monkeypatch: pytest.MonkeyPatch, guard: Callable[[object], None]) -> None:
    connect, connect_ex = socket.socket.connect, socket.socket.connect_ex
    getaddrinfo = socket.getaddrinfo

    def guarded(real: Callable[[socket.socket, Any], Any]) -> Callable[[socket.socket, Any], Any]:
        def call(self: socket.socket, address: Any) -> Any:
            if self.family in (socket.AF_INET, socket.AF_INET6):
                guard(address[0])
            return real(self, address)

        return call

    def lookup(host: Any, *rest: Any, **options: Any) -> Any:
        guard(host)
        return getaddrinfo(host, *rest, **options)

    monkeypatch.setattr(socket.socket, "connect", guarded(connect))
    monkeypatch.setattr(socket.socket, "connect_ex", guarded(connect_ex))
    monkeypatch.setattr(socket, "getaddrinfo", lookup)


def _is_local(host: object) -> bool:
    if isinstance(host, bytes):
        host = host.decode("ascii", "replace")
    if host is None or host in ("", "localhost"):
        return True
    try:
        return ipaddress.ip_address(str(host)).is_loopback
    except ValueError:
        return False


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty Hub cache that the environment names."""
    cache = tmp_path / "hub-cache"
    monkeypatch.setenv("HF_HUB_CACHE", str(cache))
    return cache


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that were asked for; none is taken."""
    taken: list[float] = []
    monkeypatch.setattr(time, "sleep", taken.append)
    monkeypatch.setattr(interruptible_sleep, "sleep", taken.append)
    return taken
