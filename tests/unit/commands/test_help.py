"""What holds for every command: help, an example that works, options, JSON."""

from __future__ import annotations

import re
from pathlib import PurePath

import click
import pytest

from orchestrator.commands import shared_options
from orchestrator.commands.help_sections import SECTIONS
from tests.support.command_tree import COMMANDS, LEAVES, Path_, help_of, parse

# Their output is a document for another program, whole.
# What is no report: texts for people or programs, and a program of upstream.
DOCUMENTS = {("chat",), ("serve",), ("worker",), ("schema",), ("completion",), ("adopt",)}
NAMES = [" ".join(path) for path in COMMANDS]


def summary(path: Path_) -> str:
    return (COMMANDS[path].help or "").partition("\n")[0]


def example(path: Path_) -> list[str]:
    """The lines of the Example block of a help."""
    blocks = re.findall(r"(?m)^  Example:\n((?:    .+\n?)+)", help_of(path))
    assert len(blocks) == 1, f"{path} has {len(blocks)} examples"
    return [line.strip() for line in str(blocks[0]).splitlines()]


@pytest.mark.parametrize("name", NAMES)
def test_a_command_says_what_it_does_in_a_line_and_then_more(name: str) -> None:
    path = tuple(name.split())
    told = summary(path)

    # Below each other in a help of 80 columns, each keeps to its line.
    assert re.fullmatch(r"[A-Z].{10,55}\." if len(path) == 1 else r"[A-Z].{10,80}\.", told), told
    if path in LEAVES:
        assert len((COMMANDS[path].help or "").split("\n\n")) >= 3, "says no more than its summary"


@pytest.mark.parametrize("name", NAMES)
def test_a_command_has_one_example_and_click_understands_it(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tuple(name.split())
    for line in example(path):
        called = parse(monkeypatch, line)
        assert COMMANDS[path] in called
        assert called[-1] in LEAVES.values()


@pytest.mark.parametrize("line", ["orchestrate run --nonsense x", "orchestrate run", "orchestrate"])
def test_an_example_that_click_does_not_understand_is_found(
    monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    with pytest.raises(click.UsageError):
        parse(monkeypatch, line)


def test_every_command_has_its_section() -> None:
    listed = [name for names in SECTIONS.values() for name in names]

    assert len(listed) == len(set(listed))
    assert {path[0] for path in COMMANDS if path} <= set(listed)
    for (name,) in (path for path in COMMANDS if len(path) == 1):
        assert re.search(rf"(?m)^  {name} +\S", help_of(())), name


def test_every_command_that_reports_has_json() -> None:
    with_json = {
        path
        for path, command in LEAVES.items()
        if any("--json" in parameter.opts for parameter in command.params)
    }

    assert set(LEAVES) - with_json == DOCUMENTS & set(LEAVES)


def test_every_option_says_what_it_is_for_and_what_holds_without_it() -> None:
    for path, command in COMMANDS.items():
        told = help_of(path)
        for option in (one for one in command.params if isinstance(one, click.Option)):
            assert option.help, (path, option.name)
            assert '[default: ""' not in told, (path, option.name)
            assert option.help.endswith("."), (path, option.name)
            if isinstance(option.default, str | int | PurePath) and not option.is_flag:
                shown = f"[default: {option.default}" in " ".join(told.split())
                assert shown or option.default == "", (path, option.name)


def test_an_option_is_the_same_wherever_it_stands() -> None:
    seen: dict[str, tuple[Path_, object]] = {}
    for path, command in LEAVES.items():
        for option in (one for one in command.params if isinstance(one, click.Option)):
            if option.name not in shared_options.SHARED:
                continue
            shape = (option.opts, option.type.to_info_dict(), option.default, option.help)
            first, known = seen.setdefault(str(option.name), (path, shape))
            assert shape == known, f"--{option.name} of {path} is not that of {first}"
