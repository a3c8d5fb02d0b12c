"""Talking to a made model with upstream's own program, at a terminal and in Python."""

from __future__ import annotations

import json
import os
import pty
import select
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest
import requests

from tests.support.typed_commands import TINY, artifacts, typed
from tests.support.warm_store import Finished, link

_PATIENCE = 120.0
_PROMPT = b"\n> "


class Terminal:
    """A program at a terminal of its own."""

    def __init__(self, argv: Sequence[str]) -> None:
        self.pid, self._end = pty.fork()
        if self.pid == 0:
            os.execvp(argv[0], list(argv))
        self._seen = b""

    def until(self, wanted: bytes) -> bytes:
        """Everything up to what is wanted, since the last time."""
        limit = time.monotonic() + _PATIENCE
        with suppress(OSError):  # the terminal is closed when the program has ended
            while wanted not in self._seen and time.monotonic() < limit:
                if select.select([self._end], [], [], 1)[0]:
                    self._seen += os.read(self._end, 4096)
        before, found, self._seen = self._seen.partition(wanted)
        assert found, before[-2000:].decode()
        return before

    def type(self, keys: bytes) -> None:
        """Press keys."""
        os.write(self._end, keys)

    def code_after_ctrl_c(self) -> int:
        """The exit code, once it has ended; what it still says is read and dropped.

        Seldom upstream's program was seen to hang after Ctrl-C, without using the processor.
        Ctrl-\\ ends it then, as at any terminal.
        """
        with suppress(OSError):  # the terminal is closed when the program has ended
            for key in (b"\x03", b"\x1c"):
                self.type(key)
                while select.select([self._end], [], [], 15)[0]:
                    if not os.read(self._end, 4096):
                        raise OSError
        os.close(self._end)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def test_a_model_answers_at_the_terminal_and_ctrl_c_ends_it(
    finished: Finished, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCHESTRATE_HOME", str(finished.home))
    before = artifacts(finished.home)
    argv = [sys.executable, "-m", "orchestrator", "chat", str(TINY), "--only", "Q8_0", "-t", "1"]
    there = Terminal(argv)
    there.until(_PROMPT)
    there.type(b"Once upon a time\n")
    there.until(b"Once upon a time")
    there.until(b" the ")  # it tells its story without end: one Ctrl-C for that, one for all
    there.type(b"\x03")
    there.until(_PROMPT)
    # Upstream's own end; sometimes it aborts while it leaves, or has to be quit.
    assert there.code_after_ctrl_c() in {130, -6, 131, -3}
    assert artifacts(finished.home) == before


def test_the_lines_for_python_load_the_same_file_with_the_tool_chain_s_library(
    finished: Finished,
) -> None:
    said = typed("chat", TINY, "--only", "Q8_0", "--python", home=finished.home)
    first, *lines = said.out.splitlines()
    program = "; ".join(line.removeprefix(">>> ") for line in lines[:-1])
    asked = lines[-1].removeprefix(">>> ").replace("}])", "}], max_tokens=4)")
    variable, python = shlex.split(first)
    name, _, library = variable.partition("=")
    done = subprocess.run(
        [python, "-c", f'{program}; print(len({asked}["choices"]))'],
        env={**os.environ, name: library},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "1", done.stderr[-2000:]


def test_a_served_model_answers_openai_s_protocol_and_ends_with_ctrl_c(
    finished: Finished, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCHESTRATE_HOME", str(finished.home))
    link(finished.home, "llama.cpp", programs=["llama-server"])
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    words = ["serve", str(TINY), "--only", "Q8_0", "-t", "1", "--port", port]
    there = Terminal([sys.executable, "-m", "orchestrator", *words])
    said = there.until(b"listening on http://127.0.0.1:" + port.encode())
    command = next(line for line in said.decode().splitlines() if line.startswith("  curl "))
    asked = json.loads(shlex.split(command)[-1])
    answer = requests.post(
        shlex.split(command)[1], json={**asked, "max_tokens": 4}, timeout=_PATIENCE
    ).json()
    assert answer["model"] == asked["model"] == "tiny-llama-Q8_0"
    assert answer["usage"]["completion_tokens"] == 4
    assert answer["choices"][0]["message"]["content"]
    assert there.code_after_ctrl_c() in {0, 130, 131, -3}


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("README.md", "is no recipe and no model that a tool chain here can run"),
        ("nosuch", "there is no file, folder or recipe 'nosuch'"),
        ("empty", "holds no model, or several"),
    ],
)
def test_what_cannot_talk_is_refused(
    what: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "README.md").write_text("# a text\n")
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    done = typed("chat", what)
    assert done.code == 2
    assert said in done.all
