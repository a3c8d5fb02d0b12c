"""The page of one run: everything in one file, to be sent to somebody or put anywhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from urllib.parse import quote

from orchestrator.history import FileRow
from orchestrator.records import JSON
from orchestrator.site import faces, pictures, rendering, series
from orchestrator.site.fresh import mark

_SHARED = tuple(one.name for one in fields(FileRow))


def report_page(report: Mapping[str, JSON]) -> str:
    """A report (as ``report.as_json`` gives it) as HTML that needs no other file.

    Its first line is that of :func:`orchestrator.site.fresh.mark`.
    """
    rows = [_row(one) for one in report["files"]]
    full = series.full_type(rows)
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
            "links": {row.file: quote(row.file, safe="") for row in rows if row.type != full},
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
