"""Convert a model folder with upstream's converter, offline and under a stable name."""

from __future__ import annotations

from pathlib import Path

from orchestrator.base.errors import StepError
from orchestrator.base.file_links import borrow
from orchestrator.base.step_values import JSON, Task
from orchestrator.modelfiles import foreign_code, gguf, output_checks, source_configs
from orchestrator.sources import hollow_model
from orchestrator.toolchain import call_verb
from orchestrator.toolchain.verb_option import hide

_WHOLE = ("convert", "import_ggml")  # other verbs make parts of a model


def run(task: Task) -> dict[str, JSON]:
    """Write the converted file under its bare name.

    The converter sees the model in a folder called like the model, since it writes parts
    of the folder's name into the file. Code of the model is in it only if it is trusted.

    Returns:
        Facts: ``size`` in bytes, ``notes`` if the converter left something out, and
        ``contradictions`` (:mod:`orchestrator.modelfiles.source_configs`) if there are any.

    Raises:
        StepError: The converter failed or wrote nothing, or the file's weights are damaged.
    """
    params = task.step.params
    model = _place(task)
    _lay_out(task.inputs["model"], model)
    hide(call_verb.verb(task, params["verb"]).options, params, model)
    trusted = bool(task.step.context.get("trust_remote_code"))
    removed = () if trusted else foreign_code.remove(model)
    output = task.workdir / params["file"]
    values = {
        **params,
        **params.get("runtime", {}),
        "input": str(_input(model, params["verb"])),
        "output": str(output),
        "output_dir": str(task.workdir),
        "single_safetensors": _single(model),
        **hollow_model.beside_adapter(task),
    }
    with foreign_code.explained(removed), output_checks.watched(output) as watched:
        done = call_verb.call(
            task,
            params["verb"],
            values,
            cwd=task.scratch,
            needed_bytes=task.step.resources.disk_bytes,
        )
    _settle(task, output)
    task.computed()
    notes = {"notes": list(done.notes)} if done.notes else {}
    return {
        "size": output.stat().st_size,
        **watched.facts(task),
        **notes,
        **_contradictions(params["verb"], model, output),
    }


def _contradictions(verb: str, model: Path, output: Path) -> dict[str, JSON]:
    """What a file that was converted from a folder says otherwise than the folder's own files."""
    if verb != "convert" or output.suffix != ".gguf":
        return {}
    return source_configs.facts(model, output)


def _place(task: Task) -> Path:
    """A folder called like the model; some converters take the name of the one above it."""
    params = task.step.params
    name = str(params["model_name"])
    folder = str(params.get("folder", name))
    twice = call_verb.verb(task, params["verb"]).named_twice
    return task.scratch / name / folder if twice else task.scratch / folder


def _lay_out(source: Path, model: Path) -> None:
    """A folder of links to the model's files."""
    model.mkdir(parents=True)
    for path in sorted(path for path in source.rglob("*") if path.is_file()):
        target = model / path.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        borrow(path, target)


def _input(model: Path, verb: str) -> Path:
    """The folder, or for an import its one file."""
    if verb != "import_ggml":
        return model
    [only] = [path for path in model.iterdir() if path.is_file()]
    return only


def _single(model: Path) -> str:
    """The one safetensors file of a model that has just one, for converters that want it."""
    found = sorted(model.glob("*.safetensors"))
    return str(found[0]) if len(found) == 1 else ""


def _settle(task: Task, output: Path) -> None:
    """Converters that choose their own file name have their file renamed."""
    if not output.exists():
        made = [path for path in task.workdir.iterdir() if path.is_file()]
        if len(made) != 1:
            raise StepError(f"{task.step.label}: the converter exited 0 but wrote no file")
        made[0].rename(output)
    if output.stat().st_size == 0:
        raise StepError(f"{task.step.label}: the converter exited 0 but its file is empty")
    if task.step.params["verb"] not in _WHOLE and not gguf.read(output).tensors:
        raise StepError(f"{task.step.label}: the converter exited 0 but its file has no tensors")
