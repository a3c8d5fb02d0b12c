"""The guards of the unit tests themselves."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).parents[1] / "conftest.py"


ATTEMPTS = (
    "socket.create_connection(('192.0.2.1', 80), timeout=1)",
    "socket.getaddrinfo('example.org', 443)",
    "socket.socket().connect_ex(('192.0.2.1', 80))",
)


def test_an_attempt_to_reach_another_host_fails_even_if_swallowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(CONFTEST, tmp_path / "conftest.py")
    body = "def test_{}():\n    try:\n        {}\n    except Exception:\n        return\n"
    tests = "".join(body.format(number, attempt) for number, attempt in enumerate(ATTEMPTS))
    (tmp_path / "test_escape.py").write_text(f"import socket\n{tests}")
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"{len(ATTEMPTS)} errors" in done.stdout


def test_this_machine_can_be_reached() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        for host in ("127.0.0.1", "localhost"):
            socket.create_connection((host, port)).close()


def test_homes_are_temporary(tmp_path_factory: pytest.TempPathFactory) -> None:
    base = tmp_path_factory.getbasetemp()
    for name in ("HOME", "HF_HOME", "ORCHESTRATE_HOME", "XDG_CACHE_HOME"):
        assert Path(os.environ[name]).is_relative_to(base)
