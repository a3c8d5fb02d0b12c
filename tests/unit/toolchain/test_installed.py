"""Installed tools: which files belong to them, and what is left of a tool chain with them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from orchestrator.base.errors import UsageError
from orchestrator.toolchain import installed
from orchestrator.toolchain.load import ToolChain, load
from tests.support.installed_tools import installing, tool
from tests.support.plans import changed, make_chain


@pytest.fixture
def chain(tmp_path: Path) -> ToolChain:
    made = changed(make_chain(tmp_path), "verbs.bench_more", {"argv": ["{bin}/second{exe}"]})
    pinned = {"argv": ["{python}"], "pinned": True}
    return installing(changed(made, "verbs.complete_python", pinned))


@pytest.mark.parametrize("place", [".", "bin", "llama-b7", "build/bin"])
def test_the_folder_of_the_programs_is_found_in_what_is_named(
    tmp_path: Path, chain: ToolChain, place: str
) -> None:
    tool(tmp_path / "there" / place)
    assert chain.installed is not None

    found = installed.folder_of(tmp_path / "there", chain.installed)

    assert found == tmp_path / "there" / place


def test_a_folder_without_programs_is_refused_with_what_was_looked_for(
    tmp_path: Path, chain: ToolChain
) -> None:
    assert chain.installed is not None
    with pytest.raises(UsageError, match=r"no tools in .*: none of tool, other-tool"):
        installed.folder_of(tmp_path, chain.installed)


def test_libraries_beside_and_in_the_prefix_belong_to_the_programs(
    tmp_path: Path, chain: ToolChain
) -> None:
    cellar = tmp_path / "cellar" / "bin"
    program = tool(cellar)
    (tmp_path / "cellar" / "lib").mkdir()
    library = tmp_path / "cellar" / "lib" / "libtool.so.1"
    library.write_text("code")
    (tmp_path / "cellar" / "lib" / "libtool.so").symlink_to("libtool.so.1")
    (tmp_path / "cellar" / "lib" / "libother.so").write_text("not theirs")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "tool").symlink_to(program)

    found = installed.files(chain, tmp_path / "bin")

    assert found == {"tool": program, "libtool.so": library, "libtool.so.1": library}


def test_verbs_whose_program_is_not_there_are_gone_and_asking_for_one_names_it(
    tmp_path: Path, chain: ToolChain
) -> None:
    found = {"tool": tool(tmp_path / "bin")}

    own = installed.with_tools(chain, found, {"tool": "0" * 64})

    assert "quantize" in own.verbs
    assert not {"bench_more", "complete_python"} & own.verbs.keys()
    with pytest.raises(UsageError, match="'bench_more' needs second, which is not among"):
        own.verb("bench_more")
    with pytest.raises(UsageError, match="'quantize' needs tool, which is not among"):
        installed.with_tools(chain, {"second": tmp_path}, {})


def test_a_program_that_is_else_built_on_demand_is_taken_from_the_tools(
    tmp_path: Path, chain: ToolChain
) -> None:
    one = changed(chain, "verbs.embed", {"argv": ["{bin}/embed{exe}"], "program": "embed"})
    files = {"tool": tmp_path / "tool", "embed": tmp_path / "embed"}

    assert installed.with_tools(one, files, {}).verbs["embed"].program == ""
    assert "embed" not in installed.with_tools(one, {"tool": tmp_path / "tool"}, {}).verbs


def test_bindings_are_used_with_a_library_of_the_pinned_commit_alone(
    tmp_path: Path, chain: ToolChain
) -> None:
    files = {"tool": tool(tmp_path / "bin"), "libtool.so": tmp_path}

    assert "complete_python" in installed.with_tools(chain, files, {}).verbs
    other = chain.at(())
    assert "complete_python" not in installed.with_tools(other, files, {}).verbs


@pytest.mark.parametrize(
    ("said", "commit", "build"),
    [
        ("version: 0.5.0-dev (build 11312, commit 0c1e570)\nbuilt with GNU", "0c1e570", "11312"),
        ("version: 3821 (ea9c32b)\nbuilt with cc", "ea9c32b", "3821"),
        ("version: 6123 (1234567)", "1234567", "6123"),
        ("version: 5882 (unknown)", "", "5882"),
    ],
)
def test_what_llama_cpp_says_of_its_version_is_read(said: str, commit: str, build: str) -> None:
    data = load("llama.cpp").installed
    assert data is not None

    found = re.search(data.version, said)

    assert found is not None
    assert (found["commit"], found["build"]) == (commit, build)
