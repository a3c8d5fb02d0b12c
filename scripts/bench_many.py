"""Measure plans and runs of many recipes that have nothing to do; prints a table.

    python scripts/bench_many.py [--new N] [--known N] [--rounds N]

The models are copies of the tiny llama that share all files but config.json, so that each has
its own header. What was made of one stands for what would have been made of all: manifests are
written for the keys of the others, and their files are hard links.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench_common import ROOT, TINY, Figure, linked, orchestrate, prepared, table, timed

from orchestrator.base import digest, machine_info
from orchestrator.base.step_values import Step
from orchestrator.engine import step_kinds
from orchestrator.engine.artifact_store import Store
from orchestrator.engine.progress_listeners import Plain
from orchestrator.engine.scheduler import Settings
from orchestrator.engine.step_kinds import Role
from orchestrator.planning.recipe_to_steps import Plan, union
from orchestrator.runs import load_and_plan
from orchestrator.runs.session import Session, choices

MODEL = TINY.parent / "models" / "llama"
CORPUS = TINY.parent / "corpus" / "perplexity.txt"
RECIPE = """\
name: {name}
family: llama
toolchain: llama.cpp
model:
  path: models/{name}
quantize: [Q4_0, Q8_0]
verify:
  perplexity: {{corpus: {corpus}, context: 256, chunks: 8}}
"""


def write(folder: Path, count: int) -> None:
    """Write this many recipes, each with a model of its own."""
    for number in range(count):
        name = f"many-{number:04}"
        model = folder / "models" / name
        shutil.copytree(MODEL, model, copy_function=_linked)
        config = json.loads((model / "config.json").read_text("utf-8"))
        config["max_position_embeddings"] += number
        (model / "config.json").unlink()
        (model / "config.json").write_text(json.dumps(config), encoding="utf-8")
        text = RECIPE.format(name=name, corpus=CORPUS)
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")


def _linked(source: str, target: str) -> None:
    """A hard link, or a copy on another disk."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def give(store: Store, plans: Sequence[Plan], made: Plan) -> None:
    """Give a store what it has of one plan for all others too."""
    for one in plans:
        for step, like in zip(one.steps, made.steps, strict=True):
            if store.find(step.key, quick=True) is None:
                _give(store, step, like, made.recipe.name, one.recipe.name)


def _give(store: Store, step: Step, like: Step, name: str, new: str) -> None:
    found = store.find(like.key, quick=True)
    assert found is not None, like.label
    source = found.path.parent
    target = source.parent.parent / step.key[:2] / step.key
    for path in filter(Path.is_file, (source / "files").rglob("*")):
        copy = target / str(path.relative_to(source)).replace(name, new)
        copy.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink():
            copy.symlink_to(str(path.readlink()).replace(name, new))
        else:
            _linked(str(path), str(copy))
    (target / "files").mkdir(parents=True, exist_ok=True)
    manifest = json.loads(json.dumps(found.manifest).replace(name, new))
    manifest |= {"key": step.key, "params": dict(step.params), "inputs": dict(step.inputs)}
    manifest["digest"] = digest.key(manifest)
    (target / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")


def store_with_tools(home: Path) -> Store:
    """A store with the tool chain of the user's own, and nothing else."""
    one, store, tools = prepared(TINY, verify=True, roles=(Role.TOOL,))
    looks = [step for step in one.steps if step_kinds.of(step).module == "inspect_source"]
    linked(home, store, [*tools, *looks])
    return Store(home, print)


def make_known(folder: Path, store: Store, env: dict[str, str]) -> None:
    """Make the first recipe, and give its results to the others."""
    first = folder / "many-0000.yaml"
    timed(orchestrate("run", str(first), "--out", str(folder / "dist")), folder, env)
    settings = Settings(threads=machine_info.cores())
    session = Session(store, settings, choices(), Plain(sys.stderr))
    plans = load_and_plan.make(load_and_plan.load([folder]), session)
    steps = union(plans)
    own = (Role.SOURCE, Role.DESCRIPTION)
    session.runner.run(steps, [one.key for one in steps if step_kinds.of(one).role in own])
    give(store, plans, plans[0])


def figures(new: int, known: int, rounds: int) -> list[Figure]:
    """New recipes planned once, then known ones checked, planned and run."""
    with tempfile.TemporaryDirectory(dir=Store.default_root(), prefix="bench-") as name:
        place = Path(name)
        write(place / "new", new)
        write(place / "known", known)
        store = store_with_tools(place / "home")
        env = {**os.environ, "ORCHESTRATE_HOME": str(place / "home")}
        fresh = timed(orchestrate("plan", str(place / "new")), ROOT, env)
        make_known(place / "known", store, env)
        out = ["--out", str(place / "known" / "dist")]
        found = [
            Figure(f"plan of {new} new recipes, each of another model", f"{fresh:.1f} s", "10 s")
        ]
        limits = {"check": "2.5 s", "plan": "5 s", "run": "6 s"}  # for 1,000
        for words, limit in limits.items():
            argv = orchestrate(words, str(place / "known"), *(out if words == "run" else ()))
            timed(argv, ROOT, env)
            median = statistics.median(timed(argv, ROOT, env) for _ in range(rounds))
            found.append(
                Figure(
                    f"{words} of {known} known recipes, median",
                    f"{median:.2f} s",
                    f"{limit} for 1,000",
                )
            )
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--new", type=int, default=100)
    parser.add_argument("--known", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    print(table(figures(args.new, args.known, args.rounds)))


if __name__ == "__main__":
    main()
