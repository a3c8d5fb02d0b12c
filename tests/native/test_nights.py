"""Nights of real tools that are killed, interrupted, doubled, or met by a run by hand."""

from __future__ import annotations

import json
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.history import History
from tests.support.interrupted_runs import AFTER_CONVERTING, assert_whole
from tests.support.typed_commands import TINY, Running, ended, eventually, processes, typed

NIGHT = ("nightly", TINY, "-t", "1")


def states(home: Path) -> list[str]:
    """Of all nights, the newest first."""
    return [night.state for night in History(home).nights()]


def in_the_middle(home: Path, *words: str | Path) -> Running:
    """A night whose converter works."""
    night = Running(*NIGHT, *words, home=home)
    night.until("… convert")
    eventually(
        lambda: any("convert_hf_to_gguf.py" in one for one in processes(home).values()),
        "the converter's start",
    )
    return night


@pytest.mark.parametrize("how", ["kill", "interrupt"])
def test_a_night_that_ends_while_a_tool_works_is_noted_and_the_next_goes_on(
    without: Callable[..., Path], tmp_path: Path, how: str
) -> None:
    home, log = without("convert", *AFTER_CONVERTING), tmp_path / "log"
    by_hand = [run.state for run in History(home).runs()]
    words = ("--out", tmp_path / "dist", "--log-json", log)
    first = in_the_middle(home, *words)
    getattr(first, how)()
    assert first.ended() == (-signal.SIGKILL if how == "kill" else 130), first.text
    assert "Traceback" not in first.text
    eventually(lambda: not processes(home), "the end of the converter")

    assert states(home) == ["interrupted"]
    assert [run.state for run in History(home).runs()] == ["interrupted", *by_hand]
    assert "interrupted  night 1" in typed("history").out

    again = typed(*NIGHT, *words, "--json")

    assert again.code == 0, again.all
    told = json.loads(again.out)
    [one] = told["recipes"]
    assert (told["night"], one["state"], one["good"]) == (2, "ok", 0)
    assert states(home) == ["ok", "interrupted"]
    assert_whole(home, tmp_path / "dist")
    done = ended(log, "done")
    assert set(done.values()) == {1}
    assert one["made"] == len([label for label in done if not label.startswith("predict")])
    steps = History(home).steps(one["run"])
    assert Counter(step.outcome for step in steps)["done"] == one["made"]
    assert len(one["files"]) == 5


def test_a_second_night_says_who_works_and_leaves_the_first_alone(
    without: Callable[..., Path], tmp_path: Path
) -> None:
    home = without("convert", *AFTER_CONVERTING)
    first = in_the_middle(home, "--out", tmp_path / "dist")

    second = typed(*NIGHT, "--out", tmp_path / "dist")

    assert second.code == 3
    assert f"another night works in the store {home}: process {first.process.pid} on" in second.err
    assert first.ended() == 0, first.text
    assert states(home) == ["ok"]
    assert_whole(home, tmp_path / "dist")


def test_a_night_and_a_run_by_hand_share_the_work(
    without: Callable[..., Path], tmp_path: Path
) -> None:
    home = without("convert", *AFTER_CONVERTING)
    logs = [tmp_path / "by-hand", tmp_path / "night"]
    words: tuple[Any, ...] = ("--out", tmp_path / "dist", "-t", "1", "--log-json")
    by_hand = Running("run", TINY, *words, logs[0], home=home)
    by_hand.until("… convert")
    night = Running("nightly", TINY, *words, logs[1], home=home)
    night.until("… convert tiny-llama to F16: waits for process")

    assert [by_hand.ended(), night.ended()] == [0, 0], f"{by_hand.text}\n\n{night.text}"
    done = ended(logs[0], "done") + ended(logs[1], "done")
    assert set(done.values()) == {1}
    assert_whole(home, tmp_path / "dist")
    newest = History(home).runs()[:2]
    assert {(run.night, run.state) for run in newest} == {(0, "ok"), (1, "ok")}
