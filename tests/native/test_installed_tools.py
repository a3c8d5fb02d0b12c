"""Tools that are built already, as users have them: a folder, or an archive on a server.

They are the build of the user's store, copied elsewhere: upstream's own archives are out of reach.
"""

from __future__ import annotations

import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.base.digest import file_sha256
from orchestrator.recipe import load as recipe_of
from orchestrator.runs import load_and_plan
from orchestrator.toolchain.load import VENDOR
from tests.support.package_index import Index, running
from tests.support.typed_commands import TINY, Said, typed
from tests.support.warm_store import link, ready

SAME = "The installed tools make the same bytes as the portable build of llama.cpp 0c1e57098bba"


@pytest.fixture
def there(tmp_path: Path) -> Path:
    """The tools in a folder of somebody's, and a store with a build and its environment."""
    folder = tmp_path / "somewhere" / "bin"
    shutil.copytree(ready("llama.cpp")["build"] / "bin", folder, symlinks=True)
    link(tmp_path / "store", "llama.cpp")
    return folder


@pytest.fixture
def index() -> Iterator[Index]:
    with running() as server:
        yield server


def test_a_recipe_made_with_installed_tools_has_the_published_files(
    tmp_path: Path, there: Path
) -> None:
    out = tmp_path / "dist"

    said = typed(
        *("run", TINY, "--tools", there, "--no-verify", "--only", "Q4_0", "--only", "Q4_K_M"),
        *("--out", out, "-t", "2"),
        home=tmp_path / "store",
    )

    assert said.code == 0, said.all
    stated = recipe_of(TINY, load_and_plan.vocabulary).verify.sha256
    for name in ("Q4_0", "Q4_K_M"):
        made = file_sha256(out / "tiny-llama" / f"tiny-llama-{name}.gguf")
        assert made == stated[name]
    assert SAME in (out / "tiny-llama" / "report.md").read_text("utf-8")
    assert "build llama.cpp" not in said.all
    (there / "llama-imatrix").unlink()
    refused = typed("plan", TINY, "--tools", there, home=tmp_path / "store")
    assert refused.code == 2
    assert "'imatrix' needs llama-imatrix, which is not among the installed tools" in refused.err


def test_an_archive_of_a_server_is_unpacked_tested_and_compared(
    tmp_path: Path, there: Path, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = tmp_path / "made.tar.gz"
    with tarfile.open(made, "w:gz", compresslevel=1) as tar:
        tar.add(there, "llama-b11312")
    index.add("llama", "llama-b11312-bin-ubuntu-x64.tar.gz", made.read_bytes())
    copy = tmp_path / "vendor" / "llama.cpp"
    shutil.copytree(VENDOR / "llama.cpp", copy)
    data = (copy / "toolchain.yaml").read_text("utf-8")
    address = "https://github.com/ggml-org/llama.cpp/releases/download/{release}/{name}"
    assert address in data
    served = index.url.replace("/simple/", "/files/llama/{name}")
    data = data.replace(address, served).replace("linux/aarch64", "linux/other")
    (copy / "toolchain.yaml").write_text(data.replace("linux/x86_64", _system()), "utf-8")
    monkeypatch.setenv("ORCHESTRATE_TOOLCHAINS", str(tmp_path / "vendor"))

    said = _built(tmp_path, "--prebuilt")

    assert said.code == 0, said.all
    assert SAME in said.out
    asked = list(index.asked)
    assert _built(tmp_path, "--prebuilt", "--offline").code == 0
    assert index.asked == asked
    (there / "llama-quantize").write_bytes(b"#!/bin/sh\nexit 3\n")
    broken = _built(tmp_path, "--tools", there)
    assert broken.code == 1
    assert "self-test" in broken.err


def _built(folder: Path, *words: str | Path) -> Said:
    return typed("toolchain", "build", "llama.cpp", *words, home=folder / "store")


def _system() -> str:
    """This machine as the data calls it."""
    from orchestrator.runs.session import choices

    here = choices()
    return f"{here.platform}/{here.machine.lower()}"
