"""What a recipe is watched for at the Hub: its source moved on, its published files are others.

Only digests are asked for, one or two requests a repository. A Hub that does not answer is noted;
it fails no recipe.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from orchestrator.base.errors import Interrupted, OrchestrateError, UsageError
from orchestrator.history import Alarm, FileRow
from orchestrator.planning.plan import Plan
from orchestrator.sources.choose_model_files import HubFile
from orchestrator.sources.hub import client, download
from orchestrator.sources.hub.wanted_files import hub_selection

SOURCE, PUBLISHED = "source", "published"
_SHOWN = 5
_SHORT = 12


@dataclass(frozen=True)
class Watched:
    """What was found: alarms, and why something could not be looked at."""

    alarms: tuple[Alarm, ...] = ()
    notes: tuple[str, ...] = ()


def look(plan: Plan, rows: Sequence[FileRow], *, offline: bool) -> Watched:
    """Look at what a recipe names under ``watch``.

    Args:
        plan: The recipe's plan.
        rows: Its files of tonight.
        offline: Whether nothing may be asked.
    """
    watch = plan.recipe.watch
    if watch is None:
        return Watched()
    if offline:
        return Watched(notes=("Nothing was watched: this night is offline.",))
    alarms: list[Alarm] = []
    notes: list[str] = []
    for place, find in ((watch.source, _moved), (watch.published, _others)):
        if place is None:
            continue
        try:
            alarms += find(plan, rows, place)
        except Interrupted:
            raise
        except OrchestrateError as error:
            notes.append(f"{place} could not be watched: {error.message}")
    return Watched(tuple(alarms), tuple(notes))


def _moved(plan: Plan, _rows: Sequence[FileRow], branch: str) -> Iterator[Alarm]:
    """An alarm where wanted files are others on a branch than at the commit that is taken."""
    model = plan.sources.model or plan.sources.base
    if model is None or model.identity.get("kind") != "hub":
        raise UsageError("the model is not from the Hub, so it has no such branch")
    taken = model.identity
    repo, commit, kind = taken["repo"], taken["commit"], taken["repo_type"]
    newest = download.resolve(repo, branch, repo_type=kind)
    if newest == commit:
        return
    unset = {"member": "", "file": "", "trust_remote_code": False}
    chosen = hub_selection({**unset, **taken, "format": model.format}, offline=False)
    before = (*chosen.others, *chosen.weights)
    after = _digests(download.listing(repo, newest, repo_type=kind))
    changed = [one.path for one in before if after.get(one.path) != one.digest]
    if changed:
        yield Alarm(
            file=repo,
            what=SOURCE,
            message=f"the model moved on: {_some(changed)} "
            f"{'is' if len(changed) == 1 else 'are'} others at {branch} ({newest[:_SHORT]}) than "
            f"at the revision {commit[:_SHORT]} that the recipe takes",
            before=commit,
            after=newest,
        )


def _others(_plan: Plan, rows: Sequence[FileRow], repo: str) -> Iterator[Alarm]:
    """Alarms for files that the repository does not have as the recipe makes them."""
    there = client.repo_info(client.where_is(repo, "main", "model"), files=True).files or ()
    digests = {file.sha256 for file in there}
    for row in rows:
        # Parts have other digests than the whole file.
        in_parts = any(f"{row.type}-00001-of-" in file.path for file in there)
        if row.full or not row.sha256 or row.sha256 in digests or in_parts:
            continue
        yield Alarm(
            file=row.file,
            what=PUBLISHED,
            message=f"no file of {repo} is what the recipe makes (SHA-256 {row.sha256[:_SHORT]}…): "
            "it was replaced or removed there, or never published",
        )


def _digests(files: Iterable[HubFile]) -> Mapping[str, str]:
    return {one.path: one.digest for one in files}


def _some(paths: Sequence[str]) -> str:
    more = f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
    return ", ".join(paths[:_SHOWN]) + more
