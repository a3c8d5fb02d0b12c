"""All tiny recipes as one plan: every family, with the limits that they state."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from orchestrator.base.digest import file_sha256
from tests.support.typed_commands import MODELS, RECIPES, Said, ended, typed
from tests.support.warm_store import link

TINY = sorted((RECIPES / "tiny").glob("*.yaml"))
NAMES = [f"tiny-{path.stem}" for path in TINY]


@dataclass(frozen=True)
class Ran:
    place: Path
    said: Said


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    place = tmp_path_factory.mktemp("tiny")
    link(place / "store", "llama.cpp")
    where = ("--out", place / "dist", "--log-json", place / "log")
    return Ran(place, typed("run", *TINY, *where, "-j", "2", "-t", "2", home=place / "store"))


def test_there_is_one_for_every_family() -> None:
    made = {"llama", "chimera", "lora", "bloom", "falcon", "chatglm"}
    assert {path.stem for path in TINY} >= made
    assert sum(path.stat().st_size for path in MODELS.rglob("*") if path.is_file()) < 20_000_000


@pytest.mark.parametrize("name", NAMES)
def test_all_limits_are_kept(ran: Ran, name: str) -> None:
    assert ran.said.code == 0, ran.said.all
    report = json.loads((ran.place / "dist" / name / "report.json").read_text("utf-8"))
    assert report["status"] == "pass"
    for row in report["files"]:
        checks = {one["name"]: one["status"] for one in row["checks"]}
        assert checks["structure"] == checks["smoke"] == checks["smoke_python"] == "pass"
        if row["type"] != "F16":
            assert checks["perplexity"] == checks["kld"] == "pass"
            file = ran.place / "dist" / name / row["file"]
            assert file_sha256(file) == row["sha256"]


def test_shared_steps_run_once(ran: Ran) -> None:
    done = ended(ran.place / "log", "done")
    assert set(done.values()) == {1}
    # One text for all, and the llama for itself and as the base of Chimera.
    assert len([label for label in done if label.startswith("fetch perplexity")]) == 1
    fetched = [label for label in done if label.startswith("fetch ")]
    # Chimera brings its delta and shares its base; two texts are shared by all.
    assert len(fetched) == len(TINY) + 2


def test_nothing_is_done_twice(ran: Ran) -> None:
    log = ran.place / "second"
    where = ("--out", ran.place / "dist", "--log-json", log, "--offline")
    said = typed("run", *TINY, *where, home=ran.place / "store")
    assert said.code == 0, said.all
    assert not ended(log, "done")
