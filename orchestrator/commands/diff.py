"""The command that compares two files: diff."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.base import terminal_colours
from orchestrator.base.errors import EXIT_FAILED, EXIT_OK
from orchestrator.commands import shared_options
from orchestrator.commands.shared_options import AS_JSON

if TYPE_CHECKING:
    from orchestrator.base.step_values import Progress
    from orchestrator.modelfiles.comparing.compare import Report
    from orchestrator.modelfiles.comparing.opened_files import Family

_FILE = click.Path(path_type=Path, exists=True)


def register(cli: click.Group) -> None:
    """Add the commands of this module."""
    cli.add_command(diff)


@click.command()
@click.argument("a", type=_FILE)
@click.argument("b", type=_FILE)
@click.option(
    "--accept",
    type=click.Choice(["identical", "same-tensors", "near", "different"]),
    default="identical",
    help="The weakest verdict that gives exit code 0.",
)
@click.option("--no-values", is_flag=True, help="Compare bytes only; dequantize nothing.")
@click.option(
    "--family",
    type=click.Choice(["auto", "llama", "bloom"]),
    default="auto",
    help="Model family of GGML files; auto detects it.",
)
@AS_JSON
def diff(a: Path, b: Path, *, accept: str, no_values: bool, family: Family, as_json: bool) -> int:
    """Compare two GGUF or GGML files.

    The verdict is identical, same tensors (only the header differs), near (same types and
    shapes, under 1 % of the bytes differ) or different. A split GGUF file is named by any
    of its parts, or by the folder that holds it alone.

    \b
    Example:
      orchestrate diff mine-Q4_K_M.gguf published-Q4_K_M.gguf --accept same-tensors

    \b
    Exit codes: 0 identical, or what --accept says; 1 not so; 2 a file is damaged or of
    another format.
    """
    from orchestrator.base.errors import UsageError
    from orchestrator.modelfiles.comparing import Verdict, compare
    from orchestrator.modelfiles.comparing.comparison_text import text
    from orchestrator.modelfiles.format_error import FormatError
    from orchestrator.sources import choose_gguf

    try:
        a, b = (choose_gguf.in_folder(one)[0] if one.is_dir() else one for one in (a, b))
        with _progress() as report:
            found = compare(a, b, values=not no_values, family=family, report=report)
    except FormatError as error:
        raise UsageError(error.message, error.hint) from error
    if as_json:
        shared_options.print_json(found.as_json())
    else:
        shared_options.say(text(found, terminal_colours.status))
    accepted = found.verdict.meets(Verdict(accept.replace("-", " ")))
    return EXIT_OK if accepted else EXIT_FAILED


@contextlib.contextmanager
def _progress() -> Iterator[Report]:
    """A bar on standard error where that is a terminal."""
    if not sys.stderr.isatty():
        yield lambda _progress: None
        return
    with click.progressbar(length=100, label="Comparing", file=sys.stderr) as bar:

        def report(progress: Progress) -> None:
            percent = int(100 * progress.done / max(progress.total, 1))
            if percent > bar.pos:
                bar.update(percent - bar.pos)

        yield report
