"""What each class of tools sees of the user's environment: what it needs, and no secret."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

from orchestrator.base.process.environment_variables import GROUPS, Tool, clean_env
from tests.support.child_processes import run
from tests.support.shims import OF_GIT, OF_PIP, environment_of, secrets_seen, set_secrets, shim

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the shims are shell scripts")
SECURITY = Path(__file__).resolve().parents[4] / "docs" / "explanation" / "security.md"


@pytest.mark.parametrize(
    ("tool", "needed"),
    [
        ("tool", set()),
        ("compiler", set()),
        ("pip", set(OF_PIP)),
        ("git", set(OF_GIT)),
        ("own", {*OF_PIP, *OF_GIT}),
    ],
)
def test_a_tool_sees_the_secrets_of_its_class_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tool: Tool, needed: set[str]
) -> None:
    set_secrets(monkeypatch)
    path = shim(tmp_path, "anything")

    run(tmp_path, [str(path)], env=clean_env(tool=tool))

    assert secrets_seen(tmp_path, "anything") == needed


def test_without_a_given_environment_a_program_is_a_tool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_secrets(monkeypatch)

    run(tmp_path, [str(shim(tmp_path, "anything"))])

    assert secrets_seen(tmp_path, "anything") == set()
    assert "HOME" not in environment_of(tmp_path, "anything")


NEEDED: dict[Tool, tuple[str, ...]] = {
    "tool": ("PATH", "LC_ALL", "TZ", "TMPDIR", "OMP_NUM_THREADS", "LD_LIBRARY_PATH", "SYSTEMROOT"),
    "compiler": ("HOME", "CC", "CXX", "CMAKE_PREFIX_PATH", "CUDACXX", "NINJA_STATUS", "CUDA_PATH"),
    "pip": ("HOME", "PIP_FIND_LINKS", "SSL_CERT_FILE", "https_proxy", "CXX", "XDG_CONFIG_HOME"),
    "git": ("HOME", "GIT_SSH_COMMAND", "GIT_ASKPASS", "GIT_SSL_KEY", "HTTPS_PROXY", "GNUPGHOME"),
    "own": ("HF_HUB_CACHE", "HF_ENDPOINT", "PIP_FIND_LINKS", "GIT_SSH", "CC", "no_proxy"),
}


@pytest.mark.parametrize("tool", GROUPS)
def test_a_tool_gets_what_it_needs(monkeypatch: pytest.MonkeyPatch, tool: Tool) -> None:
    for name in NEEDED[tool]:
        monkeypatch.setenv(name, f"/{name}")

    found = clean_env(tool=tool)

    assert {name: found.get(name) for name in NEEDED[tool]} == {
        name: f"/{name}" for name in NEEDED[tool]
    }


@pytest.mark.parametrize("tool", GROUPS)
def test_a_variable_that_nobody_knows_reaches_no_tool(
    monkeypatch: pytest.MonkeyPatch, tool: Tool
) -> None:
    for name in ("SOMETHING", "XPATH", "PATHX", "SLACK_URL", "LC"):
        monkeypatch.setenv(name, "x")

    assert not {"SOMETHING", "XPATH", "PATHX", "SLACK_URL", "LC"} & set(clean_env(tool=tool))


@pytest.mark.parametrize("tool", ["tool", "compiler"])
def test_a_value_with_a_password_stays_here_under_an_allowed_name(
    monkeypatch: pytest.MonkeyPatch, tool: Tool
) -> None:
    values = {"CCACHE_REMOTE_STORAGE": "http://me:pw@cache/", "CUDA_ACCESS_TOKEN": "x"}
    for name, value in values.items():
        monkeypatch.setenv(name, value)

    assert not set(values) & set(clean_env(tool=tool))


@pytest.mark.parametrize("tool", GROUPS)
def test_what_would_change_results_reaches_no_tool(
    monkeypatch: pytest.MonkeyPatch, tool: Tool
) -> None:
    leaking = {
        *("PYTHONPATH", "PYTHONHOME", "CFLAGS", "CXXFLAGS", "LDFLAGS", "CMAKE_ARGS"),
        *("LLAMA_ARG_CTX_SIZE", "GGML_X", "GIT_DIR", "MAKEFLAGS", "CMAKE_GENERATOR"),
    }
    for name in leaking:
        monkeypatch.setenv(name, "x")

    assert not leaking & set(clean_env(tool=tool))


def test_what_a_step_states_is_added_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)

    env = clean_env({"LLAMA_CPP_LIB_PATH": "lib", "HF_HUB_OFFLINE": "1"})

    assert (env["LLAMA_CPP_LIB_PATH"], env["HF_HUB_OFFLINE"]) == ("lib", "1")
    assert env["PATH"] == os.environ["PATH"]
    assert env["OMP_WAIT_POLICY"] == "PASSIVE"
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    assert clean_env()["OMP_WAIT_POLICY"] == "ACTIVE"


def test_the_docs_name_every_class_of_tools_and_its_groups() -> None:
    rows = re.findall(r"^\| `(\w+)` \|.*\| ([\w, ]+) \|$", SECURITY.read_text("utf-8"), re.M)

    assert {name: tuple(groups.split(", ")) for name, groups in rows} == GROUPS
