"""Commands about files of others and how files came to be: adopt, verify-provenance."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from orchestrator import cli_common
from orchestrator.errors import EXIT_OK

FILE = click.argument("path", type=click.Path(path_type=Path, exists=True, dir_okay=False))


def register(cli: click.Group) -> None:
    """Add the commands of this module."""
    cli.add_command(adopt)


@click.command()
@FILE
@click.option(
    "-o",
    "--output",
    "target",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The recipe to write; without it, it is printed.",
)
@click.option("--model", default="", metavar="SOURCE", help="Folder, GGUF, or owner/name@commit.")
@click.option(
    "--corpus",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The calibration text of the importance matrix.",
)
@cli_common.common
def adopt(path: Path, target: Path | None, model: str, corpus: Path | None, **options: Any) -> int:
    """Write the recipe that would make a published GGUF file.

    \b
    Example:
      orchestrate adopt model-Q4_K_M.gguf -o recipes/model.yaml --model owner/name@commit
    """
    from orchestrator.adopt import adopt as write

    with cli_common.session(options) as session:
        text = write(session, path, target, model, corpus)
    click.echo(f"{target} is written" if target is not None else text, nl=target is not None)
    return EXIT_OK
