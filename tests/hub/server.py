"""An HTTP server that behaves like the Hub, well or badly, towards huggingface_hub.

    with Hub({"org/name": Repo(folder, "0" * 40)}) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        hub.fault("model.safetensors", Fault("drop", after=1000))

LFS files are answered by a redirect to another origin, as the Hub does with its storage, so a
client that would leak its token there shows up in the log. With ``writable`` it takes uploads
too. Run as a program to serve folders by hand: ``python -m tests.hub ORG/NAME=FOLDER ...``.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping
from http.server import ThreadingHTTPServer
from pathlib import Path
from types import TracebackType

from tests.hub.content import Repo
from tests.hub.records import Fault, Request
from tests.hub.writing import Handler
from tests.hub.written import Written


class Hub:
    """Serves ``repos`` (models) and ``datasets`` on 127.0.0.1 between enter and exit.

    With ``writable``, an empty folder, repositories can be made and written to with the tokens
    in ``written.writers``.
    """

    def __init__(
        self,
        repos: Mapping[str, Repo],
        datasets: Mapping[str, Repo] | None = None,
        writable: Path | None = None,
    ) -> None:
        self.repos = {"models": dict(repos), "datasets": dict(datasets or {})}
        self.requests: list[Request] = []
        self.closing = threading.Event()
        self.written = Written(self.repos["models"], writable)
        self._faults: list[tuple[str, Fault]] = []
        self._lock = threading.Lock()
        self._server = Server(("127.0.0.1", 0), Handler)
        self._server.hub = self
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.01,), daemon=True
        )

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """What HF_ENDPOINT must be."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def storage(self) -> str:
        """The same server under another origin."""
        return f"http://localhost:{self.port}"

    def __enter__(self) -> Hub:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def fault(self, target: str, fault: Fault) -> None:
        """Let the next requests for a file's path, or for "api", go wrong."""
        with self._lock:
            self._faults.append((target, fault))

    def forgive(self) -> None:
        """Let nothing go wrong from now on."""
        with self._lock:
            self._faults.clear()

    def take_fault(self, target: str, method: str, kinds: set[str]) -> Fault | None:
        with self._lock:
            for name, fault in self._faults:
                fits = name == target and fault.kind in kinds and fault.times > 0
                if fits and fault.method in (method, "*"):
                    fault.times -= 1
                    return fault
        return None

    def log(self, request: Request) -> None:
        with self._lock:
            self.requests.append(request)

    def asked(self, target: str, method: str = "GET") -> list[Request]:
        """The requests for a file's path (or "api") that were not mere redirects."""
        return [
            r
            for r in self.requests
            if r.target == target and r.method == method and r.status != 302
        ]

    def served(self, target: str) -> int:
        """Body bytes sent for a file in all."""
        return sum(r.sent for r in self.requests if r.target == target)

    def targets(self) -> set[str]:
        """Everything that was asked for."""
        return {request.target for request in self.requests}


class Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    hub: Hub

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up (after a header, say) is no news; anything else is."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]
