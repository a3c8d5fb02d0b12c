"""A real recipe from a shared cache alone: no compiler, no converter, the same bytes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from orchestrator.engine.artifact_store import Store
from tests.support import cache_servers
from tests.support.typed_commands import TINY, typed
from tests.support.warm_store import Finished


@pytest.fixture
def s3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a bucket on a real server."""
    folder = tmp_path / "s3"
    folder.mkdir()
    with cache_servers.s3_server(folder) as port:
        monkeypatch.setitem(fsspec.config.conf, "s3", cache_servers.s3_options(port))
        yield f"s3://{cache_servers.BUCKET}/tiny"


def test_a_machine_without_tools_has_the_same_files(
    finished: Finished, tmp_path: Path, s3: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCHESTRATE_REMOTE", f"{s3}#private")
    sent = typed("store", "push", TINY, home=finished.home)
    assert sent.code == 0, sent.all
    few = tmp_path / "bin"
    few.mkdir()
    for program in ("sh", "git"):
        (few / program).symlink_to(f"/usr/bin/{program}")
    monkeypatch.setenv("PATH", str(few))
    home = tmp_path / "laptop"

    planned = typed("plan", TINY, home=home)
    assert planned.code == 0, planned.all
    assert "to do" not in planned.out
    said = typed("run", TINY, "--out", tmp_path / "dist", home=home)

    assert said.code == 0, said.all
    here, there = finished.out, tmp_path / "dist" / "tiny-llama"
    for one in here.iterdir():
        if one.suffix == ".gguf" or one.name.endswith(".provenance.json"):
            assert (there / one.name).read_bytes() == one.read_bytes(), one.name
    kinds = {one.kind for one in Store(home, print).artifacts()}
    assert not kinds & {"build", "environment", "fetch", "convert", "logits"}
