"""Make an importance matrix: which weights matter most on a calibration text."""

from __future__ import annotations

from orchestrator.base.errors import StepError
from orchestrator.base.step_values import JSON, Progress, Task
from orchestrator.modelfiles import imatrix_counts
from orchestrator.toolchain import call_verb
from orchestrator.toolchain.artifact_file_names import IMATRIX_FILE


def run(task: Task) -> dict[str, JSON]:
    """Write ``imatrix.gguf``.

    Model and text lie under bare names in the working folder: the tool writes the text's
    path into the matrix, and the quantizer copies it from there.

    Returns:
        Facts: the ``perplexity`` of the calibration text, ``chunks`` and the ``dataset``;
        ``notes`` if this and the texts before it did not reach all of the model.

    Raises:
        StepError: The text is too short, or the tool failed.
    """
    params = task.step.params
    model = next(path for path in task.inputs["model"].iterdir() if path.is_file())
    [corpus] = [path for path in task.inputs["corpus"].iterdir() if path.is_file()]
    (task.scratch / model.name).symlink_to(model)
    (task.scratch / corpus.name).symlink_to(corpus)
    output = task.workdir / IMATRIX_FILE
    values = {
        **params.get("options", {}),
        "input": model.name,
        "corpus": corpus.name,
        "output": str(output),
        "chunks": str(params["chunks"]),
        "context": str(params["context"]),
    }

    def report(progress: Progress) -> None:
        task.report(Progress(progress.done, max(params["chunks"], 0), progress.unit))

    verb = "imatrix"
    if "previous" in task.inputs:
        verb, values["previous"] = "extend_imatrix", str(task.inputs["previous"] / IMATRIX_FILE)
    done = call_verb.call(task, verb, values, cwd=task.scratch, report=report)
    if not output.is_file():
        raise StepError(f"{task.step.label}: the tool exited 0 but wrote no matrix")
    last = task.step.context.get("last", True)
    notes = imatrix_counts.notes(imatrix_counts.read(output)) if last else []
    return {
        "perplexity": float(done.values["perplexity"]),
        "chunks": params["chunks"],
        "dataset": corpus.name,
        **({"notes": notes} if notes else {}),
    }
