"""A locked environment gets the locked packages, not the newest: with real venv and pip."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from pathlib import Path

import pytest

from orchestrator.base.step_values import Step, Task
from orchestrator.steps import environment


def write_wheel(folder: Path, name: str, version: str) -> None:
    """A wheel of one module, as small as pip accepts it."""
    info = f"{name}-{version}.dist-info"
    content = {
        f"{name}.py": f"VERSION = {version!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = [f"{file},sha256={_digest(text)},{len(text)}" for file, text in content.items()]
    content[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,"]) + "\n"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        for file, text in content.items():
            archive.writestr(file, text)


def _digest(text: str) -> str:
    raw = hashlib.sha256(text.encode()).digest()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


@pytest.mark.parametrize(("constraints", "version"), [([], "2.0"), (["thing==1.0"], "1.0")])
def test_constraints_of_a_lock_are_kept(
    constraints: list[str], version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for release in ("1.0", "2.0"):
        write_wheel(tmp_path, "thing", release)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    for name in ("work", "scratch"):
        (tmp_path / name).mkdir()
    params = {"requirements": "thing\n", "install_env": {}}
    context = {"imports": ["thing"], "extra_index": "", "constraints": constraints}
    step = Step("environment", "environment", "0" * 64, params, context=context)
    task = Task(step, {}, tmp_path / "work", tmp_path / "scratch", tmp_path / "log", 1)
    assert f"thing=={version}" in environment.run(task)["packages"]
