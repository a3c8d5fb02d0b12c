"""Commands about files of others and how files came to be: adopt, verify-provenance."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from orchestrator.base.errors import EXIT_FAILED, EXIT_OK
from orchestrator.commands import completion_values, shared_options
from orchestrator.commands.shared_options import AS_JSON

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
@click.option(
    "--model",
    default="",
    show_default=False,
    metavar="SOURCE",
    help="Folder, GGUF, or owner/name@commit; without it, what the file says.",
)
@click.option(
    "--corpus",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The calibration text of the importance matrix.",
)
@shared_options.options(*shared_options.TOOLS)
def adopt(path: Path, target: Path | None, model: str, corpus: Path | None, **options: Any) -> int:
    """Write the recipe that would make a published GGUF file.

    Only the file's header is read; the pinned quantizer says, run dry, which options give
    these types. What the header does not say stands in the recipe as "Not known".

    \b
    Example:
      orchestrate adopt model-Q4_K_M.gguf -o recipes/model.yaml --model owner/name@commit

    \b
    Exit codes: 0 written; 1 the quantizer cannot read it; 2 the recipe exists already, or
    the file is no GGUF file or one of several parts.
    """
    from orchestrator.workflows.drafting.adopt_file import adopt as write

    with shared_options.session(options) as session:
        text = write(session, path, target, model, corpus)
    if target is None:
        shared_options.say(text, end="")
    else:
        shared_options.say(f"{target} is written")
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
    type=click.Path(path_type=Path),
    metavar="RECIPE",
    shell_complete=completion_values.recipes,
    help="Make the file again from this recipe, in an empty store, and compare.",
)
@shared_options.options(*shared_options.TOOLS, "locked")
@AS_JSON
def verify_provenance(
    path: Path, key: Path | None, rederive: Path | None, as_json: bool, **options: Any
) -> int:
    """Check where a file says it comes from.

    It is compared with its provenance, that with its signature, and with what a recipe makes.

    The statement FILE.provenance.json must lie beside the file. Without --key and --rederive
    that finds accidents, not lies.

    \b
    Example:
      orchestrate verify-provenance dist/tiny-llama/tiny-llama-Q4_0.gguf --key publisher.pem

    \b
    Exit codes: 0 all that was asked for holds; 1 it does not; 2 there is no statement.
    """
    from orchestrator.workflows import verify_provenance as provenance

    found, told = provenance.verify(path, key)
    if not as_json:
        shared_options.say("\n".join(found.lines))
    lines, sound = found.lines, found.sound
    if sound and rederive is not None:
        with shared_options.session(options) as session:
            made = provenance.rederive(path, told, rederive, session)
        lines, sound = (*lines, *made.lines), made.sound
        if not as_json:
            shared_options.say("\n".join(made.lines))
    if as_json:
        checks = [dict(zip(("check", "found"), line.split(": ", 1), strict=True)) for line in lines]
        shared_options.print_json({"file": str(path), "sound": sound, "checks": checks})
    return EXIT_OK if sound else EXIT_FAILED
