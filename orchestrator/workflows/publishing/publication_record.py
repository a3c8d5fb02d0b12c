"""What an earlier publication left, and what has to change; pure.

``publish.json`` lists what was published, so that the next publication can tell its own files
from those of others: a file that is no longer made is removed, but only when it is still the
one that was published, and files of others stay.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from orchestrator.base import json_text
from orchestrator.base.errors import UsageError
from orchestrator.base.step_values import JSON
from orchestrator.workflows.publishing.published_files import Piece, Tree, blob_id

RECORD = "publish.json"
FORMAT = 1


@dataclass(frozen=True)
class Changes:
    """What a publication does: what is sent, what is there, what goes, what stays and why."""

    send: tuple[Piece, ...]
    there: tuple[Piece, ...]
    remove: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def send_bytes(self) -> int:
        """Bytes to send."""
        return sum(piece.size for piece in self.send)

    def __bool__(self) -> bool:
        """Whether anything is to be done."""
        return bool(self.send or self.remove)


def text(recipe: str, pieces: Sequence[Piece]) -> str:
    """The record of these pieces."""
    files = {one.name: _entry(one) for one in pieces}
    content = {"format": FORMAT, "recipe": recipe, "files": dict(sorted(files.items()))}
    return json.dumps(content, indent=1) + "\n"


def _entry(one: Piece) -> dict[str, JSON]:
    """Size and digest; of small files, which the Hub keeps in git, the id of the blob too."""
    entry: dict[str, JSON] = {"size": one.size, "sha256": one.sha256}
    entry |= {"tensors": one.tensors} if one.tensors else {}
    return {**entry, "blob": blob_id(one)} if one.path is None else entry


def _piece(name: str, entry: Mapping[str, JSON]) -> Piece:
    return Piece(
        name, int(entry["size"]), str(entry["sha256"]), known_blob=str(entry.get("blob", ""))
    )


def files_of(data: bytes | None, recipe: str, where: str) -> Mapping[str, Mapping[str, JSON]]:
    """The files that an earlier publication of the same recipe left.

    Args:
        data: Its record; None without one.
        recipe: The recipe that is published now.
        where: The place, for the sentence.

    Raises:
        UsageError: Another recipe was published there, or the record is not ours.
    """
    if data is None:
        return {}
    try:
        told = json_text.parse(data)
        files: Mapping[str, Mapping[str, JSON]] = told["files"]
        wrong = told["format"] != FORMAT or not all(
            isinstance(entry["size"], int) and isinstance(entry["sha256"], str)
            for entry in files.values()
        )
        owner = str(told["recipe"])
    except (ValueError, KeyError, TypeError, AttributeError):
        wrong, owner, files = True, "", {}
    if wrong:
        raise UsageError(
            f"{where} holds a {RECORD} that this program did not write",
            "Publish to another place, or remove that file there.",
        )
    if owner != recipe:
        raise UsageError(
            f"{where} holds the files of the recipe {owner!r}, which this one would remove",
            "Publish every recipe to a place of its own.",
        )
    return files


def changes(
    tree: Tree,
    names: Sequence[str],
    same: Callable[[str, Piece], bool],
    earlier: Mapping[str, Mapping[str, JSON]],
) -> Changes:
    """Compare what is wanted with what is there.

    Args:
        tree: What is wanted.
        names: What is there.
        same: Whether the file of a name has a piece's content.
        earlier: What an earlier publication left.
    """
    there = tuple(one for one in tree.pieces if one.name in names and same(one.name, one))
    send = tuple(one for one in tree.pieces if one not in there)
    replaced = [one for one in send if one.name in names and one.name != RECORD]
    notes = [*tree.notes, *filter(None, (_about(one, same, earlier) for one in replaced))]
    remove = []
    for name, entry in sorted(earlier.items()):
        if name in tree.by_name or name not in names:
            continue
        if same(name, _piece(name, entry)):
            remove.append(name)
        else:
            notes.append(f"{name} is no longer made but was changed since; it stays")
    return Changes(send, there, tuple(remove), tuple(notes))


def _about(
    one: Piece, same: Callable[[str, Piece], bool], earlier: Mapping[str, Mapping[str, JSON]]
) -> str:
    """What is to be said of a file that takes another's place, if anything is."""
    if one.name not in earlier:
        return f"{one.name} was there before and not published from here; replaced"
    entry = earlier[one.name]
    if not same(one.name, _piece(one.name, entry)):
        return f"{one.name} was changed there since it was published; replaced"
    if one.tensors and entry.get("tensors") == one.tensors:
        return f"{one.name}: only its header is another; all tensors are as they were"
    return ""
