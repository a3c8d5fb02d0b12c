"""What the commands share: options, words and colours, the session they work in, Ctrl-C."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator.base import safe_text, terminal_colours
from orchestrator.commands import completion_values, interrupts

if TYPE_CHECKING:
    from orchestrator.base.command_output import Voice
    from orchestrator.base.errors import OrchestrateError
    from orchestrator.engine.artifact_store import Store
    from orchestrator.engine.progress_listeners import Watcher
    from orchestrator.engine.scheduler import Carrier
    from orchestrator.engine.shared_cache.places import Remote
    from orchestrator.planning.lockfile_check import Mode
    from orchestrator.runs.session import Session

RECIPES = click.argument(
    "recipes",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path),
    metavar="RECIPE...",
    shell_complete=completion_values.recipes,
)
AS_JSON = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON; all else goes to standard error."
)

TRUST_NETWORK = click.option(
    "--trust-network",
    is_flag=True,
    help="Accept a cluster beyond this machine without TLS: whoever reaches its ports can run "
    "programs on its machines.",
)
_CLUSTER = click.option(
    "--cluster",
    default="",
    show_default=False,
    metavar="ADDRESS",
    envvar="ORCHESTRATE_CLUSTER",
    help="Workers that carry the steps out: local:N, tcp://HOST:PORT or tls://HOST:PORT of a "
    "Dask scheduler; also ORCHESTRATE_CLUSTER.",
)

# Options of single commands; all others are those of a session.
_OWN = ("no_limits", "as_json", "rebuild_tools", "twice", "sign_key", "measure_again")

KEEP_LOGITS = "10GB"


def _bytes(_context: click.Context, _option: click.Parameter, text: str) -> int:
    from orchestrator.base import units

    return units.parse_size(text)


_OPTIONS = {
    "only": click.option(
        "--only",
        multiple=True,
        metavar="NAME",
        shell_complete=completion_values.only,
        help="Only this file or type of the recipes; may be given again.",
    ),
    "profile": click.option(
        "--profile",
        default="",
        show_default=False,
        metavar="NAME",
        shell_complete=completion_values.profiles,
        help="Build profile of the tool chain, such as native; without it, the recipe's.",
    ),
    "backend": click.option(
        "--backend",
        default="",
        show_default=False,
        metavar="NAME",
        shell_complete=completion_values.backends,
        help="Back end of the tool chain, such as cuda; without it, the recipe's.",
    ),
    "tools": click.option(
        "--tools",
        type=click.Path(path_type=Path, exists=True),
        help="Installed tools, in place of a build: their folder, or an archive of them.",
    ),
    "prebuilt": click.option(
        "--prebuilt", is_flag=True, help="Take upstream's own build of the commit, do not build."
    ),
    "jobs": click.option(
        "--jobs",
        "-j",
        type=click.IntRange(1),
        help="CPU-bound steps that run in parallel; without it, small ones share the cores.",
    ),
    "threads": click.option(
        "--threads",
        "-t",
        type=click.IntRange(1),
        help="Threads of all native tools together; without it, all cores.",
    ),
    "out": click.option(
        "--out",
        type=click.Path(path_type=Path, file_okay=False),
        default=Path("dist"),
        help="Folder for the output files.",
    ),
    "keep": click.option(
        "--keep",
        type=click.Choice(["all", "f16", "final"]),
        default="f16",
        help="Intermediate files to keep in the store: all, the converted file, or none.",
    ),
    "keep_logits": click.option(
        "--keep-logits",
        default=KEEP_LOGITS,
        metavar="SIZE",
        envvar="ORCHESTRATE_KEEP_LOGITS",
        callback=_bytes,
        help="With --keep f16: how much of the full files' logits stays in the store, so that one "
        "more type is compared without another pass; also ORCHESTRATE_KEEP_LOGITS.",
    ),
    "offline": click.option("--offline", is_flag=True, help="Use no network, only what is stored."),
    "locked": click.option("--locked", is_flag=True, help="Refuse recipes that have no lock."),
    "update_lock": click.option(
        "--update-lock", is_flag=True, help="Lock the recipes as they are now, first."
    ),
    "no_verify": click.option("--no-verify", is_flag=True, help="Make the files, measure nothing."),
    "verbose": click.option(
        "-v", "--verbose", is_flag=True, help="Show steps that are up to date too."
    ),
    "log_json": click.option(
        "--log-json",
        type=click.Path(path_type=Path, dir_okay=False),
        help="Append events to this file, one JSON object a line.",
    ),
}
# What holds for an option that a command does not have.
_ABSENT: dict[str, Any] = {
    **{"only": (), "profile": "", "backend": "", "tools": None, "prebuilt": False},
    **{"jobs": None, "threads": None, "keep": "f16", "cluster": "", "trust_network": False},
    "keep_logits": 0,
    **{"offline": False, "locked": False, "no_verify": False, "verbose": False, "log_json": None},
}
# For commands that can do with installed tools.
INSTALLED = ("tools", "prebuilt")
# Names of options that are the same wherever they stand.
SHARED = (*_OPTIONS, "as_json")
# For commands that run steps but make no files of recipes.
TOOLS = ("profile", "backend", "jobs", "threads", "offline", "verbose", "log_json")


def options(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The named options of a session, for a command that has no use for the others."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for name in reversed(names):
            command = _OPTIONS[name](command)
        return command

    return decorate


def on_cluster(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options of commands whose steps a cluster may carry out."""
    return _CLUSTER(TRUST_NETWORK(command))


def common(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options of every command that plans and runs recipes."""
    return options(*_OPTIONS)(command)


def say(text: str, end: str = "\n") -> None:
    """A result, to standard output."""
    click.echo(safe_text.terminal(text + end), nl=False)


def remark(text: str, end: str = "\n") -> None:
    """Progress, warnings and errors, to standard error."""
    click.echo(safe_text.terminal(text + end), nl=False, err=True)


def warn(text: str) -> None:
    """A warning, to standard error."""
    remark(f"{terminal_colours.status('warning')}: {text}")


def complain(error: object) -> None:
    """An error that does not end the command, to standard error."""
    remark(f"{terminal_colours.status('error')}: {error}")


def print_json(value: Any) -> None:
    """A result for programs, alone on standard output."""
    click.echo(safe_text.as_json(value))


def voice(as_json: bool) -> Voice:
    """Where a command's results and failures go."""
    from orchestrator.base.command_output import Voice

    return Voice(say, remark, print_json if as_json else None)


@contextlib.contextmanager
def session(options: dict[str, Any]) -> Iterator[Session]:
    """Store, settings and listener of a command, and Ctrl-C for its tools."""
    from orchestrator.base import machine_info
    from orchestrator.engine.scheduler import Settings
    from orchestrator.runs.session import Session, choices

    options = {**_ABSENT, **options}
    remote = shared_caches()
    settings = Settings(
        jobs=options["jobs"] or 0,
        threads=options["threads"] or machine_info.cores(),
        offline=options["offline"],
        keep=options["keep"],
        keep_logits=options["keep_logits"],
        remote=remote.offline() if options["offline"] else remote,
    )
    chosen = choices(
        options["only"], options["profile"], options["backend"], not options["no_verify"]
    )
    chosen = replace(chosen, tools=options["tools"], prebuilt=options["prebuilt"])
    listener = _listener(options)
    try:
        with interrupts.heeded(interrupts.stop_tools), contextlib.ExitStack() as stack:
            mode: Mode = "require" if options["locked"] else "use"
            begun = Session(store(), settings, chosen, listener, mode)
            if options["cluster"]:
                cluster = _connected(options, begun.store, settings.remote)
                begun = replace(begun, cluster=stack.enter_context(cluster))
            yield begun
    finally:
        listener.close()


def _connected(
    options: dict[str, Any], store: Store, remote: Remote
) -> contextlib.AbstractContextManager[Carrier]:
    from orchestrator.engine.cluster import addresses, connect

    addresses.check(options["cluster"], trust_network=options["trust_network"])
    return connect.connected(options["cluster"], store, remote)


def shared_caches() -> Remote:
    """The caches that the environment names; what reads that is imported where it says so."""
    from orchestrator.engine.shared_cache.places import VARIABLE, Remote

    if not os.environ.get(VARIABLE):
        return Remote()
    from orchestrator.engine.shared_cache import stated_places

    return stated_places.from_environment()


def store() -> Store:
    """The store of this user; warnings go to standard error.

    Raises:
        EnvironmentProblem: ORCHESTRATE_HOME can be no store.
    """
    from orchestrator.engine.artifact_store import Store

    found = Store(Store.default_root(), warn)
    found.require_usable()
    return found


def _listener(options: dict[str, Any]) -> Watcher:
    from orchestrator.base import machine_info
    from orchestrator.engine import progress_listeners
    from orchestrator.engine.pace import Pace

    pace = Pace(_durations)
    then: progress_listeners.Plain | progress_listeners.Bars
    if machine_info.terminal():
        from rich.console import Console

        coloured = terminal_colours.wanted(sys.stderr)
        rich = Console(stderr=True, color_system="auto" if coloured else None)
        then = progress_listeners.Bars(rich, options["verbose"], pace)
    else:
        then = progress_listeners.Plain(sys.stderr, options["verbose"], pace)
    return progress_listeners.JsonLog(options["log_json"], then) if options["log_json"] else then


def _durations() -> Mapping[str, float]:
    """What steps took the last time, for an estimate; nothing where the history is unusable."""
    from orchestrator.base.errors import EnvironmentProblem
    from orchestrator.history import History

    try:
        return History(store().root).durations()
    except EnvironmentProblem:
        return {}


def _last_of(problems: Sequence[OrchestrateError]) -> OrchestrateError:
    """The last problem, which ends the command, after the others were said."""
    *others, last = problems
    for other in others:
        complain(other)
    return last


def planning(command: Callable[..., int]) -> Callable[..., int]:
    """Hand a command its session and its plans."""

    @wraps(command)
    def call(recipes: Sequence[Path], **options: Any) -> int:
        from orchestrator.base.process import run_process
        from orchestrator.runs import load_and_plan

        own = {name: options.pop(name) for name in _OWN if name in options}
        # Without measures their texts are of no use; what makes the files is looked for later.
        loaded = load_and_plan.load(recipes, check_files=not options.get("no_verify"))
        with session(options) as begun:
            current = begun
            if options["update_lock"]:
                from orchestrator.runs import write_lockfiles

                write_lockfiles.write_locks(loaded, current, remark)
            if own.get("no_limits"):
                from orchestrator.recipe import without_checksums

                loaded = [without_checksums.relaxed(recipe) for recipe in loaded]
                current = replace(current, choices=replace(current.choices, stand_in=True))
            plans, problems = load_and_plan.make_possible(loaded, current)
            run_process.check_stopped()
            if not plans:
                raise _last_of(problems)
            code = command(current, plans, options, **own)
            for problem in problems:
                complain(problem)
            return max([code, *(problem.exit_code for problem in problems)])

    return call
