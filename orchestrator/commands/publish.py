"""The command that publishes files: publish."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from orchestrator.base.errors import EXIT_OK
from orchestrator.commands import completion_values, interrupts, shared_options


def register(cli: click.Group) -> None:
    """Add the commands of this module."""
    cli.add_command(publish)


@click.command()
@click.argument(
    "recipe",
    type=click.Path(path_type=Path),
    shell_complete=completion_values.recipes,
)
@click.option(
    "--to",
    default="",
    show_default=False,
    metavar="PLACE",
    help="hub:ORG/NAME, dir:PATH or oci:REGISTRY/NAME:TAG; else the recipe's 'publish: to:'.",
)
@click.option("--allow-warnings", is_flag=True, help="Publish files whose checks gave warnings.")
@click.option(
    "--max-file",
    default="",
    show_default=False,
    metavar="SIZE",
    help="Split larger files, such as 50GB; without it, the recipe's limit, or 200 GB.",
)
@click.option("--private", is_flag=True, help="Create a new repository as private.")
@click.option(
    "--message", default="", show_default=False, metavar="TEXT", help="First line of the commit."
)
@click.option(
    "--sign-key",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Sign what goes out with this private key (PEM).",
)
@click.option("--dry-run", is_flag=True, help="Show what would be done; change nothing.")
@shared_options.AS_JSON
@shared_options.options("out", "locked", *shared_options.TOOLS)
def publish(
    recipe: Path,
    *,
    to: str,
    allow_warnings: bool,
    max_file: str,
    private: bool,
    message: str,
    sign_key: Path | None,
    dry_run: bool,
    as_json: bool,
    **options: Any,
) -> int:
    """Publish files to the Hub, a folder or a registry.

    With them go a model card, checksums, provenance and the recipe. Only what 'run' left and
    nobody changed is published, and only if it passed. What is there already is not sent
    again. The Hub's token comes from 'hf auth login' or HF_TOKEN.

    \b
    Example:
      orchestrate publish recipes/tiny/llama.yaml --to dir:/srv/models/tiny-llama
    """
    from orchestrator.runs import load_and_plan
    from orchestrator.workflows.publishing import display_publication
    from orchestrator.workflows.publishing import publish as publishing

    request = publishing.Request(
        to=to,
        out=options["out"],
        warnings=allow_warnings,
        max_file=_largest(max_file),
        private=private,
        message=message,
        dry=dry_run,
        key=sign_key,
    )
    loaded = [load_and_plan.load_one(recipe)]
    with shared_options.session(options) as current:
        [plan] = load_and_plan.make(loaded, current)
        preview = publishing.prepare(plan, current, request)
        if not as_json:
            shared_options.say(display_publication.preview(preview))
        done = publishing.Publication(preview, None)
        if not dry_run:
            with interrupts.heeded(interrupts.abort):
                done = publishing.publish_prepared(preview, current)
    if as_json:
        shared_options.print_json(display_publication.as_json(done))
    else:
        shared_options.say(display_publication.done(done))
    return EXIT_OK


def _largest(text: str) -> int:
    """Bytes of --max-file; 0 where it was not given."""
    from orchestrator.base import units
    from orchestrator.base.errors import UsageError

    found = units.parse_size(text) if text else 0
    if text and not found:
        raise UsageError(
            "--max-file must be more than 0 bytes", "Leave it out for the usual limit."
        )
    return found
