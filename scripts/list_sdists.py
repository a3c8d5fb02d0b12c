"""Write vendor/llama.cpp/sdists.txt: which version of llama-cpp-python holds which llama.cpp.

    python scripts/list_sdists.py [VERSION ...]

Without versions, those that the package index has and the table lacks. Of each sdist only the
beginning is fetched: the git folder of llama.cpp comes first in it, and HEAD first in that. The
first sdists with a git folder are those of 0.2.20 (November 2023).
"""

from __future__ import annotations

import re
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import requests
from pypi_simple import DistributionPackage, PyPISimple

from orchestrator.sources import pypi

PACKAGE, FIRST = "llama-cpp-python", (0, 2, 20)
MOST_BYTES = 4 << 20
HEAD = ".git/modules/vendor/llama.cpp/HEAD"
TABLE = Path(__file__).parents[1] / "vendor" / "llama.cpp" / "sdists.txt"
TITLE = "# Written by scripts/list_sdists.py: version, commit of llama.cpp, SHA-256 of the sdist.\n"


def number(version: str) -> tuple[int, ...]:
    """A version as numbers."""
    return tuple(int(part) for part in re.findall(r"\d+", version))


def released() -> Iterator[DistributionPackage]:
    """The sdists that may hold a git folder."""
    with PyPISimple(pypi.effective_index()) as client:
        for one in client.get_project_page(PACKAGE, timeout=60).packages:
            if one.package_type == "sdist" and number(one.version or "0") >= FIRST:
                yield one


def commit(url: str) -> str:
    """The commit in an sdist, or an empty string where it holds none."""
    with requests.get(url, stream=True, timeout=60) as answer:
        answer.raise_for_status()
        with tarfile.open(fileobj=answer.raw, mode="r|gz") as tar:
            for member in tar:
                inside = member.name.partition("/")[2]
                if inside == HEAD:
                    stream = tar.extractfile(member)
                    return stream.read().decode().strip() if stream else ""
                if member.offset > MOST_BYTES:
                    return ""
    return ""


def main() -> None:
    """Add what is missing, the newest first."""
    lines = TABLE.read_text("utf-8").splitlines() if TABLE.exists() else []
    rows = {line.split()[0]: line for line in lines if line and not line.startswith("#")}
    for one in released():
        version = one.version or ""
        wanted = version in sys.argv[1:] if sys.argv[1:] else version not in rows
        found = commit(one.url) if wanted else ""
        if re.fullmatch("[0-9a-f]{40}", found):
            rows[version] = f"{version} {found} {one.digests['sha256']}"
            print(rows[version], flush=True)
        elif wanted:
            print(f"{version}: no commit ({found[:60]!r})", file=sys.stderr)
    newest = sorted(rows, key=number, reverse=True)
    TABLE.write_text(TITLE + "".join(f"{rows[version]}\n" for version in newest), "utf-8")


if __name__ == "__main__":
    main()
