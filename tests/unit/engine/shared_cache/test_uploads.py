"""What is sent beside a run: all of it in time, or told once; nothing outlives the process."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.base.errors import Interrupted
from orchestrator.base.process import run_process
from orchestrator.engine.shared_cache.uploads import Uploads
from tests.support import cache_servers
from tests.support.shared_caches import Machine, folder, free_step, learn_kind


@pytest.fixture(autouse=True)
def _kind(monkeypatch: pytest.MonkeyPatch) -> None:
    learn_kind(monkeypatch)


KEYS = [letter * 64 for letter in "0123456789"]


def test_all_that_is_made_is_there_in_the_end(tmp_path: Path, url: str) -> None:
    here = Machine(tmp_path / "here", url)
    uploads = Uploads(here.cache, here.store, here.warned.append)
    for key in KEYS:
        here.make({"file": key.encode()}, key)
        uploads.send(free_step(key))

    uploads.finish()

    assert Machine(tmp_path / "there", url).cache.holds(KEYS) == set(KEYS)
    assert not here.warned


def test_what_is_gone_before_it_could_be_sent_is_no_error(tmp_path: Path) -> None:
    here = Machine(tmp_path / "here", f"file://{tmp_path}/cache")
    uploads = Uploads(here.cache, here.store, here.warned.append)

    uploads.send(free_step())
    uploads.finish()

    assert not here.warned


def test_a_key_that_cannot_sign_is_told(tmp_path: Path) -> None:
    nokey = tmp_path / "no.pem"
    nokey.write_text("no key")
    here = Machine(tmp_path / "here", f"file://{tmp_path}/cache", sign_key=nokey)
    uploads = Uploads(here.cache, here.store, here.warned.append)
    here.make()

    uploads.send(free_step())
    uploads.finish()

    assert len(here.warned) == 1
    assert "no private key" in here.warned[0]


def test_an_interrupt_ends_the_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        import fsspec

        options = cache_servers.s3_options(silent.getsockname()[1])
        monkeypatch.setitem(fsspec.config.conf, "s3", options)
        here = Machine(tmp_path / "here", "s3://cache/silent", patience=600.0, finish=600.0)
        uploads = Uploads(here.cache, here.store, here.warned.append)
        here.make()
        uploads.send(free_step())
        silent.accept()

        def stopped() -> None:
            raise Interrupted("interrupted")

        monkeypatch.setattr("orchestrator.engine.shared_cache.uploads.check_stopped", stopped)
        with pytest.raises(Interrupted):
            uploads.finish()


def test_a_silent_cache_lets_the_process_end_and_is_told_once(tmp_path: Path) -> None:
    """In a process of its own: a thread that waits for the server must not keep it."""
    code = f"""
import fsspec
from pathlib import Path
from orchestrator.engine import step_kinds
from orchestrator.engine.shared_cache.uploads import Uploads
from tests.support.shared_caches import Machine, free_step
from tests.support import cache_servers
step_kinds.KINDS["kind"] = step_kinds.Kind("", step_kinds.Role.OUTPUT)
with cache_servers.silent_server() as port:
    fsspec.config.conf["s3"] = cache_servers.s3_options(port)
    here = Machine(Path({str(tmp_path / "here")!r}), "s3://cache/x", patience=600.0, finish=0.5)
    uploads = Uploads(here.cache, here.store, here.warned.append)
    for key in {KEYS[:3]!r}:
        here.make(key=key)
        uploads.send(free_step(key))
    uploads.finish()
    uploads.finish()
    print(here.warned)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )

    assert done.stdout.strip() == str(
        [
            "3 results could not be sent to the shared cache within 0.5 s; "
            "'orchestrate store push' sends the rest"
        ]
    )


def test_nothing_is_started_for_caches_that_only_may_be_read(tmp_path: Path) -> None:
    here = Machine(tmp_path / "here")
    uploads = Uploads(here.cache, here.store, here.warned.append)

    uploads.send(free_step())
    uploads.finish()

    assert not folder(f"file://{tmp_path}/cache").files("v1")
    run_process.check_stopped()
