"""The command that searches upstream's history: bisect."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from orchestrator.commands import common, complete
from orchestrator.errors import EXIT_FAILED, EXIT_OK, UsageError


def register(cli: click.Group) -> None:
    """Add the command of this module."""
    cli.add_command(bisect)


@click.command()
@click.argument(
    "recipe",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    shell_complete=complete.recipes,
)
@click.option("--good", required=True, metavar="SHA", help="A commit that makes the right file.")
@click.option("--bad", required=True, metavar="SHA", help="A later one that does not.")
@common.AS_JSON
@common.options("only", *common.TOOLS)
def bisect(recipe: Path, good: str, bad: str, *, as_json: bool, **options: Any) -> int:
    """Find the upstream commit that changed a file's bytes.

    Or the first that broke its making, where there is no file any more. Commits of the
    recipe's tool chain are tried in the order that git bisect chooses; every build is kept,
    so a search that was interrupted goes on where it was. --only names the file. Commits that
    cannot be built are passed over, unless that is what is searched for.

    \b
    Example:
      orchestrate bisect recipes/tiny/llama.yaml --only Q4_0 --good 0c1e570 --bad main

    \b
    Exit codes: 0 the commit is found; 1 commits that cannot be built hide it.
    """
    from orchestrator import bisecting, workflow

    if len(options["only"]) != 1:
        raise UsageError("bisect searches for one file", "Name it with --only, such as Q4_0.")
    [loaded] = workflow.load([recipe])
    with common.session(options) as session:
        between = bisecting.Between(options["only"][0], good, bad)
        found = bisecting.bisect(loaded, between, session, common.remark)
    if as_json:
        common.print_json(bisecting.as_json(found))
    else:
        common.say(bisecting.text(found))
    return EXIT_OK if len(found.candidates) == 1 else EXIT_FAILED
