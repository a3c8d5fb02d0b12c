"""What steps found worth saying though they did their work: warnings for the report; pure."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.engine.artifact_store import Artifact


def of(found: Mapping[str, Artifact | None]) -> tuple[str, ...]:
    """The ``notes`` among the facts of a plan's steps, in their order, each once."""
    told = [
        str(note)
        for artifact in found.values()
        if artifact is not None
        for note in artifact.manifest["facts"].get("notes", ())
    ]
    return tuple(dict.fromkeys(told))
