"""Scripts in the place of tools that note their environment, and secrets they must not see."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

# What users have in their environment for other programs, each with a value of its own.
SECRETS = {
    "HF_TOKEN": "hf_canary_1",
    "AWS_SECRET_ACCESS_KEY": "canary-2",
    "DATABASE_URL": "postgres://me:canary-3@db/x",
    "GH_PAT": "canary-4",
    "NPM_AUTH": "canary-5",
    "ORCHESTRATE_WEBHOOK": "https://hooks.invalid/canary-6",
}
OF_GIT = {
    "SSH_AUTH_SOCK": "/canary-7/agent",
    "GIT_CONFIG_COUNT": "1",
    "GIT_CONFIG_KEY_0": "http.extraHeader",
    "GIT_CONFIG_VALUE_0": "Authorization: Basic canary-8",
}
OF_PIP = {"PIP_INDEX_URL": "https://user:canary-9@index.invalid/simple"}
ALL = {**SECRETS, **OF_GIT, **OF_PIP}


def set_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put all of them into this process's environment."""
    for name, value in ALL.items():
        monkeypatch.setenv(name, value)


def shim(folder: Path, name: str, then: str = "") -> Path:
    """A tool that adds its environment to ``<name>.env`` beside it and goes on with ``then``."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    notes = folder / f"{name}.env"
    path.write_text(f'#!/bin/sh\n{shutil.which("env")} >> "{notes}"\n{then}\n', encoding="utf-8")
    path.chmod(0o755)
    return path


def passing_shim(folder: Path, name: str) -> Path:
    """The same in front of the real tool."""
    real = shutil.which(name)
    assert real is not None, name
    return shim(folder, name, f'exec "{real}" "$@"')


def first_on_path(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let programs be looked for in ``folder`` first."""
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def environment_of(folder: Path, name: str) -> dict[str, str]:
    """What the shim saw, in all of its calls; it must have been called."""
    lines = (folder / f"{name}.env").read_text("utf-8").splitlines()
    return dict(line.partition("=")[::2] for line in lines if "=" in line)


def secrets_seen(folder: Path, name: str) -> set[str]:
    """Which of all secrets the shim saw, under whatever name."""
    seen = environment_of(folder, name)
    by_value = {one for one, value in ALL.items() if len(value) > 1 and value in seen.values()}
    return by_value | {one for one in ALL if one in seen}


def only(folder: Path, *programs: str) -> str:
    """A PATH with these programs and no others."""
    folder.mkdir()
    for name in programs:
        found = shutil.which(name)
        assert found is not None, name
        (folder / name).symlink_to(found)
    return str(folder)
