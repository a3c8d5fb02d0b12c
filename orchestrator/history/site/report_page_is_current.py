"""Whether a report's page is there already; light, for a run that finds all up to date."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from orchestrator import __version__
from orchestrator.base.digest import key
from orchestrator.base.step_values import JSON

HERE = Path(__file__).parent
# Raised when this package's code makes other pages of the same reports.
_FORMAT = 1


def data_files() -> list[Path]:
    """Every file that decides what pages look like, but for the program itself."""
    return sorted([*(HERE / "templates").glob("*.j2"), *(HERE / "static").iterdir()])


def mark(report: Mapping[str, JSON]) -> str:
    """What the first line of a report's page says, so that it is made again only when needed.

    It changes with the report and with everything that decides what the page looks like.
    """
    told = {"report": report, "looks": _looks(), "format": _FORMAT}
    return f"<!doctype html><!-- orchestrate {__version__} {key(told)} -->\n"


@cache
def _looks() -> str:
    return hashlib.sha256(b"".join(path.read_bytes() for path in data_files())).hexdigest()


def is_made(path: Path, report: Mapping[str, JSON]) -> bool:
    """Whether a page of exactly this report is there."""
    first = mark(report).encode("utf-8")
    try:
        with path.open("rb") as file:
            return file.read(len(first)) == first
    except OSError:
        return False
