"""Whom Apprise tells of a night, and when; Prometheus' file; what a night forgets."""

from __future__ import annotations

import json
import os
import sys
import time
from datetime import datetime
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from orchestrator.base.errors import StepError
from tests.support.command_line import Command
from tests.support.fake_steps import fails_for, fake_kinds
from tests.support.nights import forget, recorded_history
from tests.support.webhook_server import Hook, hook

pytestmark = pytest.mark.usefixtures("fakes")


def address(server: Hook) -> str:
    """Apprise's own form of a server that takes JSON."""
    return server.url.replace("http://", "json://")


def titles(server: Hook) -> list[str]:
    return [json.loads(one["body"])["title"] for one in server.got]


def test_people_hear_of_a_bad_night_and_when_it_is_good_again(
    orchestrate: Command, recipes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with hook(*[(200, {})] * 2) as server:
        monkeypatch.setenv("ORCHESTRATE_NOTIFY", address(server))
        fake_kinds(monkeypatch, quantize=fails_for("one", StepError("it broke")))
        assert orchestrate("nightly", recipes).code == 1
        fake_kinds(monkeypatch)
        assert orchestrate("nightly", recipes).code == 0
        orchestrate("nightly", recipes)

    assert titles(server) == ["Night 1: failed", "Night 2: ok again"]
    assert "it broke" in server.got[0]["body"].decode()


def test_all_nights_are_told_when_that_is_asked_for(orchestrate: Command, recipes: Path) -> None:
    with hook((200, {})) as server:
        orchestrate("nightly", recipes, "--notify", address(server), "--notify-when", "always")
    assert titles(server) == ["Night 1: ok"]


def test_an_address_that_does_not_answer_fails_no_night_and_is_not_printed(
    orchestrate: Command, recipes: Path
) -> None:
    with hook((500, {})) as server:
        told = ("--notify", address(server), "--notify-when", "always")
        said = orchestrate("nightly", recipes, *told)
    assert said.code == 0
    assert "warning: not everybody of --notify got the summary" in said.err
    assert "secret-path" not in said.out + said.err


def test_an_address_that_apprise_does_not_know_ends_it_before_any_work(
    orchestrate: Command, recipes: Path
) -> None:
    said = orchestrate("nightly", recipes, "--notify", "nonsense://hidden")
    assert said.code == 2
    assert "address 1 of --notify is none that Apprise knows" in said.err
    assert "hidden" not in said.err
    assert "(not shown)" not in said.err  # the example of the hint is no secret
    assert recorded_history().nights() == []


@pytest.mark.parametrize(
    ("option", "value", "module"),
    [("--notify", "json://127.0.0.1", "apprise"), ("--metrics", "x.prom", "prometheus_client")],
)
def test_without_the_extra_it_says_how_to_get_it(
    option: str,
    value: str,
    module: str,
    orchestrate: Command,
    recipes: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    said = orchestrate("nightly", recipes, option, value)
    assert said.code == 2
    assert "pip install 'orchestrate-gguf[notify]'" in said.err


def samples(file: Path) -> dict[tuple[str, ...], float]:
    """All numbers of a file by name and labels, as Prometheus' own parser reads them."""
    found: dict[tuple[str, ...], float] = {}
    for family in text_string_to_metric_families(file.read_text()):
        for one in family.samples:
            place = (one.name, *one.labels.values())
            found[place] = one.value
    return found


def test_prometheus_reads_states_ages_and_durations(
    orchestrate: Command, recipes: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "node" / "nights.prom"
    orchestrate("nightly", recipes, "--metrics", file)
    good = samples(file)
    fake_kinds(monkeypatch, quantize=fails_for("one", StepError("it broke")))
    forget("quantize one to Q4_0")
    orchestrate("nightly", recipes, "--metrics", file)
    bad = samples(file)

    assert good[("orchestrate_recipe_state", "one", "ok")] == 1
    assert bad[("orchestrate_recipe_state", "one", "failed")] == 1
    assert ("orchestrate_recipe_state", "one", "ok") not in bad
    assert (good[("orchestrate_night",)], bad[("orchestrate_night",)]) == (1, 2)
    assert bad[("orchestrate_night_needs_attention",)] == 1
    first = recorded_history().runs("one", night=1)[0]
    assert (
        bad[("orchestrate_recipe_good_seconds", "one")]
        == datetime.fromisoformat(first.ended).timestamp()
    )
    assert good[("orchestrate_store_bytes",)] > 0
    assert good[("orchestrate_recipe_duration_seconds", "one")] >= 0
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_a_file_that_the_collector_would_not_read_is_refused(
    orchestrate: Command, recipes: Path
) -> None:
    said = orchestrate("nightly", recipes, "--metrics", "nights.txt")
    assert said.code == 2
    assert "Call it nights.prom." in said.err


def test_a_night_forgets_what_is_older_than_it_is_told_to_keep(
    orchestrate: Command, recipes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    orchestrate("nightly", recipes)
    past = recorded_history()
    logs = past.path.parent / "logs"
    orphan, kept = logs / f"{'a' * 64}.log", next(logs.glob("*.log"))
    orphan.write_text("of nothing\n")
    long_ago = time.time() - 3 * 86400
    for log in (orphan, kept):
        os.utime(log, (long_ago, long_ago))

    orchestrate("nightly", recipes, "--keep-days", "2")

    assert (orphan.exists(), kept.exists()) == (False, True)
    assert [one.id for one in past.nights()] == [2, 1]
    assert past.nights()[0].options["keep_days"] == 2
