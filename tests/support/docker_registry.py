"""Debian's docker-registry, the program that most registries are, on a port of this machine."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

PROGRAM = shutil.which("docker-registry")
_PATIENCE = 30.0


class Docker:
    """A registry that runs; asked as any client asks one."""

    def __init__(self, host: str) -> None:
        self.host = host

    def manifest(self, name: str, tag: str) -> dict[str, Any]:
        accept = {"Accept": "application/vnd.oci.image.manifest.v1+json"}
        answer = requests.get(
            f"http://{self.host}/v2/{name}/manifests/{tag}", headers=accept, timeout=9
        )
        answer.raise_for_status()
        return dict(json.loads(answer.content))

    def tags(self, name: str) -> set[str]:
        answer = requests.get(f"http://{self.host}/v2/{name}/tags/list", timeout=9)
        return set(answer.json()["tags"])

    def blob(self, name: str, digest: str) -> bytes:
        answer = requests.get(f"http://{self.host}/v2/{name}/blobs/{digest}", timeout=9)
        answer.raise_for_status()
        return answer.content


@contextmanager
def running(folder: Path) -> Iterator[Docker]:
    """Start it over a folder; it is stopped at the end."""
    assert PROGRAM is not None
    with socket.create_server(("127.0.0.1", 0)) as free:
        host = f"127.0.0.1:{free.getsockname()[1]}"
    settings = {
        "version": 0.1,
        "log": {"level": "error"},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
        "http": {"addr": host},
    }
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "config.yml"
    file.write_text(json.dumps(settings))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([PROGRAM, "serve", str(file)], stdout=log, stderr=log)
        try:
            _await(host, process)
            yield Docker(host)
        finally:
            process.kill()
            process.wait()


def _await(host: str, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + _PATIENCE
    name, port = host.split(":")
    while True:
        try:
            socket.create_connection((name, int(port)), 1).close()
        except OSError:
            assert process.poll() is None, "docker-registry ended"
            assert time.monotonic() < end, "docker-registry does not answer"
            time.sleep(0.05)
        else:
            return
