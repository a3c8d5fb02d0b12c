"""Names that are no ASCII, in any locale, and names that are no text at all."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.recipes import MINIMAL

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="names are bytes on Linux")

LOCALES = (
    {"LC_ALL": "C", "PYTHONUTF8": "0"},
    {"LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    {"LC_ALL": "C.UTF-8"},
)


def check(folder: Path, name: bytes, locale: dict[str, str]) -> subprocess.CompletedProcess[bytes]:
    """Check a recipe in a process of its own, as a program started in this locale."""
    kept = {key: os.environ[key] for key in ("PATH", "PYTHONPATH", "HOME") if key in os.environ}
    argv: list[str | bytes] = [sys.executable, "-m", "orchestrator", "check", "--json", name]
    env = {**kept, **locale}
    return subprocess.run(argv, cwd=folder, env=env, capture_output=True, check=False)


@pytest.mark.parametrize("locale", LOCALES)
def test_a_name_in_any_script_stays_what_it_is(tmp_path: Path, locale: dict[str, str]) -> None:
    name = "ll\u00e4m\u0430-\u65e5\u672c.yaml"
    folder = tmp_path / "f\u00f6lder"
    folder.mkdir()
    (folder / name).write_text(MINIMAL)
    done = check(folder, name.encode(), locale)
    assert done.returncode == 0, done.stderr
    assert name.encode() in done.stdout


@pytest.mark.parametrize("locale", LOCALES)
def test_a_name_that_is_no_text_is_refused(tmp_path: Path, locale: dict[str, str]) -> None:
    done = check(tmp_path, b"caf\xe9.yaml", locale)
    assert done.returncode == 2
    assert done.stderr.startswith(b"error: 'caf\\xe9.yaml' is not UTF-8 text\n")


def test_a_folder_whose_name_is_no_text_is_refused(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path) + b"/caf\xe9"
    os.mkdir(folder)  # noqa: PTH102 - bytes
    done = check(Path(os.fsdecode(folder)), b"x.yaml", LOCALES[-1])
    assert done.returncode == 2
    assert b"caf\\xe9' is not UTF-8 text" in done.stderr
