"""Which tools run which model file."""

from __future__ import annotations

import json
import shlex
import socket
from pathlib import Path

import pytest

from orchestrator.base.errors import EnvironmentProblem, UsageError
from orchestrator.base.installed_data import TOOLCHAINS
from orchestrator.toolchain import find_toolchain
from orchestrator.workflows import use_model


@pytest.mark.parametrize(
    ("file", "chain"),
    [
        ("llama.cpp/selftest.gguf", "llama.cpp"),
        # A file of floats alone is of every age: the newest tools read it.
        ("llama.cpp-ggjt-v1/selftest.bin", "llama.cpp-ggjt-v3"),
        ("bloomz.cpp/selftest.bin", "bloomz.cpp"),
    ],
)
def test_a_file_is_run_by_the_tools_of_its_age(file: str, chain: str) -> None:
    assert use_model.tools_for(TOOLCHAINS / file)[1].name == chain


def test_a_folder_stands_for_the_one_model_in_it(tmp_path: Path) -> None:
    content = (TOOLCHAINS / "llama.cpp" / "selftest.gguf").read_bytes()
    (tmp_path / "one.gguf").write_bytes(content)
    assert use_model.tools_for(tmp_path)[0] == tmp_path / "one.gguf"
    (tmp_path / "two.gguf").write_bytes(content)
    with pytest.raises(UsageError, match="holds no model, or several"):
        use_model.tools_for(tmp_path)


def test_the_command_line_is_that_of_the_tool_chain_s_data(tmp_path: Path) -> None:
    chain = find_toolchain.load("llama.cpp")
    ready = use_model.Ready(tmp_path / "m.gguf", "m", chain, {"toolchain": tmp_path}, 3)
    argv = ready.argv("chat", context=99)
    assert argv[1:] == ["-m", str(tmp_path / "m.gguf"), "-cnv", "-c", "99", "-t", "3"]
    assert Path(argv[0]).parent == tmp_path / "bin"


def test_tools_that_cannot_talk_say_so(tmp_path: Path) -> None:
    chain = find_toolchain.load("bloomz.cpp")
    ready = use_model.Ready(tmp_path, "m", chain, {"toolchain": tmp_path}, 1)
    with pytest.raises(UsageError, match=r"bloomz\.cpp cannot chat"):
        ready.argv("chat", context=99)


def test_a_taken_port_is_told_before_anything_is_made(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            EnvironmentProblem, match=f"'127.0.0.1', port {port}, cannot be listened at"
        ):
            use_model.require_free("127.0.0.1", port)
    use_model.require_free("127.0.0.1", port)


def test_the_line_that_asks_is_one_that_a_shell_takes() -> None:
    *_, line = use_model.how_to_ask("::1", 80, "it's").splitlines()
    words = shlex.split(line)
    assert words[:2] == ["curl", "http://[::1]:80/v1/chat/completions"]
    assert json.loads(words[-1])["model"] == "it's"


def test_an_empty_address_is_told() -> None:
    with pytest.raises(EnvironmentProblem, match="'', port 8080, cannot be listened at"):
        use_model.require_free("", 8080)


def test_a_file_that_was_cut_is_told_before_any_tool_starts(tmp_path: Path) -> None:
    content = (TOOLCHAINS / "llama.cpp" / "selftest.gguf").read_bytes()
    (tmp_path / "cut.gguf").write_bytes(content[:-40])
    with pytest.raises(UsageError, match=r"cut\.gguf: at byte"):
        use_model.tools_for(tmp_path / "cut.gguf")
