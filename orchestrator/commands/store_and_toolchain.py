"""The commands about what is on this machine: doctor, store, toolchain."""

from __future__ import annotations

from typing import Any

import click

from orchestrator.base.errors import EXIT_ENVIRONMENT, EXIT_FAILED, EXIT_OK
from orchestrator.commands import completion_values, help_sections, shared_cache, shared_options
from orchestrator.commands.shared_options import AS_JSON


def register(cli: click.Group) -> None:
    """Add the commands of this module."""
    for command in (doctor, store, toolchain):
        cli.add_command(command)
    shared_cache.register(store)


@click.command()
@AS_JSON
def doctor(as_json: bool) -> int:
    """Say what this machine lacks, and what to do.

    Looks for a compiler and git, at disk, memory and the processor, and whether the hosts
    answer that runs fetch from. Nothing is installed or changed.

    \b
    Example:
      orchestrate doctor

    \b
    Exit codes: 0 a run can begin; 3 something that every run needs is missing.
    """
    from orchestrator.workflows import doctor as doctor_

    found = doctor_.examine(shared_options.store().root)
    if as_json:
        shared_options.print_json(doctor_.as_json(found))
    else:
        shared_options.say(doctor_.text(found))
    return EXIT_OK if doctor_.sound(found) else EXIT_ENVIRONMENT


@click.group(cls=help_sections.Commands)
def store() -> None:
    """List, check and clean the store of finished steps.

    It lies in the user's cache folder, or where ORCHESTRATE_HOME says. Whatever is removed
    from it is made again when it is needed.

    \b
    Example:
      orchestrate store ls
    """


@store.command("ls")
@AS_JSON
def store_ls(as_json: bool) -> int:
    """List what is stored, the oldest first.

    Of each artifact the beginning of its key, its kind, its size and what it is. --json gives
    whole keys, in their own order.

    \b
    Example:
      orchestrate store ls --json
    """
    from orchestrator.commands import display_store

    found = shared_options.store().artifacts()
    shared_options.say(display_store.artifacts(found, as_json=as_json))
    return EXIT_OK


@store.command("path")
@click.argument("key", required=False, shell_complete=completion_values.keys)
@AS_JSON
def store_path(key: str | None, as_json: bool) -> int:
    """Print the folder of the store, or of one artifact.

    KEY is the key of an artifact, or as much of its beginning as only one has.

    \b
    Example:
      orchestrate store path

    \b
    Exit codes: 0 printed; 2 no artifact, or several, have a key that begins so.
    """
    from orchestrator.commands.display_store import artifact_path

    path = str(artifact_path(shared_options.store(), key))
    if as_json:
        shared_options.print_json({"path": path})
    else:
        shared_options.say(path)
    return EXIT_OK


@store.command("verify")
@AS_JSON
def store_verify(as_json: bool) -> int:
    """Read every stored file again and compare it with its checksum.

    Damaged artifacts are set aside; the next run that needs them makes them again.

    \b
    Example:
      orchestrate store verify

    \b
    Exit codes: 0 all is sound; 1 something was damaged.
    """
    from orchestrator.commands import display_store

    text, sound = display_store.verified(shared_options.store().verify(), as_json=as_json)
    shared_options.say(text)
    return EXIT_OK if sound else EXIT_FAILED


@store.command("gc")
@click.option(
    "--max-size",
    default="",
    show_default=False,
    metavar="SIZE",
    help="Remove least recently used artifacts until the store is this small, such as 50GB; "
    "without it, only leftovers of killed runs are removed.",
)
@AS_JSON
def store_gc(max_size: str, as_json: bool) -> int:
    """Remove leftovers, and the least recently used beyond --max-size.

    What a run makes or needs at the moment stays. Files in output folders stay too.

    \b
    Example:
      orchestrate store gc --max-size 50GB
    """
    from orchestrator.base import units
    from orchestrator.commands import display_store

    limit = units.parse_size(max_size) if max_size else None
    removed = shared_options.store().gc(max_bytes=limit)
    shared_options.say(display_store.collected(removed, as_json=as_json))
    return EXIT_OK


@click.group(cls=help_sections.Commands)
def toolchain() -> None:
    """List and build the pinned upstream tools.

    \b
    Example:
      orchestrate toolchain ls
    """


@toolchain.command("ls")
@AS_JSON
def toolchain_ls(as_json: bool) -> int:
    """List the tool chains, their pins and whether they are built here.

    A tool chain is a folder of data in vendor/. 'built' means its default build for this
    machine is in the store, with its Python environment.

    \b
    Example:
      orchestrate toolchain ls
    """
    from orchestrator.commands import display_store

    shared_options.say(display_store.toolchains(shared_options.store(), as_json=as_json))
    return EXIT_OK


@toolchain.command("build")
@click.argument("name", shell_complete=completion_values.toolchains)
@click.option(
    "--commit",
    default="",
    show_default=False,
    metavar="SHA",
    help="Another commit than the pinned one, or a tag or branch of upstream.",
)
@shared_options.options(*shared_options.TOOLS, *shared_options.INSTALLED)
@AS_JSON
def toolchain_build(name: str, commit: str, as_json: bool, **options: Any) -> int:
    """Build a tool chain and its Python environment.

    'run' does this by itself; built before, it makes plans exact and runs possible offline.
    Of another commit the variants of the data hold that fit its source.
    With --tools or --prebuilt nothing is compiled: the tools are tested, and it is said whether
    they make the bytes of the portable build.

    \b
    Example:
      orchestrate toolchain build llama.cpp
      orchestrate toolchain build llama.cpp --tools /usr/bin

    \b
    Exit codes: 0 built; 1 the build failed; 2 no such tool chain; 3 no compiler or source.
    """
    from orchestrator.commands import run_and_show

    with shared_options.session(options) as session:
        return run_and_show.build(session, name, commit, shared_options.voice(as_json))
