"""Serve folders as repositories by hand, until Ctrl-C.

    python -m tests.hub [--writable FOLDER] ORG/NAME=FOLDER[@COMMIT] ...

With --writable repositories of org and me can be made and written to with HF_TOKEN=hf_writer;
their files lie in FOLDER afterwards.
"""

from __future__ import annotations

import argparse
import sys
import threading
from pathlib import Path

from tests.hub import Hub, Repo
from tests.hub.written import TOKEN


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--writable", type=Path)
    parser.add_argument("repos", nargs="*")
    given = parser.parse_args(arguments)
    repos = {}
    for argument in given.repos:
        name, _, place = argument.partition("=")
        folder, _, commit = place.partition("@")
        repos[name] = Repo(Path(folder), commit or "0" * 40)
    with Hub(repos, writable=given.writable) as hub:
        token = f" HF_TOKEN={TOKEN}" if given.writable else ""
        print(f"HF_ENDPOINT={hub.url}{token}", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main(sys.argv[1:])
