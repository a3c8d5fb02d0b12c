"""The commands about caches that several machines share: store push, pull, remote."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from orchestrator.base.errors import EXIT_FAILED, EXIT_OK
from orchestrator.commands import help_sections, shared_options
from orchestrator.commands.shared_options import AS_JSON, RECIPES, planning

if TYPE_CHECKING:
    from orchestrator.engine.shared_cache.remote_folder import RemoteFolder
    from orchestrator.planning.recipe_to_steps import Plan
    from orchestrator.runs.session import Session

_PLANNED = ("only", "profile", "backend", "offline", "locked", "update_lock", "no_verify")
_SHOWN = ("verbose", "log_json")


def register(store: click.Group) -> None:
    """Add the commands of this module to those of the store."""
    for command in (push, pull, remote):
        store.add_command(command)


@click.command()
@RECIPES
@shared_options.options(*_PLANNED, *_SHOWN)
@AS_JSON
@planning
def push(session: Session, plans: Sequence[Plan], options: dict[str, Any], as_json: bool) -> int:
    """Send finished steps of recipes to the shared caches.

    ORCHESTRATE_REMOTE names the caches. 'run' sends what it makes by itself; this sends what was
    made before, or could not be sent. What is there is not sent again.

    \b
    Example:
      orchestrate store push recipes/smollm2-135m.yaml

    \b
    Exit codes: 0 sent; 2 no cache is named; 3 a cache failed.
    """
    from orchestrator.base import units
    from orchestrator.runs import shared_caches

    del options
    sent = shared_caches.push(plans, session)
    if as_json:
        shared_options.print_json(vars(sent))
    else:
        files = units.plural(sent.files, "new file")
        results = units.plural(sent.results, "result")
        shared_options.say(f"{results} in the cache; {files} sent, {units.size(sent.size)}")
    return EXIT_OK


@click.command()
@RECIPES
@shared_options.options(*_PLANNED, *_SHOWN)
@AS_JSON
@planning
def pull(session: Session, plans: Sequence[Plan], options: dict[str, Any], as_json: bool) -> int:
    """Bring what the shared caches hold of recipes into the store.

    'run' does so by itself. Every file is checked while it comes.

    \b
    Example:
      orchestrate store pull recipes/smollm2-135m.yaml

    \b
    Exit codes: 0 brought, or nothing was there; 2 no cache is named; 3 the disk is full.
    """
    from orchestrator.base import units
    from orchestrator.runs import shared_caches

    del options
    shared_caches.required(session)
    session.store.require_usable(writable=True)
    came = shared_caches.bring(plans, session)
    if as_json:
        shared_options.print_json({"keys": sorted(came)})
    else:
        shared_options.say(f"{units.plural(len(came), 'result')} brought")
    return EXIT_OK


@click.group(cls=help_sections.Commands)
def remote() -> None:
    """Check and clean the caches that ORCHESTRATE_REMOTE names.

    \b
    Example:
      orchestrate store remote verify
    """


@remote.command("gc")
@click.option(
    "--max-size",
    default="",
    show_default=False,
    metavar="SIZE",
    help="Remove the results that were sent first until a cache is this small, such as 500GB; "
    "without it, only what no result names.",
)
@AS_JSON
def remote_gc(max_size: str, as_json: bool) -> int:
    """Remove leftovers, and the oldest results beyond --max-size.

    Of caches that are not marked read-only. Files that no result names go when they are a day
    old by the cache's own clock: younger ones may belong to what somebody sends now.

    \b
    Example:
      orchestrate store remote gc --max-size 500GB

    \b
    Exit codes: 0 done; 2 no cache is named; 3 a cache failed.
    """
    from orchestrator.base import units
    from orchestrator.engine.shared_cache import upkeep

    limit = units.parse_size(max_size) if max_size else None
    told = []
    for folder in _folders():
        if not folder.place.read_only:
            removed = upkeep.gc(folder, limit)
            told.append({"cache": folder.place.shown, **vars(removed)})
            lines = [f"{folder.place.shown}: removed {label}" for label in removed.labels]
            files, size = units.plural(removed.files, "file"), units.size(removed.size)
            lines.append(f"{folder.place.shown}: {files} removed, {size}")
            if not as_json:
                shared_options.say("\n".join(lines))
    if as_json:
        shared_options.print_json(told)
    return EXIT_OK


@remote.command("verify")
@AS_JSON
def remote_verify(as_json: bool) -> int:
    """Read every file of the caches and compare it with its checksum.

    Nothing is changed: whoever brings a damaged result sets it aside.

    \b
    Example:
      orchestrate store remote verify

    \b
    Exit codes: 0 all is sound; 1 something is damaged or not trusted; 2 no cache is named;
    3 a cache failed.
    """
    from orchestrator.base import units
    from orchestrator.base.terminal_colours import status
    from orchestrator.engine.shared_cache import stated_places, upkeep

    trust = stated_places.from_environment().trust
    told = []
    for folder in _folders():
        found = list(upkeep.verify(folder, trust))
        wrong = [(label, problem) for label, problem in found if problem]
        damaged = [{"label": label, "problem": problem} for label, problem in wrong]
        told.append({"cache": folder.place.shown, "read": len(found), "damaged": damaged})
        lines = [f"{status('damaged')}: {label}: {problem}" for label, problem in wrong]
        lines.append(f"{folder.place.shown}: {units.plural(len(found), 'result')} read")
        if not as_json:
            shared_options.say("\n".join(lines))
    if as_json:
        shared_options.print_json(told)
    return EXIT_FAILED if any(one["damaged"] for one in told) else EXIT_OK


def _folders() -> list[RemoteFolder]:
    from orchestrator.base.errors import UsageError
    from orchestrator.engine.shared_cache import stated_places
    from orchestrator.engine.shared_cache.remote_folder import RemoteFolder

    found = stated_places.from_environment()
    if not found.places:
        raise UsageError(
            "there is no shared cache", "Name one: ORCHESTRATE_REMOTE=s3://bucket/prefix."
        )
    return [RemoteFolder(one, found.patience) for one in found.places]
