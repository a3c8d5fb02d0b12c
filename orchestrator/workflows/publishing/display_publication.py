"""Publications as tables and sentences for people, or JSON for programs; pure."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.base import units
from orchestrator.base.step_values import JSON
from orchestrator.base.text_table import table
from orchestrator.workflows.publishing.publication_record import Changes
from orchestrator.workflows.publishing.publish import Preview, Publication
from orchestrator.workflows.publishing.published_files import Piece, Tree

_TITLES = ("File", "Made as", "Size", "What")


def preview(one: Preview) -> str:
    """What is going to be done: a table of files, notes, and the sum."""
    where = "" if one.exists else " (to be made)"
    made_as = _made_as(one.tree)
    rows = [
        (piece.name, made_as.get(piece.name, ""), units.size(piece.size), _state(piece, one))
        for piece in one.tree.pieces
    ]
    rows += [(name, "", "", "remove") for name in one.changes.remove]
    shown = table(_TITLES, rows, right=(2,))
    notes = [f"note: {note}" for note in one.changes.notes]
    head = f"{one.tree.recipe} to {one.place.name}{where}"
    return "\n".join([head, shown, *notes, summary(one.changes)])


def _made_as(tree: Tree) -> dict[str, str]:
    return {piece.name: one.output.file for one in tree.models for piece in one.pieces}


def _state(piece: Piece, one: Preview) -> str:
    if not piece.sha256:
        return "split, send"
    return "send" if piece in one.changes.send else "there already"


def summary(changes: Changes) -> str:
    """One line: what is sent, what is there, what goes."""
    return "; ".join(_sums(changes))


def _sums(changes: Changes) -> Iterator[str]:
    if changes.send:
        yield f"{units.plural(len(changes.send), 'file')} to send, {units.size(changes.send_bytes)}"
    if changes.there:
        there = units.size(sum(piece.size for piece in changes.there))
        yield f"{units.plural(len(changes.there), 'file')} there already, {there}"
    if changes.remove:
        yield f"{units.plural(len(changes.remove), 'file')} to remove"


def done(one: Publication) -> str:
    """What was done and where it is."""
    if one.done is None:
        return "Nothing was changed (--dry-run)."
    changes = one.done.changes
    if not changes:
        return f"Everything was there already: {one.done.url}"
    sent = units.size(changes.send_bytes)
    text = f"Published {units.plural(len(changes.send), 'file')} ({sent})"
    if changes.remove:
        text += f", removed {units.plural(len(changes.remove), 'file')}"
    commit = f" in commit {one.done.commit[:12]}" if one.done.commit else ""
    return f"{text}{commit}: {one.done.url}"


def as_json(one: Publication) -> dict[str, JSON]:
    """A publication as JSON values."""
    changes = one.done.changes if one.done else one.preview.changes
    made_as = _made_as(one.preview.tree)
    files = [
        {
            "name": piece.name,
            "made_as": made_as.get(piece.name),
            "size": piece.size,
            "sha256": piece.sha256 or None,
            "state": "send" if piece in changes.send else "there",
        }
        for piece in one.preview.tree.pieces
    ]
    return {
        "recipe": one.preview.tree.recipe,
        "to": one.preview.place.name,
        "dry_run": one.done is None,
        "changed": bool(one.done and changes),
        "files": files,
        "removed": list(changes.remove),
        "sent_bytes": changes.send_bytes,
        "notes": list(changes.notes),
        "url": one.done.url if one.done else None,
        "commit": (one.done.commit or None) if one.done else None,
    }
