"""The command that writes recipes: new."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from orchestrator.base.errors import EXIT_OK
from orchestrator.commands import completion_values, shared_options
from orchestrator.commands.shared_options import AS_JSON

TEXT = click.Path(path_type=Path, exists=True, dir_okay=False)


def register(cli: click.Group) -> None:
    """Add the commands of this module."""
    cli.add_command(new)


def several(
    _context: click.Context, _option: click.Parameter, given: Sequence[str]
) -> tuple[str, ...]:
    """Names from an option that is repeated, holds commas, or both."""
    return tuple(name.strip() for one in given for name in one.split(",") if name.strip())


@click.command()
@click.argument("repo", metavar="ORG/NAME")
@click.option(
    "-o",
    "--output",
    "target",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The recipe to write; without it NAME.yaml, in recipes/ where that folder is.",
)
@click.option(
    "--revision",
    default="",
    show_default=False,
    help="Branch, tag or full commit; without it, what the address shows, or main.",
)
@click.option(
    "--quantize",
    "types",
    multiple=True,
    callback=several,
    metavar="TYPES",
    help="Types such as Q4_K_M,Q8_0, may be repeated; without it, by the model's size.",
)
@click.option(
    "--imatrix/--no-imatrix",
    default=None,
    help="Make and use an importance matrix; without it, where a type needs one.",
)
@click.option("--calibration", type=TEXT, help="Text for an importance matrix, which is then made.")
@click.option("--corpus", type=TEXT, help="Text to measure perplexity and divergence on.")
@click.option(
    "--toolchain",
    "chain",
    default="llama.cpp",
    metavar="NAME",
    shell_complete=completion_values.toolchains,
    help="The tool chain that converts and quantizes.",
)
@click.option("--force", is_flag=True, help="Overwrite an existing recipe.")
@AS_JSON
def new(*, as_json: bool, **asked: Any) -> int:
    """Write a recipe for a model of the Hub, ready to run.

    The revision is pinned to its full commit, types and limits are chosen by the model's size,
    and its licence is noted. No weights are fetched: only headers and small files are read.
    ORG/NAME may be the address of its page, or end with a folder of it: ORG/NAME/FOLDER. Without
    --corpus the test split of WikiText-2 is measured on, without --calibration its training split
    makes the importance matrix.

    \b
    Example:
      orchestrate new HuggingFaceTB/SmolLM2-135M-Instruct --quantize Q4_K_M,Q8_0

    \b
    Exit codes: 0 written; 2 the repository holds no model that the tool chain converts, or
    the recipe exists already; 3 the Hub cannot be reached, or does not show the repository.
    """
    from orchestrator.workflows.drafting import new_recipe

    written = new_recipe.write(new_recipe.Request(**asked))
    if as_json:
        shared_options.print_json(new_recipe.as_json(written))
    else:
        shared_options.say(new_recipe.text(written))
    return EXIT_OK
