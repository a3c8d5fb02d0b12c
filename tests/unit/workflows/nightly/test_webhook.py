"""Whom a night tells, what it leaves when it is interrupted, and the history's commands."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from orchestrator.base.errors import StepError
from orchestrator.base.process import run_process
from orchestrator.base.step_values import JSON, Task
from tests.support.command_line import Command
from tests.support.fake_steps import fails_for, fake_kinds
from tests.support.nights import recorded_history
from tests.support.webhook_server import hook


@pytest.mark.usefixtures("fakes")
def test_everybody_is_told_and_no_secret_is_in_it(
    orchestrate: Command,
    recipes: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_verysecret")
    error = StepError("the tool said hf_verysecret and https://me:pass@host/")
    fake_kinds(monkeypatch, quantize=fails_for("one", error))
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "page.md"))

    with hook((200, {})) as server:
        said = orchestrate("nightly", recipes, "--webhook", server.url)

    sent = server.got[0]["body"].decode()
    kept = orchestrate("history", "--json").out
    for text in (said.out, sent, (tmp_path / "page.md").read_text(), kept):
        assert "the tool said" in text
        assert "verysecret" not in text
        assert "me:pass" not in text
    assert "secret-path" not in said.out + said.err + json.dumps(
        recorded_history().nights()[0].options
    )
    assert said.out.startswith("# Night 1: failed\n")


@pytest.mark.usefixtures("fakes")
def test_a_webhook_that_is_gone_fails_no_night(orchestrate: Command, recipes: Path) -> None:
    with hook((404, {})) as server:
        said = orchestrate("nightly", recipes, "--webhook", server.url)

    assert said.code == 0
    assert "warning: the webhook at 127.0.0.1 did not get the summary" in said.err


@pytest.mark.parametrize(
    "address", ["hidden", "ftp://hidden/x", "https:///hidden", "http://[hidden"]
)
@pytest.mark.usefixtures("fakes")
def test_an_address_that_nothing_can_be_posted_to_ends_it_before_any_work(
    orchestrate: Command, recipes: Path, address: str
) -> None:
    said = orchestrate("nightly", recipes, "--webhook", address)
    assert said.code == 2
    assert "the address of --webhook is neither http nor https" in said.err
    assert "hidden" not in said.err
    assert recorded_history().nights() == []


def test_an_interrupt_is_noted_and_ends_with_130(
    orchestrate: Command,
    recipes: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupted(task: Task) -> dict[str, JSON]:
        os.kill(os.getpid(), signal.SIGTERM)
        run_process.check_stopped()
        return {}

    fake_kinds(monkeypatch, convert=interrupted)
    try:
        said = orchestrate("nightly", recipes)
    finally:
        run_process.resume()

    assert said.code == 130
    assert [one.state for one in recorded_history().nights()] == ["interrupted"]
    assert {run.state for run in recorded_history().runs()} == {"interrupted"}
    assert all(run.ended for run in recorded_history().runs())


@pytest.mark.usefixtures("fakes")
def test_the_history_is_shown_and_a_change_accepted(orchestrate: Command, recipes: Path) -> None:
    assert "nothing was run yet" in orchestrate("history").out
    orchestrate("nightly", recipes)
    orchestrate("run", recipes / "one.yaml")

    shown = orchestrate("history")
    assert shown.out.count("night 1") == 2
    assert "by hand" in shown.out
    one = orchestrate("history", recipes / "one.yaml")
    assert "one-Q4_0.gguf" in one.out
    assert "two" not in one.out
    told = json.loads(orchestrate("history", "--json").out)
    assert len(told["nights"]) == 1
    assert {run["recipe"] for run in told["runs"]} == {"one", "two"}
    assert told["runs"][0]["steps"][0]["outcome"] == "hit"
    unknown = orchestrate("history", "three")
    assert (unknown.code, "three was never run here" in unknown.err) == (2, True)

    accepted = orchestrate("accept", "one", recipes / "two.yaml")
    assert accepted.code == 0
    assert accepted.out.count("later nights are compared with night 1") == 2
    assert orchestrate("accept", "three").code == 2


@pytest.mark.usefixtures("fakes")
def test_a_night_that_cannot_begin_is_told_too(
    orchestrate: Command, recipes: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "page.md"))
    recorded_history().path.parent.mkdir(parents=True, exist_ok=True)
    recorded_history().path.write_bytes(b"no database" * 1000)

    with hook((200, {})) as server:
        said = orchestrate("nightly", recipes, "--webhook", server.url)

    told = json.loads(server.got[0]["body"])
    assert (said.code, told["exit_code"], told["state"]) == (3, 3, "environment")
    assert "not a database" in told["error"]
    assert (tmp_path / "page.md").read_text().startswith("# No night\n")
