"""``orchestrate`` in this process, as the tests call it."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from orchestrator import cli
from tests.support.fake_steps import RECIPE


@dataclass
class Said:
    code: int
    out: str
    err: str


@dataclass
class Command:
    """``orchestrate`` in this process, in an empty folder."""

    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]

    def __call__(self, *arguments: str | Path) -> Said:
        self.monkeypatch.setattr(sys, "argv", ["orchestrate", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = self.capsys.readouterr()
        assert "Traceback" not in out + err
        code = ended.value.code
        assert isinstance(code, int)
        return Said(code, out, err)


def without_checksums() -> Path:
    """The tiny recipe without the bytes it states, which fakes cannot make."""
    lines = RECIPE.read_text().replace("models/", f"{RECIPE.parent}/models/")
    text = lines.replace("corpus/", f"{RECIPE.parent}/corpus/").partition("  sha256:\n")[0]
    path = Path("recipe.yaml")
    path.write_text(text)
    return path
