"""What a tool's environment holds, and what the log may say about it."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

SECRET = re.compile(r"TOKEN(?!IZER)|SECRET|PASSW|PASSPHRASE|CREDENTIAL|KEY(S?$|_)", re.IGNORECASE)
# git reads its configuration from these; the names of its settings are no secrets.
NOT_SECRET = re.compile(r"GIT_CONFIG_KEY_\d+")
# What is dropped because it would change what a tool does, or the bytes that a build makes.
LEAKING = re.compile(
    r"PYTHON.*|__PYVENV.*|VIRTUAL_ENV.*|CPPFLAGS|C(XX)?FLAGS|LDFLAGS|CMAKE_(ARGS|GENERATOR.*)"
    r"|LLAMA_.*|GGML_.*|GIT_(DIR|WORK_TREE|INDEX_FILE|PREFIX|OBJECT_DIRECTORY)|MAKEFLAGS|MFLAGS"
)
UNLOGGED = re.compile(r"GIT_CONFIG_VALUE_\d+")  # may be an authorization header
CREDENTIALS_IN_URL = re.compile(r"(?<=://)[^/\s@]+@")
# Shorter values would also blank out innocent words.
LEAST_SECRET = 6


def clean_env(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return this process's environment for a tool, without secrets and what changes results.

    Dropped: tokens, keys and passwords by their names, Python's and llama.cpp's own
    variables, compiler flags, the repository a git hook runs in. ``extra`` is added as it is.
    OMP_WAIT_POLICY is PASSIVE unless it was set: spinning threads hurt whoever shares a core.
    """
    kept = {name: value for name, value in os.environ.items() if not _is_dropped(name)}
    kept.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    return {**kept, **(extra or {})}


def _is_dropped(name: str) -> bool:
    return is_secret(name) or LEAKING.fullmatch(name) is not None


def is_secret(name: str) -> bool:
    """Tell by a variable's name whether its value must not be shown."""
    return SECRET.search(name) is not None and NOT_SECRET.fullmatch(name) is None


def describe(argv: Sequence[str], cwd: Path, env: Mapping[str, str]) -> str:
    """Return the head of a log: command, folder, and how the environment differs from ours."""
    lines = [f"$ {shlex.join(argv)}", f"# in {cwd}"]
    for name in sorted(set(env) | set(os.environ)):
        if name not in env:
            lines.append(f"# without {name}")
        elif is_secret(name) or UNLOGGED.fullmatch(name):
            lines.append(f"# {name}=(not shown)")
        elif os.environ.get(name) != env[name]:
            lines.append(f"# {name}={shlex.quote(env[name])}")
    return censored("\n".join(lines) + "\n", env)


def censored(text: str, env: Mapping[str, str] | None = None) -> str:
    """A text without the values of secret variables and without credentials in addresses.

    Args:
        text: What is to be shown.
        env: More variables than those of this process.
    """
    for name, value in {**os.environ, **(env or {})}.items():
        if is_secret(name) and len(value) >= LEAST_SECRET:
            text = text.replace(value, "(not shown)")
    return CREDENTIALS_IN_URL.sub("(not shown)@", text)
