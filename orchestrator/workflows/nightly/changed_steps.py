"""Why a file is made otherwise than before: which steps of its making changed themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from orchestrator.base.step_values import JSON
from orchestrator.engine import released_manifests, step_kinds
from orchestrator.engine.artifact_store import Store

Manifest = Mapping[str, JSON]
_SHOWN = 3


def changed(old: str, new: str, store: Store, *, tools: bool = True) -> list[str]:
    """Labels of the steps behind two artifacts that differ in more than what they were given.

    With those of fetched files stand the names of the files that are others.

    Args:
        old: The key of the earlier artifact.
        new: The key of the later one.
        store: Has their manifests, or remembers those of artifacts that were removed.
        tools: Whether steps that make tools are listed; they change whenever the tool
            chain's commit does.
    """
    found = _changed(old, new, store, set())
    shown = (pair for pair in found if tools or not step_kinds.made_a_tool(pair[1]))
    return list(dict.fromkeys(_named(*pair) for pair in shown))


def _named(before: Manifest, after: Manifest) -> str:
    label = str(after["label"])
    names = _other_files(before, after) if step_kinds.brought_files(after) else []
    if not names or label.endswith(names[0]):
        return label
    return f"{label}: {', '.join(names[:_SHOWN])}{', ...' if len(names) > _SHOWN else ''}"


def _other_files(before: Manifest, after: Manifest) -> list[str]:
    """Names of files that are there once only, or with other bytes."""
    mine, theirs = (
        {name: one.get("sha256") for name, one in each.get("files", {}).items()}
        for each in (before, after)
    )
    return sorted(name for name in {*mine, *theirs} if mine.get(name) != theirs.get(name))


def _changed(
    old: str, new: str, store: Store, seen: set[tuple[str, str]]
) -> Iterator[tuple[Manifest, Manifest]]:
    if old == new or (old, new) in seen:
        return
    seen.add((old, new))
    before, after = _manifest(old, store), _manifest(new, store)
    if before is None or after is None:
        return
    mine, theirs = before["inputs"], after["inputs"]
    others = [(mine[name], theirs[name]) for name in mine if mine[name] != theirs.get(name)]
    own = before["params"] != after["params"] or mine.keys() != theirs.keys()
    if own or not others:  # without either, this program does the step otherwise
        yield before, after
    for one, other in others if mine.keys() == theirs.keys() else ():
        yield from _changed(one, other, store, seen)


def _manifest(key: str, store: Store) -> Manifest | None:
    found = store.find(key, quick=True)
    return found.manifest if found is not None else released_manifests.recall(store.root, key)
