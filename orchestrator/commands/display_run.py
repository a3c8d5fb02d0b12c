"""Results as tables and sentences for people, or JSON for programs; pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.runs import report
from orchestrator.toolchain import load
from orchestrator.base import units
from orchestrator.base.errors import UsageError
from orchestrator.base.step_values import (JSON, Status, StepResult)
from orchestrator.engine.artifact_store import (Artifact, Store)
from orchestrator.base.text_table import table

if TYPE_CHECKING:
    from orchestrator.runs.report import Report
    from orchestrator.runs.collect_results import Result
    from orchestrator.runs.session import (Outlook, Session)

MARKS = {Status.PASS: "ok", Status.WARN: "warning", Status.FAIL: "FAILED", Status.SKIP: "-"}
_SHOWN_FALLBACKS = 3


def summary(result: Result, folder: Path, notes: Iterable[str]) -> str:
    """A run's result: the table of files, what is wrong with them, and where they are."""
    described = result.report
    verdict = MARKS[described.status] if described.status is not Status.SKIP else "not verified"
    parts = [f"\n{described.name}: {verdict}", _files(described)]
    troubles = [
        f"{MARKS[check.status]}: {row.file}: {check.message}"
        for row in described.rows
        for check in row.checks
        if check.status in (Status.FAIL, Status.WARN)
    ]
    parts += [*troubles, *notes, f"Files and report: {folder}"]
    return "\n".join(parts)


def summary_value(result: Result, folder: Path, notes: Iterable[str]) -> JSON:
    """The same for programs: the report, where the files are, and what was replaced there."""
    return {**report.as_json(result.report), "folder": str(folder), "changes": list(notes)}


def step_value(result: StepResult) -> JSON:
    """One step's outcome for programs."""
    return {
        "key": result.step.key,
        "label": result.step.label,
        "outcome": result.outcome.value,
        "path": str(result.path) if result.path is not None else None,
    }


_TITLES = ("File", "Size", "Bits/w", "Perplexity", "Δ", "KLD", "Prompt t/s", "Gen. t/s", "")


def _files(described: Report) -> str:
    """What fits a terminal of the report's table; all of it is in report.md."""
    rows = [
        (
            row.file,
            units.size(row.size),
            f"{row.bits_per_weight:.2f}",
            _number(row.perplexity, "{:.4f}"),
            _number(row.increase, "{:+.2%}"),
            _number(row.kld, "{:.5f}"),
            _number(row.prompt_per_second, "{:.0f}"),
            _number(row.generation_per_second, "{:.0f}"),
            MARKS[row.status],
        )
        for row in described.rows
    ]
    used = [i for i, title in enumerate(_TITLES) if not title or any(row[i] for row in rows)]
    shown = [[row[i] for i in used] for row in rows]
    return table([_TITLES[i] for i in used], shown, right=range(1, len(used) - 1))


def _number(value: float | None, form: str) -> str:
    return "" if value is None else form.format(value)


def checks(result: Result) -> str:
    """Every check of every file, one a line."""
    rows = [
        (row.file, check.name, MARKS[check.status], check.message)
        for row in result.report.rows
        for check in row.checks
    ]
    return table(("File", "Check", "Result", "What was found"), rows)


def plan(outlooks: Sequence[Outlook], session: Session, *, as_json: bool) -> str:
    """Steps, sizes and needs of plans."""
    from orchestrator.commands.display_plan import (as_text, as_value)  # noqa: PLC0415

    if as_json:
        return json.dumps([as_value(one, session) for one in outlooks], indent=1)
    return as_text(outlooks, session)


def artifacts(found: Iterable[Artifact], *, as_json: bool) -> str:
    """What is stored."""
    values = [
        {
            "key": one.key,
            "kind": one.kind,
            "label": one.label,
            "size": one.size,
            "created": one.manifest["created"],
        }
        for one in found
    ]
    if as_json:
        return json.dumps(values, indent=1)
    rows = [
        (
            value["key"][:12],
            value["kind"],
            units.size(value["size"]),
            value["created"],
            value["label"],
        )
        for value in sorted(values, key=lambda value: str(value["created"]))
    ]
    total = units.size(sum(int(value["size"]) for value in values))
    shown = table(("Key", "Kind", "Size", "Made", "What"), rows, right=(2,))
    return f"{shown}\n{units.plural(len(rows), 'artifact')}, {total}"


def artifact_path(store: Store, key: str | None) -> Path:
    """The store's folder, or that of the one artifact whose key starts with ``key``.

    Raises:
        UsageError: No artifact, or several, start so.
    """
    if key is None:
        return store.root
    found = [one for one in store.artifacts() if one.key.startswith(key)]
    if len(found) != 1:
        raise UsageError(
            f"{len(found)} artifacts have a key that starts with {key!r}",
            "See 'orchestrate store ls'.",
        )
    return found[0].path


def verified(
    found: Iterable[tuple[Artifact, list[str]]], *, as_json: bool = False
) -> tuple[str, bool]:
    """What reading the store again found, and whether all is sound."""
    damaged, count = [], 0
    for artifact, problems in found:
        count += 1
        damaged += [(artifact, problems)] if problems else []
    if as_json:
        told = [{"key": a.key, "label": a.label, "problems": problems} for a, problems in damaged]
        return json.dumps({"read": count, "damaged": told}, indent=1), not damaged
    lines = [f"damaged: {a.label}: {problem}" for a, problems in damaged for problem in problems]
    if lines:
        lines.append("Damaged artifacts were set aside; 'orchestrate run' makes them again.")
    return "\n".join([*lines, f"{units.plural(count, 'artifact')} read"]), not lines


def collected(removed: Sequence[Artifact], *, as_json: bool = False) -> str:
    """What was removed."""
    if as_json:
        told = [{"key": one.key, "label": one.label, "size": one.size} for one in removed]
        return json.dumps({"removed": told}, indent=1)
    lines = [f"removed {one.label}" for one in removed]
    return "\n".join([*lines, f"{units.plural(len(removed), 'artifact')} removed"])


def toolchains(store: Store, *, as_json: bool) -> str:
    """The tool chains of this checkout and whether they are built."""
    from orchestrator.planning import recipe_to_steps  # noqa: PLC0415
    from orchestrator.runs.session import choices  # noqa: PLC0415

    values = []
    for name in load.names():
        chain = load.load(name)
        steps = recipe_to_steps.toolchain_steps(name, choices())
        built = all(store.find(step.key, quick=True) is not None for step in steps)
        values.append(
            {
                "name": name,
                "commit": chain.source.commit,
                "format": chain.format,
                "built": built,
                "about": chain.about,
            }
        )
    if as_json:
        return json.dumps(values, indent=1)
    rows = [
        (v["name"], str(v["commit"])[:12], v["format"], "built" if v["built"] else "-", v["about"])
        for v in values
    ]
    return table(("Name", "Commit", "Format", "Here", "About"), [tuple(map(str, r)) for r in rows])
