"""How a run gives up what is no scheduler."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import Mock

import distributed
import pytest

from orchestrator.base.errors import Interrupted, NetworkProblem
from orchestrator.engine.artifact_store import Store
from orchestrator.engine.cluster import connect
from orchestrator.sources import attended_stream
from tests.support.cluster_trials import free_port


@pytest.fixture
def other_server() -> Iterator[str]:
    """The address of a server that answers as one of the Web and closes."""

    def answer() -> None:
        while True:
            try:
                connection = listening.accept()[0]
            except OSError:
                return
            with connection:
                connection.recv(100)
                connection.sendall(b"HTTP/1.0 400 Bad request syntax\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield f"tcp://127.0.0.1:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_another_server_is_given_up(
    other_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connect, "_CONNECT_SECONDS", 1)

    with (
        pytest.raises(NetworkProblem, match=f"no scheduler at {other_server}"),
        connect.connected(other_server, Store(tmp_path, print)),
    ):
        pass


def test_an_interrupt_ends_the_wait_for_a_scheduler(
    other_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted() -> None:
        raise Interrupted("interrupted")

    monkeypatch.setattr(attended_stream.Attended.take, "__defaults__", (interrupted,))

    with (
        pytest.raises(Interrupted),
        connect.connected(other_server, Store(tmp_path, print)),
    ):
        pass


def test_a_port_where_nobody_listens_is_given_up_without_dask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connect, "_REFUSED_SECONDS", 0)
    monkeypatch.setattr(distributed, "Client", Mock(side_effect=AssertionError))

    with (
        pytest.raises(NetworkProblem, match="no scheduler at tcp:"),
        connect.connected(f"tcp://127.0.0.1:{free_port()}", Store(tmp_path, print)),
    ):
        pass


def test_a_scheduler_that_is_about_to_listen_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[object] = []

    def create(where: object, _seconds: float) -> socket.socket:
        tried.append(where)
        if len(tried) < 3:
            raise ConnectionRefusedError
        return socket.socket()

    monkeypatch.setattr(connect, "_TICK_SECONDS", 0)
    monkeypatch.setattr(socket, "create_connection", create)
    connect._expect_listener("tls://[::1]:8786")

    assert tried == [("::1", 8786)] * 3
