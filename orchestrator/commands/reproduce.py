"""The commands about reproducing: lock, reproduce."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator.base.errors import EXIT_FAILED, EXIT_OK
from orchestrator.commands import shared_options
from orchestrator.commands.shared_options import AS_JSON, RECIPES, planning, session

if TYPE_CHECKING:
    from orchestrator.planning.recipe_to_steps import Plan
    from orchestrator.runs.session import Session


def register(cli: click.Group) -> None:
    """Add the commands of this module."""
    cli.add_command(lock)
    cli.add_command(reproduce)


@click.command()
@RECIPES
@shared_options.options("offline")
@AS_JSON
def lock(recipes: Sequence[Path], as_json: bool, **options: Any) -> int:
    """Pin all inputs of recipes, in a lock beside each.

    RECIPE.lock.yaml holds full commits, size and SHA-256 of every input file, the tool
    chain's data, Python packages, corpora. No weights are fetched. 'run' keeps to a lock that
    is there. With --offline what only the network knows is left out, and said.

    \b
    Example:
      orchestrate lock recipes/smollm2-135m.yaml

    \b
    Exit codes: 0 locked; 1 a source cannot be listed; 2 a bad recipe; 3 no network.
    """
    from orchestrator.runs import load_and_plan, write_lockfiles

    loaded = load_and_plan.load(recipes)
    with session(options) as current:
        say = shared_options.remark if as_json else shared_options.say
        written = write_lockfiles.write_locks(loaded, current, say)
    if as_json:
        shared_options.print_json(written)
    return EXIT_OK


@click.command()
@RECIPES
@shared_options.options("only", "out", *shared_options.TOOLS, "locked", "update_lock", "no_verify")
@shared_options.on_cluster
@click.option("--rebuild-tools", is_flag=True, help="Build the tool chain again too.")
@click.option(
    "--twice",
    is_flag=True,
    help="Make every step twice, with other threads, folders, home, locale, time zone and umask.",
)
@AS_JSON
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
    """Make files again in an empty store and compare.

    They are compared with the store's, with the folder of outputs and with what the recipe
    says is published. The files there are stay as they are, and speed is not measured; with
    --no-verify the texts for measuring are not needed. Built tools are lent, unless
    --rebuild-tools is given.

    \b
    Example:
      orchestrate reproduce recipes/tiny/llama.yaml --twice

    \b
    Exit codes: 0 there was something to compare with, and all of it is identical; 1 not so.
    """
    from orchestrator.workflows import reproduce as reproducing

    found = []
    for one in plans:
        done = reproducing.reproduce(
            one,
            current,
            options["out"],
            rebuild_tools=rebuild_tools,
            twice=twice,
            say=lambda text: shared_options.remark(text, end=""),
        )
        reproducing.write(done, options["out"] / one.recipe.name)
        found.append(done)
        if not as_json:
            shared_options.say(reproducing.text(done))
    if as_json:
        shared_options.print_json([reproducing.as_json(one) for one in found])
    return EXIT_OK if all(one.identical for one in found) else EXIT_FAILED
