"""What a file says of a picture with the model's projector, by upstream's own program.

The picture is drawn here, the same bytes everywhere: a red circle on white.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from orchestrator.base.file_links import borrow
from orchestrator.base.step_values import JSON, Task
from orchestrator.measures import smoke, taking
from orchestrator.measures.check_status import Check
from orchestrator.measures.definition import Measure, Option, Section, Work
from orchestrator.measures.expectation import Expectation, Facts

_PART = "mmproj"
_SIDE, _RADIUS = 224, 80
_RED, _WHITE = b"\xdc\x14\x3c", b"\xff\xff\xff"
# Pictures become up to some thousand tokens.
_CONTEXT = 8192


def _run(task: Task) -> dict[str, JSON]:
    """``params``: ``prompt``, ``tokens``; ``inputs["mmproj"]`` has a file called the same.

    Returns:
        ``text``, and ``peak`` (bytes of memory).
    """
    params = task.step.params
    draw(task.scratch / "picture.png")
    projector = task.inputs[_PART] / str(params["file"])
    values = {
        "prompt": str(params["prompt"]),
        "tokens": str(params["tokens"]),
        "context": str(_CONTEXT),
        "image": "picture.png",
        _PART: borrow(projector, task.scratch / f"{_PART}{projector.suffix}").name,
    }
    done = taking.call(task, "look_at", values, "a picture")
    return {"text": done.stdout.strip(), "peak": done.peak_memory}


def draw(path: Path) -> None:
    """Write the picture as a PNG of 224 times 224 pixels."""
    middle = (_SIDE - 1) / 2
    rows = b""
    for y in range(_SIDE):
        inside = [(x - middle) ** 2 + (y - middle) ** 2 <= _RADIUS**2 for x in range(_SIDE)]
        rows += b"\0" + b"".join(_RED if one else _WHITE for one in inside)
    head = struct.pack(">IIBBBBB", _SIDE, _SIDE, 8, 2, 0, 0, 0)
    # Not compressed: that would be other bytes with another zlib.
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(rows, 0)), (b"IEND", b""))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*one) for one in chunks))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _asked(sections: Mapping[str, JSON]) -> dict[str, JSON]:
    """What of the section decides about the text; what must be found in it only judges."""
    return {name: sections["image"][name] for name in ("prompt", "tokens")}


def _judge(measure: Measure, facts: Facts, expectation: Expectation) -> Iterator[Check]:
    """As a smoke test; most models see nothing, and are not spoken of."""
    if measure.name in {*facts, *expectation.asked}:
        yield from smoke.judge(measure, facts, expectation)


MEASURE = Measure(
    name="image",
    order=31,
    judge=_judge,
    work=Work(_run, "a picture", ("look_at",), _asked, part=_PART),
    section=Section(
        "image",
        "What must be said of a picture of a red circle on white; needs 'mmproj'.",
        (
            Option("prompt", "words", "What is asked about the picture.", required=True),
            Option("expect", "pattern", "Regular expression to find in the answer.", required=True),
            Option("tokens", "count", "How many tokens to generate.", 32),
        ),
        describes="One question about a picture.",
        part=_PART,
        why="it is the part of the model that sees",
    ),
)
