"""A real HTTP server that takes webhooks and answers as told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


@dataclass
class Hook:
    """What a webhook got, and what it answers: (status, headers), one after the other."""

    answers: list[tuple[int, dict[str, str]]]
    got: list[dict[str, Any]] = field(default_factory=list)
    url: str = ""


@contextmanager
def hook(*answers: tuple[int, dict[str, str]]) -> Iterator[Hook]:
    one = Hook(list(answers))

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            one.got.append({"path": self.path, "type": self.headers["Content-Type"], "body": body})
            status, headers = one.answers.pop(0)
            self.send_response(status)
            for name, value in {**headers, "Content-Length": "0"}.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Stay silent."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        one.url = f"http://127.0.0.1:{server.server_address[1]}/secret-path"
        yield one
        server.shutdown()
