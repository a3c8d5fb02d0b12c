"""What the benchmarks share: whole processes that are timed, stores made ready, one table."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.base import machine_info, units
from orchestrator.base.step_values import Step
from orchestrator.engine import step_kinds
from orchestrator.engine.artifact_store import Store
from orchestrator.engine.progress_listeners import Plain
from orchestrator.engine.scheduler import Settings
from orchestrator.engine.step_kinds import Role
from orchestrator.planning.recipe_to_steps import Plan
from orchestrator.runs import load_and_plan
from orchestrator.runs.session import Session, choices

ROOT = Path(__file__).resolve().parents[1]
TINY = ROOT / "recipes" / "tiny" / "llama.yaml"
# What is not measured: tools, and what is known and fetched of the model.
READY = (Role.TOOL, Role.DESCRIPTION, Role.SOURCE)

# A user's Python keeps what it has compiled.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


@dataclass(frozen=True)
class Figure:
    """One measured thing, in words: what, how much, and what is the limit."""

    what: str
    value: str
    limit: str


def orchestrate(*arguments: str) -> list[str]:
    """The command line of this interpreter's orchestrate; a script may be of an older version."""
    return [sys.executable, "-m", "orchestrator", *arguments]


def timed(argv: Sequence[str], cwd: Path, env: dict[str, str] | None = None) -> float:
    """Wall seconds of a whole process that must succeed."""
    begin = time.perf_counter()
    done = subprocess.run(argv, cwd=cwd, env=env, check=False, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{argv} failed:\n{done.stdout}{done.stderr}")
    return time.perf_counter() - begin


def prepared(
    recipe: Path, verify: bool, roles: Collection[Role] = READY
) -> tuple[Plan, Store, list[Step]]:
    """A recipe's plan, with the steps that are not measured done in the user's own store."""
    store = Store(Store.default_root(), print)
    settings = Settings(threads=machine_info.cores())
    chosen = choices(verify=verify)
    session = Session(store, settings, chosen, Plain(sys.stderr))
    [one] = load_and_plan.make(load_and_plan.load([recipe]), session)
    ready = [step for step in one.steps if step_kinds.of(step).role in roles]
    session.runner.run(one.steps, [step.key for step in ready])
    return one, store, ready


def linked(home: Path, store: Store, steps: Sequence[Step]) -> None:
    """A new store that has these steps' artifacts of another one, and what it knows of files."""
    for step in steps:
        found = store.find(step.key)
        if found is not None:
            folder = found.path.parent
            link = home / "artifacts" / folder.name[:2] / folder.name
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(folder, target_is_directory=True)
    shutil.copy(store.root / "digests.sqlite", home)


def table(figures: Sequence[Figure]) -> str:
    """Markdown."""
    here = machine_info.describe()
    about = (
        f"{here.processor}, {here.cores} cores, {units.size(here.memory)} of memory, {here.system}"
    )
    lines = [about, "", "| What | Measured | At most |", "| --- | --- | --- |"]
    lines += [f"| {one.what} | {one.value} | {one.limit} |" for one in figures]
    return "\n".join(lines)
