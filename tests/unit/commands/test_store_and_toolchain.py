"""The store and the tool chains, looked after."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from tests.support.command_line import Command
from tests.support.fake_steps import RECIPE


@pytest.mark.usefixtures("fakes")
def test_the_store_is_looked_after(orchestrate: Command) -> None:
    orchestrate("run", RECIPE, "--no-limits")
    listed = json.loads(orchestrate("store", "ls", "--json").out)
    text = orchestrate("store", "ls").out
    [convert] = [one for one in listed if one["kind"] == "convert"]

    assert f"{len(listed)} artifacts" in text
    assert convert["key"][:12] in text
    folder = Path(orchestrate("store", "path", convert["key"][:10]).out.strip())
    assert (folder / "model.gguf").read_text() == "convert tiny-llama to F16"
    assert orchestrate("store", "path").out.strip() == os.environ["ORCHESTRATE_HOME"]
    assert orchestrate("store", "path", "zzz").code == 2
    assert orchestrate("store", "path", "").code == 2
    assert orchestrate("store", "verify").code == 0

    file = folder / "model.gguf"
    file.chmod(0o644)
    file.write_text("Convert tiny-llama to F16")
    damaged = orchestrate("store", "verify")
    assert damaged.code == 1
    assert "damaged: convert tiny-llama to F16: model.gguf has other content" in damaged.out

    removed = orchestrate("store", "gc", "--max-size", "1B")
    assert removed.code == 0
    # References to files outside the store take no room, so they need not go.
    assert re.search(r"(?m)^\d+ artifacts removed$", removed.out)
    assert sum(one["size"] for one in json.loads(orchestrate("store", "ls", "--json").out)) <= 1
    assert orchestrate("store", "gc", "--max-size", "much").code == 2


@pytest.mark.usefixtures("fakes")
def test_tool_chains_are_listed_and_built(orchestrate: Command) -> None:
    before = json.loads(orchestrate("toolchain", "ls", "--json").out)
    assert {one["name"] for one in before} >= {"llama.cpp", "bloomz.cpp"}
    assert not any(one["built"] for one in before)

    said = orchestrate("toolchain", "build", "llama.cpp")

    assert said.code == 0
    assert "build llama.cpp 0c1e570: " in said.out
    [line] = [
        x for x in orchestrate("toolchain", "ls").out.splitlines() if x.startswith("llama.cpp ")
    ]
    assert " built " in line
    assert orchestrate("toolchain", "build", "nonsense").code == 2


@pytest.mark.usefixtures("fakes")
def test_another_commit_of_a_tool_chain_is_built_by_any_of_its_names(
    orchestrate: Command,
) -> None:
    offline = orchestrate("toolchain", "build", "llama.cpp", "--commit", "master", "--offline")
    said = orchestrate("toolchain", "build", "llama.cpp", "--commit", "e3a74b2", "--json")

    assert offline.code == 3
    assert "'master' of llama.cpp cannot be resolved to a commit offline" in offline.err
    assert said.code == 0
    assert "look into llama.cpp e3a74b2" in said.err
    assert "build llama.cpp e3a74b2" in [one["label"] for one in json.loads(said.out)]
