"""The commands about reproducing: lock, reproduce."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli_common import RECIPES, common, planning, session
from orchestrator.errors import EXIT_FAILED, EXIT_OK

if TYPE_CHECKING:
    from orchestrator.plan import Plan
    from orchestrator.workflow import Session


def register(cli: click.Group) -> None:
    """Add the commands of this module."""
    cli.add_command(lock)
    cli.add_command(reproduce)


@click.command()
@RECIPES
@common
def lock(recipes: Sequence[Path], **options: Any) -> int:
    """Pin everything that recipes need, in RECIPE.lock.yaml beside each.

    Full commits, size and SHA-256 of every input file, the tool chain's data, Python
    packages, corpora. No weights are fetched. 'run' keeps to a lock that is there.

    \b
    Example:
      orchestrate lock recipes/smollm2-135m.yaml
    """
    from orchestrator import pinning, workflow

    loaded = workflow.load(recipes)
    with session(options) as current:
        pinning.write_locks(loaded, current, click.echo)
    return EXIT_OK


@click.command()
@RECIPES
@common
@click.option("--rebuild-tools", is_flag=True, help="Build the tool chain again too.")
@click.option(
    "--twice",
    is_flag=True,
    help="Make every step twice, with other threads, folders, home, locale, zone and umask.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@planning
def reproduce(
    current: Session,
    plans: Sequence[Plan],
    options: dict[str, Any],
    *,
    rebuild_tools: bool,
    twice: bool,
    as_json: bool,
) -> int:
    """Make files again in an empty store and compare them with those there are.

    They are compared with the store's, with the folder of outputs and with what the recipe
    says is published. Exit code 0 means that all of them are identical.

    \b
    Example:
      orchestrate reproduce recipes/tiny/llama.yaml --twice
    """
    from orchestrator import reproduce as reproducing

    found = []
    for one in plans:
        done = reproducing.reproduce(
            one,
            current,
            options["out"],
            rebuild_tools=rebuild_tools,
            twice=twice,
            say=lambda text: click.echo(text, nl=False, err=True),
        )
        reproducing.write(done, options["out"] / one.recipe.name)
        found.append(done)
        if not as_json:
            click.echo(reproducing.text(done))
    if as_json:
        click.echo(json.dumps([reproducing.as_json(one) for one in found], indent=2))
    return EXIT_OK if all(one.identical for one in found) else EXIT_FAILED
