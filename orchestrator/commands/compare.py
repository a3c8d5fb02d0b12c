"""The command that measures what others published: compare."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from orchestrator.base.errors import EXIT_FAILED, EXIT_OK
from orchestrator.commands import shared_options
from orchestrator.commands.shared_options import AS_JSON

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


def register(cli: click.Group) -> None:
    """Add the commands of this module."""
    cli.add_command(compare)


@click.command()
@click.argument("what", nargs=-1, required=True, metavar="FILE|FOLDER|OWNER/NAME...")
@click.option("--against", type=_FILE, required=True, help="The unquantized GGUF file.")
@click.option("--corpus", type=_FILE, required=True, help="Text to measure on.")
@click.option(
    "--only",
    "parts",
    multiple=True,
    metavar="TEXT",
    help="Only files with this in their name, such as Q8_0; may be given again.",
)
@click.option(
    "-o",
    "--output",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("compare"),
    help="Folder for table and plot.",
)
@shared_options.options(*shared_options.TOOLS)
@AS_JSON
def compare(
    what: tuple[str, ...],
    against: Path,
    corpus: Path,
    *,
    parts: tuple[str, ...],
    folder: Path,
    as_json: bool,
    **options: Any,
) -> int:
    """Measure published GGUF files against one original.

    Files, all files of folders, or of repositories on the Hub, which are fetched. Perplexity,
    divergence and same top are measured on one text, with errors; FOLDER/compare.md has the
    table and compare.svg the plot. Files of the same bytes are measured once.

    \b
    Example:
      orchestrate compare one/x-GGUF two/x-GGUF --only Q8_0 --against x-F16.gguf --corpus wiki.txt

    \b
    Exit codes: 0 all were measured; 1 some could not be; 2 there is no such file, or
    --against is none of GGUF; 3 no network.
    """
    from orchestrator.base.errors import UsageError
    from orchestrator.modelfiles.format_error import FormatError
    from orchestrator.workflows import compare_published

    try:
        with shared_options.session(options) as session:
            found = compare_published.candidates(what, parts, session)
            done = compare_published.compare(found, against, corpus, session)
    except FormatError as error:
        raise UsageError(error.message, error.hint) from error
    written = compare_published.write(done, folder, corpus)
    if as_json:
        shared_options.print_json(compare_published.as_json(done, corpus))
    else:
        shared_options.say(compare_published.text(done))
        shared_options.say(f"Written: {written}")
    for problem in done.problems:
        shared_options.remark(problem)
    return EXIT_FAILED if done.problems else EXIT_OK
