"""The store and the tool chains on the terminal."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from orchestrator.base import units
from orchestrator.base.errors import UsageError
from orchestrator.base.terminal_colours import status
from orchestrator.base.text_table import table
from orchestrator.engine.artifact_store import Artifact, Store
from orchestrator.toolchain import find_toolchain


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
    lines = [
        f"{status('damaged')}: {a.label}: {problem}"
        for a, problems in damaged
        for problem in problems
    ]
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
    """The tool chains, where their data is and whether they are built here."""
    from orchestrator.planning import recipe_to_steps
    from orchestrator.runs.session import choices

    values = []
    for found in find_toolchain.every(Path.cwd()):
        chain = found.chain
        steps = recipe_to_steps.toolchain_steps(chain, choices())
        built = all(store.find(step.key, quick=True) is not None for step in steps)
        values.append(
            {
                "name": chain.name,
                "commit": chain.source.commit,
                "format": chain.format,
                "built": built,
                "from": found.place.why,
                "folder": str(chain.folder),
                "about": chain.about,
            }
        )
    if as_json:
        return json.dumps(values, indent=1)
    rows = [_toolchain_row(value) for value in values]
    return table(("Name", "Commit", "Format", "Here", "Data", "About"), rows)


def _toolchain_row(value: Mapping[str, Any]) -> tuple[str, ...]:
    here = status("built") if value["built"] else "-"
    place = "installed" if value["from"] == "installed" else value["folder"]
    return value["name"], value["commit"][:12], value["format"], here, place, value["about"]
