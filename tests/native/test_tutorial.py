"""The first tutorial, typed as it stands there, and what it shows of the output."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.documents import Block, blocks
from tests.support.typed_commands import ROOT
from tests.support.warm_store import Finished

TINY_PAGE = ROOT / "docs" / "tutorial" / "tiny.md"
PROGRAM = f"""#!{sys.executable}
import sys
sys.path.insert(0, {str(ROOT)!r})
from orchestrator.cli import main
main()
"""


def lasting(text: str) -> list[str]:
    """Lines without what differs between machines: speeds, and the last digits of measures."""
    found = []
    for line in text.splitlines():
        cells = re.split(r"\s{2,}", line.strip())
        if re.search(r"\.gguf$|for comparison$", cells[0]) and len(cells) > 4:
            cells = [*cells[:3], cells[-1]]
        found.append(re.sub(r"\b\d+\.\d{3,}\b", "#", "  ".join(cells)))
    return [line for line in found if line]


def shown(page: Path) -> list[tuple[Block, Block | None]]:
    """Each block of commands, with the block of output after it, if there is one."""
    every = list(blocks(page))
    after = [*every[1:], None]
    return [
        (one, next_ if next_ and next_.language == "text" else None)
        for one, next_ in zip(every, after, strict=True)
        if one.language == "sh" and "pip install" not in one.text
    ]


@pytest.fixture
def shell(without: Callable[..., Path], tmp_path: Path) -> Callable[[str], str]:
    """A shell beside a copy of the recipes, in which ``orchestrate`` is this one."""
    home = without()
    program = tmp_path / "bin" / "orchestrate"
    program.parent.mkdir()
    program.write_text(PROGRAM)
    program.chmod(0o755)
    place = tmp_path / "clone"
    shutil.copytree(ROOT / "recipes" / "tiny", place / "recipes" / "tiny")
    path = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
    settings = {"PATH": path, "ORCHESTRATE_HOME": str(home), "PAGER": "cat"}

    def run(script: str) -> str:
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=place,
            env={**os.environ, **settings},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=300,
        )
        assert "command not found" not in done.stdout, done.stdout
        return done.stdout

    return run


@pytest.mark.skipif(sys.platform == "win32", reason="the tutorial is typed in a shell of Unix")
def test_the_tutorial_shows_what_its_commands_print(shell: Callable[[str], str]) -> None:
    compared = 0
    for commands, output in shown(TINY_PAGE):
        said = lasting(shell(commands.text))
        if output is not None:
            compared += 1
            assert set(lasting(output.text)) <= set(said), f"{output}: the output is another"
    assert compared == 3


def test_the_readme_shows_the_table_of_its_first_run(finished: Finished) -> None:
    [block] = [one for one in blocks(ROOT / "README.md") if "tiny-llama: ok" in one.text]
    table = block.text.partition("tiny-llama: ok\n")[2].rpartition("Files and report")[0]

    assert set(lasting(table)) <= set(lasting(finished.said.out))
