"""The command that writes pages of what was made: site."""

from __future__ import annotations

from pathlib import Path

import click

from orchestrator.base.errors import EXIT_OK
from orchestrator.commands import shared_options
from orchestrator.commands.shared_options import AS_JSON


def register(cli: click.Group) -> None:
    """Add the commands of this module."""
    cli.add_command(site)


@click.command()
@click.argument(
    "folder", type=click.Path(path_type=Path, file_okay=False), default=Path("site"), metavar="DIR"
)
@click.option(
    "--dist",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("dist"),
    help="Folder of the output files, to link to them.",
)
@click.option(
    "--nights",
    type=click.IntRange(1),
    default=365,
    help="How many of the newest nights are shown.",
)
@click.option("--title", default="Nightly builds", help="The title of the site.")
@AS_JSON
def site(folder: Path, dist: Path, nights: int, title: str, as_json: bool) -> int:
    """Write pages about all nights and recipes.

    They go into DIR, or into a folder called site, and need no server and no network: open
    DIR/index.html. Pages that would say the same are left alone, those of what is gone are
    removed, and files of others stay.

    \b
    Example:
      orchestrate site public --dist dist

    \b
    Exit codes: 0 done; 2 a file of somebody else is in the way; 3 DIR cannot be written.
    """
    from orchestrator.base import units
    from orchestrator.history import History
    from orchestrator.history.site import write

    done = write(
        History(shared_options.store().root), folder, dist=dist, nights=nights, title=title
    )
    if as_json:
        shared_options.print_json(done.as_json())
        return EXIT_OK
    pages = units.plural(len(done.written) + done.unchanged, "file")
    changed = (
        f"{len(done.written)} written, {done.unchanged} unchanged, {len(done.removed)} removed"
    )
    shared_options.say(f"{folder / 'index.html'}: {pages}, {units.size(done.bytes)}; {changed}")
    return EXIT_OK
