"""The command that searches upstream's history: bisect."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from orchestrator.base.errors import EXIT_FAILED, EXIT_OK, UsageError
from orchestrator.commands import completion_values, shared_options


def register(cli: click.Group) -> None:
    """Add the command of this module."""
    cli.add_command(bisect)


@click.command()
@click.argument(
    "recipe",
    type=click.Path(path_type=Path),
    shell_complete=completion_values.recipes,
)
@click.option("--good", required=True, metavar="SHA", help="A commit that makes the right file.")
@click.option("--bad", required=True, metavar="SHA", help="A later one that does not.")
@shared_options.AS_JSON
@shared_options.options("only", *shared_options.TOOLS)
def bisect(recipe: Path, good: str, bad: str, *, as_json: bool, **options: Any) -> int:
    """Find the upstream commit that changed a file's bytes.

    Or the first that broke its making, where there is no file any more. Commits of the
    recipe's tool chain are tried in the order that git bisect chooses; every build is kept,
    so a search that was interrupted goes on where it was. --only names the file. Commits that
    cannot be built are passed over, unless that is what is searched for.

    \b
    Example:
      orchestrate bisect recipes/tiny/llama.yaml --only Q4_0 --good 0c1e570 --bad master

    \b
    Exit codes: 0 the commit is found; 1 commits that cannot be built hide it.
    """
    from orchestrator.runs import load_and_plan
    from orchestrator.workflows import bisect_upstream

    if len(options["only"]) != 1:
        raise UsageError("bisect searches for one file", "Name it with --only, such as Q4_0.")
    loaded = load_and_plan.load_one(recipe)
    with shared_options.session(options) as session:
        between = bisect_upstream.Between(options["only"][0], good, bad)
        found = bisect_upstream.bisect(loaded, between, session, shared_options.remark)
    if as_json:
        shared_options.print_json(bisect_upstream.as_json(found))
    else:
        shared_options.say(bisect_upstream.text(found))
    return EXIT_OK if len(found.candidates) == 1 else EXIT_FAILED
