"""The page of one run: everything in one file, to be sent to somebody or put anywhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from urllib.parse import quote

from orchestrator.base.step_values import JSON
from orchestrator.history import FileRow, run_states
from orchestrator.history.site import charts, render_template, time_series
from orchestrator.measures import number_tables, timing

_TEMPLATE = "report.html.j2"
_SHARED = tuple(one.name for one in fields(FileRow) if one.name != "numbers")


def report_page(report: Mapping[str, JSON]) -> str:
    """A report (as ``report.as_json`` gives it) as HTML that needs no other file."""
    rows = [_row(one) for one in report["files"]]
    full = time_series.full_type(rows)
    colours = {name: number for number, name in enumerate(dict.fromkeys(r.type for r in rows))}
    style, script = (
        render_template.static(render_template.STYLE),
        render_template.static(render_template.SCRIPT),
    )
    return render_template.render(
        _TEMPLATE,
        {
            "root": "",
            "title": report["name"],
            "inline": {
                "style": style,
                "script": script,
                "style_hash": render_template.script_hash(style),
                "script_hash": render_template.script_hash(script),
            },
            "report": report,
            "state": run_states.of(str(report["status"])),
            "rows": rows,
            "table": number_tables.table(rows, "site", full or "F16"),
            "timing": timing.line({one["type"]: one.get("taken", {}) for one in report["files"]}),
            "links": {row.file: quote(row.file, safe="") for row in rows if row.type != full},
            "quality": list(charts.quality(rows, colours)),
            "checks": [(one["file"], one["checks"]) for one in report["files"]],
            "pins": sorted(report["pins"].items()),
            "notes": report["notes"],
            "warnings": report.get("warnings", ()),
            "source": report.get("source"),
            "steps": [step for step in report["steps"] if step["calls"]],
        },
    )


def make_ready() -> None:
    """Compile the page's template."""
    render_template.template(_TEMPLATE)


def _row(told: Mapping[str, JSON]) -> FileRow:
    shared = {name: told[name] for name in _SHARED if name in told}
    return FileRow(**shared, numbers=told["measures"])
