"""A Hub, a mirror or a proxy that says other things than it should, and files that change."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.base import interruptible_sleep
from orchestrator.workflows.publishing import publish
from tests.hub import Fault, Hub
from tests.support.publications import HUB_NAME, TO_HUB, RecipeFolder

OID = "a" * 40


@pytest.fixture(autouse=True)
def no_naps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interruptible_sleep, "sleep", lambda _seconds: None)


def always(status: int, body: bytes = b"{}", method: str = "POST") -> Fault:
    return Fault("status", times=99, status=status, body=body, method=method)


@pytest.mark.parametrize(
    ("target", "method"),
    [
        ("api", "GET"),
        ("create", "POST"),
        ("validate", "POST"),
        ("preupload", "POST"),
        ("batch", "POST"),
        ("commit", "POST"),
    ],
)
@pytest.mark.parametrize("body", [b"{}", b"<html>Log in"])
def test_answers_that_are_not_the_hubs_are_called_so(
    finished: RecipeFolder, hub: Hub, target: str, method: str, body: bytes
) -> None:
    status = 400 if target == "validate" else 200
    hub.fault(target, always(status, body, method))
    said = finished.publish(*TO_HUB)
    if (target, body) == ("validate", b"{}"):
        assert (said.code, "it does not say why" in said.err) == (1, True)
        return
    assert said.code == 3, said.err
    assert f"What {hub.url} answers for {HUB_NAME} is not a Hub's answer" in said.err


def test_a_list_of_complaints_without_shape_is_one_sentence(
    finished: RecipeFolder, hub: Hub
) -> None:
    hub.fault("validate", always(400, b"[]"))
    said = finished.publish(*TO_HUB)
    assert said.code == 1
    assert "refused the front matter of the model card: it does not say why" in said.err


@pytest.mark.parametrize("status", [404, 405, 501])
def test_a_mirror_that_is_for_reading_only_is_called_so(
    finished: RecipeFolder, hub: Hub, status: int
) -> None:
    hub.fault("validate", always(status))
    said = finished.publish(*TO_HUB)
    assert said.code == 3
    assert f"{hub.url} does not validate model cards (HTTP {status})" in said.err
    assert "HF_ENDPOINT" in said.err


def test_a_commit_that_is_not_there_is_told(finished: RecipeFolder, hub: Hub) -> None:
    told = {"success": True, "commitOid": OID, "commitUrl": f"{hub.url}/{HUB_NAME}/commit/{OID}"}
    hub.fault("commit", always(200, json.dumps(told).encode()))
    said = finished.publish(*TO_HUB)
    assert said.code == 3
    assert (
        f"took the commit {OID[:12]} to {HUB_NAME}, but does not list it as it was sent" in said.err
    )
    assert "Published" not in said.out


def test_a_commit_that_holds_something_else_is_told(finished: RecipeFolder, hub: Hub) -> None:
    def commit(*words: Any) -> str:
        oid = real(*words)
        (hub.repos["models"][HUB_NAME].folder / "LICENSE").unlink()
        return oid

    real = hub.written.commit
    finished.monkeypatch.setattr(hub.written, "commit", commit)
    said = finished.publish(*TO_HUB)
    assert said.code == 3
    assert "does not list it as it was sent: LICENSE" in said.err


def test_a_storage_that_lost_what_was_sent_is_no_misspelt_name(
    finished: RecipeFolder, hub: Hub
) -> None:
    hub.fault("verify", always(404))
    said = finished.publish(*TO_HUB)
    assert said.code == 3
    assert "does not have what was just sent to it (HTTP 404)" in said.err


def test_a_password_in_the_hubs_address_is_not_told(
    finished: RecipeFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://ada:lovelace@127.0.0.1:9/hub")
    said = finished.publish(*TO_HUB)
    assert said.code == 3
    assert "The Hub at http://127.0.0.1:9/hub cannot be reached" in said.err
    assert "lovelace" not in said.err + said.out
    assert "--offline" not in said.err  # which helps nobody who publishes


@pytest.mark.parametrize("size", ["same", "other"])
@pytest.mark.parametrize("to", [TO_HUB, ("--to", "dir:out")])
def test_a_file_that_changes_after_the_check_is_not_published(
    finished: RecipeFolder, hub: Hub, to: tuple[str, str], size: str
) -> None:
    path = finished.dist / "small-Q4_0.gguf"

    def late(*words: Any) -> Any:
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.unlink()
        path.write_bytes(data if size == "same" else data[:-1])
        return real(*words)

    real = publish.publish_prepared
    finished.monkeypatch.setattr(publish, "publish_prepared", late)
    said = finished.publish(*to)
    assert said.code == 1, said.err
    assert "small-Q4_0.gguf was changed while it was published" in said.err
    assert len(hub.written.commits.get(HUB_NAME, "1")) == 1
    assert not Path("out/small-2.1M-Q4_0.gguf").exists()
