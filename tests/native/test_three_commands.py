"""From a model on a Hub to a published repository, by the three commands of the page about it."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.hub import Hub, Repo
from tests.hub.written import TOKEN
from tests.support.documents import blocks
from tests.support.typed_commands import RECIPES, ROOT, typed

PAGE = ROOT / "docs" / "how-to" / "three-commands.md"
NAME, MINE, COMMIT = "org/tiny-stories-1M", "me/tiny-stories-1M-GGUF", "7".rjust(40, "0")


def lasting(text: str) -> set[str]:
    """Lines without speeds, addresses, commits and the last digits of measures."""
    cut = re.sub(r"\d\.\d{3,}|\b\d{3,}\b|[+-]\d\.\d\d %|[0-9a-f]{12}: http\S*", "#", text)
    return {re.sub(r"(?: +#)+", " #", line).strip() for line in cut.splitlines() if line.strip()}


def test_the_page_s_three_commands_publish_a_model(
    without: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = without()
    model = shutil.copytree(RECIPES / "tiny" / "models" / "llama", tmp_path / "model")
    card = "---\nlicense: mit\nlanguage: en\n---\n# Tiny stories\n"
    (model / "README.md").write_text(card)
    work = tmp_path / "work"
    work.mkdir()
    shutil.copy(RECIPES / "tiny" / "corpus" / "perplexity.txt", work)
    monkeypatch.chdir(work)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    every = list(blocks(PAGE))
    commands = [one.text for one in every if one.language == "sh"]
    shown = lasting("\n".join(one.text for one in every if one.language == "text"))
    card_of = {"license": "mit", "language": "en"}
    with Hub({NAME: Repo(model, COMMIT, card=card_of)}, writable=tmp_path / "hub") as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        said = []
        for command in commands:
            _, *words = shlex.split(command)
            done = typed(*words, *(["-t", "1"] if words[0] == "run" else []), home=home)
            assert done.code == 0, done.all
            said.append(done.out)

    assert len(commands) == 3
    assert shown - lasting("\n".join(said)) == set()
    published = tmp_path / "hub" / "repos" / MINE
    assert len(list(published.glob("*.gguf"))) == 4
    assert "## Which file should I choose?" in (published / "README.md").read_text()
