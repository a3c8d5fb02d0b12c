"""The command about the recipes that come along: recipes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.base.errors import EXIT_OK, UsageError
from orchestrator.commands import completion_values, shared_options
from orchestrator.commands.shared_options import AS_JSON

if TYPE_CHECKING:
    from orchestrator.workflows.drafting.copy_recipe import Copied


def register(cli: click.Group) -> None:
    """Add the command of this module."""
    cli.add_command(recipes)


@click.command()
@click.option(
    "--copy",
    "name",
    default="",
    show_default=False,
    metavar="NAME",
    shell_complete=completion_values.names,
    help="Copy this recipe, with all that it needs, to start from.",
)
@click.argument("to", required=False, type=click.Path(path_type=Path))
@AS_JSON
def recipes(name: str, to: Path | None, as_json: bool) -> int:
    """List the included recipes, or copy one.

    Every command that takes recipes takes these names. --copy writes NAME.yaml into the
    current folder, or into the folder or file TO, and beside it the recipes that it extends
    and the models and texts that come along; it overwrites nothing.

    \b
    Example:
      orchestrate recipes --copy llama-7b
    """
    if to is not None and not name:
        raise UsageError(f"nothing to copy to {to}", "Name a recipe with --copy NAME.")
    if name:
        _copy(name, to, as_json)
    else:
        _list(as_json)
    return EXIT_OK


def _list(as_json: bool) -> None:
    from orchestrator.base.text_table import table
    from orchestrator.workflows import list_recipes

    found = list_recipes.every()
    if as_json:
        shared_options.print_json([{**vars(one), "recipe": str(one.recipe)} for one in found])
        return
    rows = [
        (one.name, one.family, one.source, one.download or "?", " ".join(one.files))
        for one in found
    ]
    shared_options.say(table(("Name", "Family", "From", "Download", "Files"), rows, right=(3,)))


def _copy(name: str, to: Path | None, as_json: bool) -> None:
    from orchestrator.workflows.drafting import copy_recipe

    copied = copy_recipe.copy(name, to)
    if as_json:
        told = {"files": copied.files, "missing": copied.missing}
        lists = {what: [str(path) for path in paths] for what, paths in told.items()}
        shared_options.print_json({"recipe": str(copied.recipe), **lists})
    else:
        shared_options.say("\n".join(_copied_lines(copied)))


def _copied_lines(copied: Copied) -> list[str]:
    lines = [f"{path} is written" for path in copied.files]
    lines += [f"note: put the model's files into {path}" for path in copied.missing]
    return [*lines, f"Next: orchestrate check {copied.recipe}"]
