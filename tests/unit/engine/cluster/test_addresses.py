"""Which clusters are accepted, and which are refused before anything is connected."""

from __future__ import annotations

import importlib.util
from unittest.mock import Mock

import pytest

from orchestrator.base.errors import EnvironmentProblem, UsageError
from orchestrator.engine.cluster import addresses


@pytest.mark.parametrize(
    "cluster",
    [
        "local:4",
        "tcp://127.0.0.1:8786",
        "tcp://localhost:1",
        "tcp://[::1]:8786",
    ],
)
def test_what_stays_here_is_accepted(cluster: str) -> None:
    addresses.check(cluster, trust_network=False)


@pytest.mark.parametrize("cluster", ["tcp://10.0.0.1:8786", "tcp://build-box:8786"])
def test_the_network_is_accepted_only_when_it_is_trusted(cluster: str) -> None:
    with pytest.raises(UsageError, match="beyond this machine and not encrypted"):
        addresses.check(cluster, trust_network=False)
    addresses.check(cluster, trust_network=True)


@pytest.mark.parametrize(
    "cluster",
    [
        *("", "local", "local:0", "local:-1", "build-box:8786", "http://localhost:80"),
        *("tcp://localhost", "tcp://:8786", "tcp://localhost:x", "tcp://localhost:99999"),
        *("tcp://[", "tls://[::1"),
    ],
)
def test_what_is_no_cluster_is_refused(cluster: str) -> None:
    with pytest.raises(UsageError, match="is no cluster"):
        addresses.check(cluster, trust_network=True)


def test_tls_without_certificates_is_refused() -> None:
    with pytest.raises(UsageError, match="names none for a worker"):
        addresses.check("tls://10.0.0.1:8786", trust_network=True, remote=True)


def test_a_worker_needs_an_address() -> None:
    with pytest.raises(UsageError, match="is no cluster"):
        addresses.check("local:2", trust_network=False, remote=True)


def test_without_dask_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", Mock(return_value=None))

    with pytest.raises(EnvironmentProblem, match=r"orchestrate-gguf\[cluster\]"):
        addresses.check("local:2", trust_network=False)


def test_a_worker_listens_on_loopback_when_its_scheduler_does() -> None:
    assert addresses.own_host("tcp://127.0.0.1:8786") == "127.0.0.1"
    assert addresses.own_host("tls://10.0.0.1:8786") is None
