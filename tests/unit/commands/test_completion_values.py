"""Tab in real shells, typed by a program at a real terminal."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.shell_completion import CompletionItem

from orchestrator.commands.completion_values import (
    backends,
    keys,
    known,
    profiles,
    recipes,
    toolchains,
)
from orchestrator.toolchain import load
from tests.support.command_line import Command
from tests.support.fake_steps import RECIPE, ROOT

if sys.platform == "win32":
    pytest.skip("these shells are not there", allow_module_level=True)
import pexpect

SECONDS = 60
SHELLS = {
    "bash": ["--norc", "--noprofile", "-i"],
    "zsh": ["-f", "-i"],
    "fish": ["--no-config", "-i"],
}
# What a shell must be told before its script: zsh completes nothing by itself.
BEFORE = {"zsh": "autoload -Uz compinit && compinit -u -D"}


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with recipes, and ``orchestrate`` first on the path."""
    folder = tmp_path / "bin"
    folder.mkdir()
    script = folder / "orchestrate"
    script.write_text(
        f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(ROOT)!r})\n"
        "from orchestrator.cli import main\nsys.exit(main())\n"
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    place = tmp_path / "place"
    (place / "kitchen").mkdir(parents=True)
    (place / "kitchen" / "soup.yaml").write_text("quantize: [Q4_0, {type: Q8_0, name: best}]\n")
    (place / "kitchen" / "soup.lock.yaml").write_text("")
    (place / "notes.txt").write_text("")
    return place


def script(shell: str) -> str:
    done = subprocess.run(
        ["orchestrate", "completion", shell], capture_output=True, text=True, check=True
    )
    return done.stdout


def tab(shell: str, place: Path, typed: str, wanted: str) -> None:
    """Type into the shell, press Tab, and wait until it has completed the word."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    file = place.parent / f"complete.{shell}"
    file.write_text(script(shell))
    environment = {**os.environ, "TERM": "dumb", "PS1": "> "}
    child = pexpect.spawn(
        shell, SHELLS[shell], cwd=place, env=environment, timeout=SECONDS, encoding="utf-8"
    )
    try:
        child.sendline(f"{BEFORE.get(shell, 'true')}; source {file}; echo re''ady")
        child.expect("ready")
        child.send(f"orchestrate {typed}\t")
        child.expect_exact(wanted)
    finally:
        child.close(force=True)


@pytest.mark.parametrize("shell", ["bash", "zsh"])
@pytest.mark.parametrize(
    ("typed", "wanted"),
    [
        ("toolch", "orchestrate toolchain "),
        ("toolchain build bloomz.cpp-", "bloomz.cpp-phoenix"),
        ("run --upd", "orchestrate run --update-lock"),
        ("run kit", "orchestrate run kitchen/soup.yaml"),
        ("run kitchen/soup.yaml --only b", "--only best"),
    ],
)
def test_tab_completes(shell: str, typed: str, wanted: str, program: Path) -> None:
    tab(shell, program, typed, wanted)


@pytest.mark.parametrize(
    ("typed", "wanted"),
    [
        ("toolch", ["toolchain"]),
        ("toolchain build bloomz.cpp-", ["bloomz.cpp-phoenix"]),
        ("run --upd", ["--update-lock"]),
        ("run ", ["kitchen/soup.yaml"]),
        ("run kitchen/soup.yaml --only ", ["best", "Q4_0"]),
    ],
)
def test_fish_completes(typed: str, wanted: list[str], program: Path) -> None:
    """fish can be asked without a terminal what Tab would offer."""
    if shutil.which("fish") is None:
        pytest.skip("fish is not installed")
    file = program.parent / "complete.fish"
    file.write_text(script("fish"))
    asked = f"source {file}; complete -C 'orchestrate {typed}'"

    done = subprocess.run(
        ["fish", "--no-config", "-c", asked],
        cwd=program,
        capture_output=True,
        text=True,
        check=True,
        timeout=SECONDS,
    )

    assert [line.partition("\t")[0] for line in done.stdout.splitlines()] == wanted


Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def offered(completer: Completer, incomplete: str) -> list[CompletionItem]:
    command = click.Command("any")
    return completer(click.Context(command), click.Argument(["any"]), incomplete)


def values(completer: Completer, incomplete: str) -> list[str]:
    return [one.value for one in offered(completer, incomplete)]


def test_folders_elsewhere_are_looked_into(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(program / "kitchen")
    whole = f"{program}/"

    assert values(recipes, "")[:2] == ["soup.yaml", "bge-reranker-v2-m3"]
    assert values(recipes, "sm") == ["smollm2-135m", "smollm2-135m-requant", "smolvlm-256m"]
    assert values(recipes, "s")[0] == "soup.yaml"
    assert values(recipes, "../k") == ["../kitchen/soup.yaml"]
    assert values(recipes, whole) == [f"{whole}kitchen/soup.yaml"]
    [other] = offered(recipes, "no/such")
    assert other.type == "file"


@pytest.mark.usefixtures("fakes")
def test_keys_of_the_store_are_offered_with_what_they_are(orchestrate: Command) -> None:
    orchestrate("run", RECIPE, "--no-limits")

    found = {str(one.help): one.value for one in offered(keys, "")}

    key = found["convert tiny-llama to F16"]
    assert orchestrate("store", "path", key).code == 0
    begin = key[:3]
    assert values(keys, begin) == sorted(one for one in found.values() if one.startswith(begin))


@pytest.mark.usefixtures("fakes")
def test_recipes_of_the_history_are_offered_by_name(orchestrate: Command) -> None:
    Path("some.yaml").write_text("")
    assert values(known, "")[0] == "some.yaml"

    orchestrate("run", RECIPE, "--no-limits")

    assert values(known, "ti") == ["tiny-llama"]
    assert values(known, "so") == ["some.yaml"]


def test_every_tool_chain_is_offered() -> None:
    assert values(toolchains, "") == list(load.names())


def test_back_ends_and_profiles_are_those_of_the_tool_chains_on_the_line(tmp_path: Path) -> None:
    recipe = tmp_path / "old.yaml"
    recipe.write_text("toolchain: bloomz.cpp\n")
    every = {name for chain in load.names() for name in load.load(chain).build.backend_names}

    assert set(values(backends, "")) == every
    assert values(backends, "CU") == ["cuda"]
    assert values(profiles, "n") == ["native"]
    for word in (str(recipe), "bloomz.cpp"):
        ctx = click.Context(click.Command("run"))
        ctx.args = [word]
        assert [one.value for one in backends(ctx, click.Argument(["x"]), "")] == ["cpu"]


def test_completing_loads_nothing_heavy(program: Path) -> None:
    code = (
        "import sys\nfrom orchestrator.cli import cli\n"
        "try:\n    cli(prog_name='orchestrate')\nexcept SystemExit:\n    pass\n"
        "print('loaded', *sorted(sys.modules))\n"
    )
    environment = {
        **os.environ,
        "_ORCHESTRATE_COMPLETE": "bash_complete",
        "COMP_WORDS": "orchestrate run kit",
        "COMP_CWORD": "2",
    }

    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=program,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )

    assert "kitchen/soup.yaml" in done.stdout
    loaded = set(done.stdout.splitlines()[-1].split())
    assert loaded.isdisjoint({"yaml", "pydantic", "rich", "requests", "huggingface_hub", "numpy"})
