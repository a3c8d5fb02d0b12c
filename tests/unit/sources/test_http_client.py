"""Our own HTTP: bounded, as the server stores it, and without secrets in what is said."""

from __future__ import annotations

import gzip
import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

import pytest

from orchestrator.base.errors import (
    EnvironmentProblem,
    Interrupted,
    NetworkProblem,
    OrchestrateError,
    StepError,
)
from orchestrator.base.process import run_process
from orchestrator.sources import http_client

PACKED = gzip.compress(b"words " * 1000, mtime=0)


class _Server(BaseHTTPRequestHandler):
    """Answers by path: /STATUS, or one of the odd ones below."""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0].strip("/")
        if path.isdigit():
            self.send_response(int(path), "\x1b[31mhostile")
            self.send_header("Retry-After", "7")
            self.send_header("Location", "/packed")
            self._end(b"body")
        elif path == "packed":
            self.send_response(200)
            self.send_header("Content-Encoding", "gzip")
            self._end(PACKED)
        elif path == "slow":  # a byte now and then, so that no silence is long
            self.send_response(200)
            self.end_headers()
            for _ in range(200):
                self.wfile.write(b"x")
                if self.server.over.wait(0.05):  # type: ignore[attr-defined]
                    break
        elif path == "cut":
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"half")

    def _end(self, content: bytes) -> None:
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Stay silent."""


@pytest.fixture(scope="module")
def host() -> Iterator[str]:
    """Name and port of a server."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Server) as server:
        server.over = Event()  # type: ignore[attr-defined]
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.over.set()  # type: ignore[attr-defined]
        server.shutdown()


def test_a_compressed_answer_is_kept_as_the_server_stores_it(host: str) -> None:
    with http_client.asked(f"http://{host}/packed") as answer:
        assert (answer.status, answer.length) == (200, len(PACKED))
        assert b"".join(answer.body) == PACKED


@pytest.mark.parametrize(
    ("status", "kind"),
    [(404, StepError), (299, StepError), (503, NetworkProblem), (501, EnvironmentProblem)],
)
def test_a_refusal_is_said_without_the_servers_words_and_our_secrets(
    host: str, status: int, kind: type[OrchestrateError]
) -> None:
    url = f"http://me:pass@{host}/{status}?sig=secret"
    with pytest.raises(kind) as caught, http_client.asked(url) as answer:
        answer.require(200)
    assert caught.value.message.startswith(f"http://{host}/{status} answers {status}")
    assert not {"pass", "secret", "hostile"} & set(caught.value.message.split())
    assert "\x1b" not in caught.value.message
    if isinstance(caught.value, NetworkProblem):
        assert caught.value.wait == 7


def test_a_redirect_is_followed_only_where_it_may(host: str) -> None:
    with http_client.asked(f"http://{host}/302") as answer:
        assert answer.status == 200
    with http_client.asked(f"http://{host}/302", redirects=False) as answer:
        assert answer.status == 302


def test_an_answer_that_is_too_long_is_refused(host: str) -> None:
    with (
        pytest.raises(StepError, match=r"sends more than 10 B"),
        http_client.asked(f"http://{host}/packed", most_bytes=10) as answer,
    ):
        list(answer.body)


@pytest.mark.parametrize(("path", "seconds"), [("packed", -1), ("slow", 0.2)])
def test_an_answer_that_takes_too_long_is_given_up(host: str, path: str, seconds: float) -> None:
    with (
        pytest.raises(NetworkProblem, match="too slowly"),
        http_client.asked(f"http://{host}/{path}", most_seconds=seconds) as answer,
    ):
        list(answer.body)


def test_an_interrupt_ends_a_slow_answer(host: str) -> None:
    with http_client.asked(f"http://{host}/slow") as answer:
        assert next(answer.body) == b"x"
        run_process.stop_all()
        try:
            with pytest.raises(Interrupted):
                list(answer.body)
        finally:
            run_process.resume()


def test_an_answer_that_ends_early_is_the_networks(host: str) -> None:
    with (
        pytest.raises(NetworkProblem, match="cannot be reached"),
        http_client.asked(f"http://{host}/cut") as answer,
    ):
        list(answer.body)


@pytest.mark.parametrize("url", ["http://", "http://[x", "http://a b/", "ftp://host/x", "x", ""])
def test_what_is_no_address_is_said(url: str) -> None:
    with pytest.raises(StepError, match="cannot be used"), http_client.asked(url):
        pass


def test_nobody_there_names_no_secret() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{taken.getsockname()[1]}"
        url = f"http://me:pass@{host}/x?sig=secret"
        with pytest.raises(NetworkProblem) as caught, http_client.asked(url):
            pass
        assert caught.value.message == f"http://{host}/x cannot be reached (ConnectionError)"
        assert http_client.unreachable(url)


def test_a_host_that_takes_connections_is_reachable(host: str) -> None:
    assert http_client.unreachable(f"http://{host}/") == ""
    assert http_client.unreachable("http://127.0.0.1:99999/")
