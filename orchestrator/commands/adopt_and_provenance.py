"""Commands about files of others and how files came to be: adopt, verify-provenance."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from orchestrator.base.errors import EXIT_FAILED, EXIT_OK, UsageError
from orchestrator.commands import completion_values, shared_options
from orchestrator.commands.shared_options import AS_JSON

FILE = click.argument("path", type=click.Path(path_type=Path, exists=True, dir_okay=False))


def register(cli: click.Group) -> None:
    """Add the commands of this module."""
    cli.add_command(adopt)
    cli.add_command(verify_provenance)


@click.command()
@click.argument("what", metavar="PATH|OWNER/NAME")
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
@click.option(
    "--try",
    "tries",
    is_flag=True,
    help="Make the files that can be made, and compare them with the published ones.",
)
@shared_options.options(*shared_options.TOOLS)
def adopt(
    what: str,
    target: Path | None,
    model: str,
    corpus: Path | None,
    *,
    tries: bool,
    **options: Any,
) -> int:
    """Write the recipe that would make published GGUF files.

    One file (any part of a split one), all files of a folder, or all of a repository on the
    Hub. Only headers are read; the pinned quantizer says, run dry, which options give these
    types. What they do not say stands in the recipe as "Not known", what is likely as "Guess".

    \b
    Example:
      orchestrate adopt owner/name-GGUF -o recipes/model.yaml --model owner/name@commit --try

    \b
    Exit codes: 0 written, and with --try all files are identical; 1 they are not, or the
    quantizer can read none; 2 the recipe exists already, or there is no GGUF file.
    """
    from orchestrator.workflows.drafting import published_files, try_adopted
    from orchestrator.workflows.drafting.adopt_file import adopt as write

    if tries and target is None:
        raise UsageError("--try needs a recipe to try", "Say where to write it with -o.")
    with shared_options.session(options) as session:
        path = Path(what)
        place = (
            published_files.here(path, session.store.file_digest)
            if path.exists()
            else published_files.on_hub(what, offline=session.settings.offline)
        )
        text = write(session, place, target, model, corpus)
        if target is not None and tries:
            shared_options.say(f"Written: {target}")
            found = try_adopted.attempt(target, session)
            shared_options.say(try_adopted.text(found))
            same = all(one.verdict == try_adopted.IDENTICAL for one in found)
            return EXIT_OK if same else EXIT_FAILED
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
