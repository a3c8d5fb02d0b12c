"""How a run gives up what is no scheduler."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.base.errors import Interrupted, NetworkProblem
from orchestrator.engine.artifact_store import Store
from orchestrator.engine.cluster import connect
from orchestrator.sources import attended_stream


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
