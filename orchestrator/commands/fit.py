"""The command that searches the best file for a size: fit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from orchestrator.base.errors import EXIT_OK
from orchestrator.commands import completion_values, shared_options
from orchestrator.commands.new import TEXT, several
from orchestrator.commands.shared_options import AS_JSON


def register(cli: click.Group) -> None:
    """Add the commands of this module."""
    cli.add_command(fit)


def _sizes(
    context: click.Context, option: click.Parameter, given: Sequence[str]
) -> tuple[int, ...]:
    from orchestrator.base import units

    try:
        return tuple(units.parse_size(one) for one in several(context, option, given))
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def _size(context: click.Context, option: click.Parameter, given: str | None) -> int:
    return _sizes(context, option, [given])[0] if given else 0


@click.command()
@click.argument(
    "recipe",
    type=click.Path(path_type=Path),
    metavar="RECIPE",
    shell_complete=completion_values.recipes,
)
@click.option(
    "--size",
    "sizes",
    multiple=True,
    callback=_sizes,
    metavar="SIZES",
    help="The best file of at most this size, such as 4.0GB; several share all probes.",
)
@click.option(
    "--as",
    "like",
    multiple=True,
    callback=several,
    metavar="TYPES",
    help="The best file of at most the size of this type, such as Q4_K_M.",
)
@click.option(
    "--max-mean-kld",
    "divergence",
    type=click.FloatRange(0, min_open=True),
    help="The smallest file whose mean KL divergence is at most this, in nats.",
)
@click.option("--finer", is_flag=True, help="Choose for each third of the depth by itself.")
@click.option("--text", type=TEXT, help="Text to search on; without it, the calibration text.")
@click.option("--chunks", type=click.IntRange(1), default=3, help="Pieces of it that are measured.")
@click.option(
    "--vram",
    callback=_size,
    metavar="SIZE",
    help="The best file that fits this memory with a context, such as 8GB.",
)
@click.option("--context", type=click.IntRange(1), default=8192, help="Tokens of that context.")
@click.option(
    "--imatrix/--no-imatrix",
    default=None,
    help="Use the recipe's importance matrix, if it has one.",
)
@click.option(
    "-o",
    "--output",
    "target",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The recipe to write; without it NAME-fit.yaml beside the recipe.",
)
@click.option("--force", is_flag=True, help="Overwrite an existing recipe.")
@shared_options.options(*shared_options.TOOLS, "locked")
@AS_JSON
def fit(recipe: Path, *, target: Path | None, force: bool, as_json: bool, **options: Any) -> int:
    """Search the best file for a size, and write its recipe.

    Groups of tensors are quantized one at a time and measured; types are then placed where they
    cost least divergence, several candidates are measured, and the best is held against the
    standard type of that size on the text of 'verify: perplexity:', which the search must not
    know. The new recipe needs no search: 'run' makes its files like any others.

    \b
    Example:
      orchestrate fit recipes/tiny/llama.yaml --as Q4_K_M -o fitted.yaml

    \b
    Exit codes: 0 written; 1 a step failed; 2 nothing is as small as that, or the texts overlap.
    """
    from orchestrator.runs import load_and_plan
    from orchestrator.workflows.fitting import fitted_recipe, start_search

    loaded = load_and_plan.load_one(recipe)
    place = target or loaded.file.with_name(f"{loaded.file.stem}-fit.yaml")
    fitted_recipe.check_target(place, force=force)
    names = ("sizes", "like", "divergence", "finer", "text", "chunks", "vram", "context", "imatrix")
    wanted = start_search.Wanted(**{name: options.pop(name) for name in names})
    with shared_options.session(options) as current:
        found = start_search.search(loaded, wanted, current, shared_options.remark)
    written = fitted_recipe.write(found, place)
    if as_json:
        shared_options.print_json(fitted_recipe.as_json(found))
    else:
        shared_options.say(fitted_recipe.text(found, written))
    return EXIT_OK
