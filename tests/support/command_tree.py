"""Every command of the program, for tests that hold something of all of them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from orchestrator.cli import cli

Path_ = tuple[str, ...]


def walk(command: click.Command = cli, path: Path_ = ()) -> Iterator[tuple[Path_, click.Command]]:
    """Each command and group with the words that call it, the program itself first."""
    yield path, command
    if isinstance(command, click.Group):
        for name, child in command.commands.items():
            yield from walk(child, (*path, name))


COMMANDS = dict(walk())
LEAVES = {path: one for path, one in COMMANDS.items() if not isinstance(one, click.Group)}


def help_of(path: Path_) -> str:
    """The help as it is printed, on a terminal of the usual width."""
    ctx = click.Context(cli, info_name="orchestrate", show_default=True)
    command: click.Command = cli
    for name in path:
        assert isinstance(command, click.Group)
        command = command.commands[name]
        ctx = click.Context(command, info_name=name, parent=ctx)
    return command.get_help(ctx)


def words(line: str) -> list[str]:
    """The arguments of the first program of a line of shell: without what it hands on to."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    found: list[str] = []
    for word in lexer:
        if re.fullmatch(r"[|&;<>()]+", word):
            break
        found.append(word)
    return found


def parse(monkeypatch: pytest.MonkeyPatch, line: str) -> list[click.Command]:
    """Let click parse ``orchestrate ...`` without running it; the commands it found.

    Raises:
        click.UsageError: click does not understand the line.
    """
    called: list[click.Command] = []

    def convert(_self: click.Path, value: Any, *_rest: object) -> Path:
        return Path(value)

    def invoke(self: click.Command, _ctx: click.Context) -> None:
        called.append(self)

    program, *arguments = words(line)
    assert program == "orchestrate", line
    with monkeypatch.context() as patch:
        patch.setattr(click.Path, "convert", convert)
        patch.setattr(click.Command, "invoke", invoke)
        try:
            cli(arguments, standalone_mode=False, prog_name="orchestrate")
        except click.exceptions.NoArgsIsHelpError as error:
            raise click.UsageError(f"{line!r} only prints help") from error
    return called
