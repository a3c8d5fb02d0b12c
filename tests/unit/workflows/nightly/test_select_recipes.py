"""Which recipes a night takes, how long it waits, and whom it tells."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from orchestrator.base import interruptible_sleep
from orchestrator.base.errors import Interrupted, NetworkProblem, UsageError
from orchestrator.base.process import run_process
from orchestrator.workflows.nightly import select_recipes, summary_values, webhook
from orchestrator.workflows.nightly.network_retries import NetworkRetries
from tests.support.webhook_server import hook


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.yaml", "b.lock.yaml", "sub/c-7b.yaml", "note.txt"):
        path = tmp_path / "recipes" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    return tmp_path / "recipes"


def test_folders_stand_for_their_recipes_without_locks(folder: Path) -> None:
    found = select_recipes.recipes([folder, folder / "a.yaml", folder / "b.lock.yaml"])

    assert found == [folder / "a.yaml", folder / "sub" / "c-7b.yaml"]


@pytest.mark.parametrize("pattern", ["*-7b", "c-7b.yaml", "*/sub/*"])
def test_a_pattern_is_for_names_and_paths(folder: Path, pattern: str) -> None:
    assert select_recipes.recipes([folder], pattern) == [folder / "sub" / "c-7b.yaml"]


def test_nothing_to_do_is_said(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"no recipe in .* that matches 'x'"):
        select_recipes.recipes([folder], "x")
    with pytest.raises(UsageError, match=r"nowhere\.yaml does not exist"):
        select_recipes.recipes([Path("nowhere.yaml")])


def test_waits_grow_and_are_as_long_as_servers_ask_for() -> None:
    waits: list[float] = []
    said: list[str] = []
    retries = NetworkRetries(retries=3, say=said.append, sleep=waits.append)
    error = NetworkProblem("nobody answers\n  more of it")

    assert [retries.wait_and_retry(n, [error]) for n in range(4)] == [True, True, True, False]
    assert waits == [60, 240, 960]
    assert said[0] == "nobody answers; asking again in 60 s (1 of 3)"
    retries.wait_and_retry(0, [error, NetworkProblem("later", wait=700)])
    assert waits[-1] == 700
    retries.wait_and_retry(0, [NetworkProblem("much later", wait=10**6)])
    assert waits[-1] == 3600
    assert not retries.wait_and_retry(0, [])


def test_no_wait_goes_beyond_the_nights_end() -> None:
    retries = NetworkRetries(
        deadline=time.monotonic() + 30, sleep=lambda _seconds: pytest.fail("waited")
    )

    assert not retries.wait_and_retry(0, [NetworkProblem("nobody answers")])


def test_a_wait_ends_with_an_interrupt() -> None:
    run_process.stop_all()
    try:
        with pytest.raises(Interrupted):
            interruptible_sleep.sleep(1000)
    finally:
        run_process.resume()


def test_a_webhook_gets_the_json_once() -> None:
    with hook((200, {})) as server:
        assert webhook.post(server.url, {"night": 1}) == ""

    [request] = server.got
    assert json.loads(request["body"]) == {"night": 1}
    assert request["type"] == "application/json"


def test_a_busy_webhook_is_asked_again_when_it_says() -> None:
    waits: list[float] = []
    with hook((503, {}), (429, {"Retry-After": "17"}), (204, {})) as server:
        assert webhook.post(server.url, {}, waits.append) == ""

    assert waits == [1, 17]


def test_a_webhook_that_says_no_is_a_warning_without_its_secret_address() -> None:
    with hook((404, {})) as server:
        said = webhook.post(server.url, {}, lambda _seconds: pytest.fail("asked again"))

    assert said == "the webhook at 127.0.0.1 did not get the summary: it answers 404"


def test_a_webhook_that_redirects_is_not_followed() -> None:
    with hook((302, {"Location": "/elsewhere"})) as server:
        assert "answers 302" in webhook.post(server.url, {})
    assert len(server.got) == 1


def test_a_webhook_that_is_gone_is_given_up() -> None:
    with hook() as server:
        pass
    waits: list[float] = []

    assert "the address cannot be reached" in webhook.post(server.url, {}, waits.append)
    assert len(waits) == webhook.TRIES - 1


@pytest.mark.parametrize("url", ["no://address", "http://[bad", "words", "http://host:port/"])
def test_an_address_that_is_none_is_a_warning(url: str) -> None:
    said = webhook.post(url, {}, lambda _seconds: pytest.fail("asked again"))

    assert "did not get the summary: the address cannot be used" in said


def test_the_page_of_a_workflow_run_is_added_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "summary.md"
    page.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(page))

    assert summary_values.step_summary("# Night") == ""
    assert page.read_text() == "before\n# Night\n"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path))
    assert "cannot be written" in summary_values.step_summary("# Night")
    monkeypatch.delenv("GITHUB_STEP_SUMMARY")
    assert summary_values.step_summary("# Night") == ""
