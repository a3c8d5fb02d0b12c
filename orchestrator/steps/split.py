"""Split a file that is too large for one piece, and see that nothing was lost."""

from __future__ import annotations

from pathlib import Path

from orchestrator.base import units
from orchestrator.base.errors import StepError, UsageError
from orchestrator.base.file_links import only_file
from orchestrator.base.step_values import JSON, Progress, Task
from orchestrator.modelfiles import gguf
from orchestrator.modelfiles.comparing.compare import compare
from orchestrator.modelfiles.comparing.comparison import Verdict
from orchestrator.toolchain import call_verb

MEGABYTE = 1_000_000  # the tool counts in these


def run(task: Task) -> dict[str, JSON]:
    """Write the parts as ``STEM-00001-of-0000N.gguf``, in the order of the tensors.

    The tool counts the bytes of tensors alone, so the header is taken off the limit first.

    Returns:
        Facts: ``parts``, their file names in order.

    Raises:
        UsageError: The limit is smaller than the tool can keep.
        StepError: A tensor does not fit into a part, the tool failed, or the parts together
            are not the file.
    """
    stem, limit = str(task.step.params["stem"]), int(task.step.params["max_file"])
    source = only_file(task.inputs["model"])
    header = gguf.read(source)
    megabytes = (limit - header.data_offset) // MEGABYTE
    if megabytes < 1:
        raise UsageError(
            f"parts of {units.size(limit)} are too small: the header alone has "
            f"{units.size(header.data_offset)}, and the tool splits by whole megabytes",
            "Choose a larger --max-file.",
        )
    values = {
        "input": str(source),
        "output": str(task.workdir / stem),
        "size": f"{megabytes}M",
    }
    call_verb.call(
        task,
        "split",
        values,
        counts={"tensors": len(header.tensors)},
        needed_bytes=task.step.resources.disk_bytes,
    )
    parts = _parts(task, stem, limit)
    _compare(task, source, parts[0])
    return {"parts": [path.name for path in parts]}


def _parts(task: Task, stem: str, limit: int) -> list[Path]:
    made = sorted(path for path in task.workdir.iterdir() if path.is_file())
    wanted = [f"{stem}-{n + 1:05}-of-{len(made):05}.gguf" for n in range(len(made))]
    if not made or [path.name for path in made] != wanted:
        names = ", ".join(path.name for path in made) or "nothing"
        raise StepError(f"{task.step.label}: the tool exited 0 but wrote {names}")
    for path in made:
        if path.stat().st_size > limit:
            raise StepError(
                f"{task.step.label}: {path.name} has {units.size(path.stat().st_size)}, more than "
                f"{units.size(limit)}: one of its tensors does not fit into a part",
                "Choose a larger --max-file.",
            )
    return made


def _compare(task: Task, whole: Path, first: Path) -> None:
    def report(progress: Progress) -> None:
        task.report(Progress(progress.done, progress.total, progress.unit, "checking"))

    found = compare(whole, first, values=False, report=report)
    if not found.verdict.meets(Verdict.SAME_TENSORS) or found.keys:
        changed = ", ".join(one.key for one in found.keys[:3]) or found.verdict.value
        raise StepError(
            f"{task.step.label}: the parts together are not the file ({changed})",
            "Run again; if it stays so, the tool is at fault.",
        )
