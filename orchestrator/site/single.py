"""The page of one run: everything in one file, to be sent to somebody or put anywhere."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from urllib.parse import quote

from orchestrator import __version__
from orchestrator.digest import key
from orchestrator.history import FileRow
from orchestrator.records import JSON
from orchestrator.site import faces, pictures, rendering, series

# Raised when this package's code makes other pages of the same reports.
_FORMAT = 1
_SHARED = tuple(one.name for one in fields(FileRow))


def mark(report: Mapping[str, JSON]) -> str:
    """What the first line of a report's page says, so that it is made again only when needed.

    It changes with the report and with everything that decides what the page looks like.
    """
    looks = hashlib.sha256(b"".join(path.read_bytes() for path in rendering.data_files()))
    told = {"report": report, "looks": looks.hexdigest(), "format": _FORMAT}
    return f"<!doctype html><!-- orchestrate {__version__} {key(told)} -->\n"


def report_page(report: Mapping[str, JSON]) -> str:
    """A report (as ``report.as_json`` gives it) as HTML that needs no other file.

    Its first line is :func:`mark`.
    """
    rows = [_row(one) for one in report["files"]]
    colours = {name: number for number, name in enumerate(dict.fromkeys(r.type for r in rows))}
    style, script = rendering.static(rendering.STYLE), rendering.static(rendering.SCRIPT)
    body = rendering.render(
        "report.html.j2",
        {
            "root": "",
            "title": report["name"],
            "inline": {
                "style": style,
                "script": script,
                "style_hash": rendering.script_hash(style),
                "script_hash": rendering.script_hash(script),
            },
            "report": report,
            "face": faces.of(str(report["status"])),
            "rows": rows,
            "links": {row.file: quote(row.file) for row in rows if not series.is_full(row)},
            "quality": list(pictures.quality(rows, colours)),
            "checks": [(one["file"], one["checks"]) for one in report["files"]],
            "pins": sorted(report["pins"].items()),
            "notes": report["notes"],
            "steps": [step for step in report["steps"] if step["calls"]],
        },
    )
    return mark(report) + body


def _row(told: Mapping[str, JSON]) -> FileRow:
    return FileRow(**{name: told[name] for name in _SHARED if name in told})


def is_made(path: Path, report: Mapping[str, JSON]) -> bool:
    """Whether a page of exactly this report is there."""
    first = mark(report).encode("utf-8")
    try:
        with path.open("rb") as file:
            return file.read(len(first)) == first
    except OSError:
        return False
