"""What the commands share: options, the session they work in, and Ctrl-C."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import wraps
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from orchestrator.console import Watcher
    from orchestrator.locking import Mode
    from orchestrator.store import Store
    from orchestrator.workflow import Session

RECIPES = click.argument(
    "recipes", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RECIPE..."
)


# Options of single commands; all others are those of a session.
_OWN = ("no_limits", "as_json", "rebuild_tools", "twice", "sign_key")

_OPTIONS = [
    click.option("--only", multiple=True, metavar="NAME", help="Only this file or type."),
    click.option("--profile", default="", metavar="NAME", help="Build profile: portable, native."),
    click.option("--backend", default="", metavar="NAME", help="cpu, cuda, metal or vulkan."),
    click.option(
        "--jobs", "-j", type=click.IntRange(1), default=1, help="CPU-bound steps at once."
    ),
    click.option(
        "--threads",
        "-t",
        type=click.IntRange(1),
        help="Threads of all native tools together; without it, all cores.",
    ),
    click.option(
        "--out",
        type=click.Path(path_type=Path, file_okay=False),
        default=Path("dist"),
        help="Where the files go (default: dist).",
    ),
    click.option(
        "--keep",
        type=click.Choice(["all", "f16", "final"]),
        default="f16",
        help="Intermediate files to keep in the store: all, the converted file, or none.",
    ),
    click.option("--offline", is_flag=True, help="Ask no network; use what is stored."),
    click.option("--locked", is_flag=True, help="Refuse recipes that have no lock."),
    click.option("--update-lock", is_flag=True, help="Lock the recipes as they are now, first."),
    click.option("--no-verify", is_flag=True, help="Make the files, measure nothing."),
    click.option("-v", "--verbose", is_flag=True, help="Show steps that are up to date too."),
    click.option(
        "--log-json",
        type=click.Path(path_type=Path, dir_okay=False),
        help="Append events to this file, one JSON object a line.",
    ),
]


def common(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options of every command that plans."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@contextlib.contextmanager
def session(options: dict[str, Any]) -> Iterator[Session]:
    """Store, settings and listener of a command, and Ctrl-C for its tools."""
    from orchestrator import machine, workflow
    from orchestrator.runner import Settings

    settings = Settings(
        jobs=options["jobs"],
        threads=options["threads"] or machine.cores(),
        offline=options["offline"],
        keep=options["keep"],
    )
    chosen = workflow.choices(
        options["only"], options["profile"], options["backend"], not options["no_verify"]
    )
    listener = _listener(options)
    try:
        with _interruptible():
            mode: Mode = "require" if options["locked"] else "use"
            yield workflow.Session(store(), settings, chosen, listener, mode)
    finally:
        listener.close()


def store() -> Store:
    """The store of this user; warnings go to standard error."""
    from orchestrator.store import Store

    return Store(
        Store.default_root(), lambda text: click.secho(f"warning: {text}", err=True, fg="yellow")
    )


def _listener(options: dict[str, Any]) -> Watcher:
    from orchestrator import console, machine

    then: console.Plain | console.Bars
    if machine.terminal():
        from rich.console import Console

        then = console.Bars(Console(stderr=True), options["verbose"])
    else:
        then = console.Plain(sys.stderr, options["verbose"])
    return console.JsonLog(options["log_json"], then) if options["log_json"] else then


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Ctrl-C and SIGTERM stop the running tools; the runner then raises Interrupted."""
    from orchestrator import process

    def stop(_number: int, _frame: FrameType | None) -> None:
        process.stop_all()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def planning(command: Callable[..., int]) -> Callable[..., int]:
    """Hand a command its session and its plans."""

    @wraps(command)
    def call(recipes: Sequence[Path], **options: Any) -> int:
        from orchestrator import workflow

        own = {name: options.pop(name) for name in _OWN if name in options}
        loaded = workflow.load(recipes)
        with session(options) as current:
            if options["update_lock"]:
                from orchestrator import pinning

                pinning.write_locks(loaded, current, lambda text: click.echo(text, err=True))
            if own.get("no_limits"):
                from orchestrator import standin

                loaded = [standin.relaxed(recipe) for recipe in loaded]
            plans = workflow.make(loaded, current)
            return command(current, plans, options, **own)

    return call
