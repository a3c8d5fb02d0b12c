"""A Hub that lies to who publishes: a sentence and an exit code, never a bug or a hang."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from orchestrator.base import interruptible_sleep
from orchestrator.sources.hub import answers, bounded_answers
from tests.hub import Hub, lies
from tests.support.publications import HUB_NAME, TO_HUB, RecipeFolder

TARGETS = {
    "create": "POST",
    "validate": "POST",
    "preupload": "POST",
    "batch": "POST",
    "verify": "POST",
    "commit": "POST",
}


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interruptible_sleep, "sleep", lambda _seconds: None)
    monkeypatch.setattr(time, "sleep", lambda _seconds: None)  # the client's own waits
    monkeypatch.setattr(answers, "MOST_JSON_BYTES", 1 << 20)
    monkeypatch.setattr(answers, "MOST_JSON_SECONDS", 2.0)
    monkeypatch.setattr(bounded_answers, "MOST_HEAD_SECONDS", 2.0)


@pytest.mark.parametrize("target", TARGETS)
def test_no_answer_to_who_publishes_is_a_bug(finished: RecipeFolder, hub: Hub, target: str) -> None:
    for name, make in lies.ABOUT_WRITING.items():
        hub.forgive()
        hub.fault(target, replace(make(), method=TARGETS[target]))
        said = finished.publish(*TO_HUB)
        assert "bug:" not in said.err, (name, said.err)
        # 2: led to an address that there is not, the Hub has no place for the repository.
        assert said.code in {0, 1, 3} | ({2} if "redirect" in name else set()), (name, said.err)
        # What was written is looked at: who answers nonsense and does the work is believed.
        assert (said.code == 0) == (f"{hub.url}/{HUB_NAME}" in said.out), name
        assert len(said.err) < 3000, name
    hub.forgive()
    assert finished.publish(*TO_HUB).code == 0
