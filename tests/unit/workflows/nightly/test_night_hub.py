"""Nights while the Hub lies, limits, drops and sleeps: a real server, the real client."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.hub import Fault, Hub, Repo
from tests.support.command_line import Command
from tests.support.fake_steps import RECIPE
from tests.support.nights import Night

COMMIT = "1" * 40
WEIGHTS = "model.safetensors"


@pytest.fixture
def hub(
    fakes: None,
    recipes: Path,
    hub_cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Hub]:
    """The model of the recipe ``one`` is on a Hub; that of ``two`` is not."""
    served = shutil.copytree(RECIPE.parent / "models" / "llama", tmp_path / "served")
    text = (recipes / "one.yaml").read_text()
    lines = [
        "  hub: org/llama\n  revision: main" if line.startswith("  path:") else line
        for line in text.splitlines()
    ]
    (recipes / "one.yaml").write_text("\n".join(lines) + "\n")
    with Hub({"org/llama": Repo(served, COMMIT)}) as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        yield running


Limited = dict[str, str]


@pytest.mark.parametrize(
    ("status", "headers", "wait"),
    [
        (429, {"Retry-After": "333"}, 333),
        (429, {"RateLimit": '"api";r=0;t=444', "RateLimit-Policy": '"api";q=500;w=300'}, 444),
        (429, {}, 60),
        (503, {"Retry-After": "222"}, 222),
        (500, {}, 60),
    ],
)
def test_a_night_waits_as_long_as_the_hub_asks_for(
    night: Night,
    hub: Hub,
    pauses: list[float],
    waits: list[float],
    status: int,
    headers: Limited,
    wait: float,
) -> None:
    hub.fault("api", Fault("status", times=4, status=status, headers=headers))

    code, told = night()

    assert (code, told["state"]) == (0, "ok")
    assert waits == [wait]
    # Short faults are waited for where they happen, first; locks are looked at more often.
    assert len([pause for pause in pauses if pause >= 1]) == 3
    assert told["recipes"]["one"]["made"] > 5


def test_a_download_that_breaks_again_and_again_is_asked_for_again_by_the_night(
    night: Night, hub: Hub, pauses: list[float], waits: list[float]
) -> None:
    hub.fault(WEIGHTS, Fault("drop", times=6, after=0))

    code, told = night("-v")

    assert (code, told["state"]) == (0, "ok"), told["recipes"]["one"]["error"]
    assert ([pause for pause in pauses if pause >= 1], waits) == ([1, 2, 4, 1, 2], [60])


def test_a_hub_that_stays_away_ends_with_3_and_every_other_recipe_made(
    night: Night, orchestrate: Command, hub: Hub, pauses: list[float], waits: list[float]
) -> None:
    hub.fault("api", Fault("status", times=1000, status=502))

    code, told = night("--retries", "2")

    assert (code, waits) == (3, [60, 240])
    states = {name: one["state"] for name, one in told["recipes"].items()}
    assert states == {"one": "environment", "two": "ok"}
    assert "answers HTTP 502 for org/llama" in told["recipes"]["one"]["error"]
    assert Path("dist/two/two-Q4_0.gguf").exists()
    assert "environment" in orchestrate("history", "one").out


def test_a_hub_that_goes_away_after_planning_stops_no_other_recipe(
    night: Night, hub: Hub, pauses: list[float], waits: list[float]
) -> None:
    hub.fault(WEIGHTS, Fault("status", times=1000, status=503, headers={"Retry-After": "100"}))

    code, told = night("--retries", "1")

    assert (code, waits) == (3, [100])
    states = {name: one["state"] for name, one in told["recipes"].items()}
    assert states == {"one": "environment", "two": "ok"}


def test_a_wrong_branch_is_a_mistake_that_nobody_waits_for(
    night: Night, hub: Hub, recipes: Path, pauses: list[float], waits: list[float]
) -> None:
    text = (recipes / "one.yaml").read_text()
    (recipes / "one.yaml").write_text(text.replace("revision: main", "revision: mian"))

    code, told = night()

    assert (code, waits, told["recipes"]["one"]["state"]) == (1, [], "failed")


def test_a_hub_that_answers_nonsense_ends_with_3(
    night: Night, hub: Hub, pauses: list[float], waits: list[float]
) -> None:
    page: Any = Fault("status", times=1000, status=200, body=b"<html>please log in</html>")
    hub.fault("api", page)

    code, told = night("--retries", "0")

    assert (code, told["recipes"]["one"]["state"]) == (3, "environment")
    assert "is not a Hub's answer" in told["recipes"]["one"]["error"]
