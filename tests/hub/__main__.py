"""Serve folders as repositories by hand, until Ctrl-C."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from tests.hub import Hub, Repo


def main(arguments: list[str]) -> None:
    repos = {}
    for argument in arguments:
        name, _, place = argument.partition("=")
        folder, _, commit = place.partition("@")
        repos[name] = Repo(Path(folder), commit or "0" * 40)
    with Hub(repos) as hub:
        print(f"HF_ENDPOINT={hub.url}", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main(sys.argv[1:])
