"""Measures taken with the pinned tool chain's data from what its tools printed once."""

from __future__ import annotations

import sys
from pathlib import Path

from orchestrator.base.step_values import JSON, Step, Task
from orchestrator.measures import registry
from orchestrator.steps import measure
from orchestrator.toolchain import load


def taken(place: Path, name: str, printed: str, **options: JSON) -> dict[str, JSON]:
    """The facts of a measure whose one verb printed this, with these options of its section."""
    work = registry.named(name).work
    assert work is not None
    assert work.options is not None
    [verb] = work.verbs
    data = load.load("llama.cpp").verbs[verb].model_dump(mode="json")
    argv = [sys.executable, "-c", "import sys; print(sys.argv[1])", printed.replace("{", "{{")]
    for folder in ("model", "corpus", "work", "scratch"):
        (place / folder).mkdir()
    (place / "model" / "model.gguf").write_bytes(b"")
    (place / "corpus" / "tasks.txt").write_text("tasks")
    params = {"measure": name, "file": "model.gguf", **work.options({name: options})}
    context = {"verbs": {verb: {**data, "argv": argv}}}
    step = Step("measure", f"measure x: {work.doing}", "0" * 64, params, context=context)
    inputs = {"model": place / "model", "corpus": place / "corpus"}
    task = Task(step, inputs, place / "work", place / "scratch", place / "log", 1)
    return measure.run(task)
