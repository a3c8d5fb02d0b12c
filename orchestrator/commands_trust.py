"""Commands about files of others and how files came to be: adopt, verify-provenance."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from orchestrator import cli_common
from orchestrator.errors import EXIT_FAILED, EXIT_OK

FILE = click.argument("path", type=click.Path(path_type=Path, exists=True, dir_okay=False))


def register(cli: click.Group) -> None:
    """Add the commands of this module."""
    cli.add_command(adopt)
    cli.add_command(verify_provenance)


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


@click.command("verify-provenance")
@FILE
@click.option(
    "--key",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The publisher's public key (PEM): the statement must be signed by it.",
)
@click.option(
    "--rederive",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="RECIPE",
    help="Make the file again from this recipe, in an empty store, and compare.",
)
@cli_common.common
def verify_provenance(path: Path, key: Path | None, rederive: Path | None, **options: Any) -> int:
    """Check a file against its provenance, its signature, or a recipe.

    \b
    Example:
      orchestrate verify-provenance dist/tiny-llama/tiny-llama-Q4_0.gguf --key publisher.pem
    """
    from orchestrator import attesting

    found, told = attesting.verify(path, key)
    click.echo("\n".join(found.lines))
    if not found.sound:
        return EXIT_FAILED
    if rederive is None:
        return EXIT_OK
    with cli_common.session(options) as session:
        made = attesting.rederive(path, told, rederive, session)
    click.echo("\n".join(made.lines))
    return EXIT_OK if made.sound else EXIT_FAILED
