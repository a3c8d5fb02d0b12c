"""Recipes to lock: a repository on a local Hub, local folders, and a session without tools."""

from __future__ import annotations

import io
import json
from pathlib import Path
from textwrap import dedent

import pytest
from click.testing import CliRunner

from orchestrator.base.errors import EXIT_USAGE, UsageError
from orchestrator.base.step_values import Step
from orchestrator.cli import cli
from orchestrator.engine.artifact_store import Store
from orchestrator.engine.progress_listeners import Plain
from orchestrator.engine.scheduler import Settings
from orchestrator.planning import lockfile, toolchain_steps
from orchestrator.planning.lockfile import Lock
from orchestrator.planning.recipe_to_steps import Plan
from orchestrator.runs import load_and_plan, use_lockfile, write_lockfiles
from orchestrator.runs.session import Session, choices
from orchestrator.toolchain import load
from tests.hub import Repo

NAME = "org/model"
COMMIT, LATER = "1" * 40, "2" * 40

HUB = f"""\
name: x
family: llama
toolchain: llama.cpp
model: {{hub: {NAME}, revision: main}}
quantize: [Q4_0, Q8_0]
"""

LOCAL = """\
name: x
family: llama
toolchain: llama.cpp
model: {path: model}
quantize: [Q4_0]
verify: {perplexity: {corpus: corpus.txt}}
"""


def folder_of_model(place: Path) -> Path:
    """A model folder whose weights are no weights; nothing here looks into them."""
    place.mkdir(parents=True)
    (place / "config.json").write_text(json.dumps({"architectures": ["LlamaForCausalLM"]}))
    (place / "tokenizer.model").write_bytes(b"\x0atokens")
    (place / "model.safetensors").write_bytes(bytes(4000))
    return place


def repo(place: Path, commit: str = COMMIT) -> Repo:
    return Repo(place, commit)


def recipe_in(place: Path, text: str = LOCAL) -> Path:
    """A recipe's file, with what LOCAL names beside it."""
    if not (place / "model").exists():
        folder_of_model(place / "model")
        (place / "corpus.txt").write_text("Once upon a time.")
    path = place / "x.yaml"
    path.write_text(dedent(text), encoding="utf-8")
    return path


def session_in(place: Path, *, offline: bool = True) -> Session:
    store = Store(place / "store", print)
    settings = Settings(offline=offline)
    return Session(store, settings, choices(), Plain(io.StringIO()))


def planned(path: Path, session: Session) -> Plan:
    """The plan of one recipe file."""
    [made] = load_and_plan.make(load_and_plan.load([path]), session)
    return made


def environment_step() -> Step:
    """The step that makes llama.cpp's Python environment."""
    steps = toolchain_steps.toolchain_steps(load.load("llama.cpp"), choices())
    [found] = [step for step in steps if step.kind == "environment"]
    assert load.load("llama.cpp").environment is not None
    return found


def install(store: Store, *packages: str) -> None:
    """Let a store have llama.cpp's environment with these packages."""
    step = environment_step()
    with store.lock(step.key), store.stage(step.key) as stage:
        (stage.workdir / "venv").write_text("a stand-in")
        store.commit(stage, step, {"packages": list(packages)})


def locked(path: Path, place: Path, *, offline: bool = True) -> Lock:
    """Lock a recipe; what was written."""
    said: list[str] = []
    write_lockfiles.write_locks(
        load_and_plan.load([path]), session_in(place, offline=offline), said.append
    )
    found = use_lockfile.read(lockfile.path_of(path))
    assert found is not None
    return found


def refusal(path: Path, place: Path) -> str:
    with pytest.raises(UsageError) as caught:
        planned(path, session_in(place))
    assert caught.value.exit_code == EXIT_USAGE
    assert "--update-lock" in caught.value.hint
    return caught.value.message


def called(*argv: str) -> int:
    """The exit code of a command, as the console script would give it."""
    done = CliRunner().invoke(cli, argv, standalone_mode=False)
    assert done.exception is None, done.output
    return int(done.return_value)
