"""What a file says of a picture with the model's projector, by upstream's own program.

The picture is drawn here, the same bytes everywhere: a red circle on white.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from orchestrator.base.file_links import borrow
from orchestrator.base.step_values import JSON, Task
from orchestrator.measures import smoke, taking
from orchestrator.measures.check_status import Check
from orchestrator.measures.definition import Measure, Option, Section, Work
from orchestrator.measures.expectation import Expectation, Facts

_PART = "mmproj"
# Keys of a projector's header say what it takes.
_SENSES = {"image": "vision", "audio": "audio"}
_SIDE, _RADIUS = 224, 80
_RED, _WHITE = b"\xdc\x14\x3c", b"\xff\xff\xff"
# Pictures become up to some thousand tokens.
_CONTEXT = 8192


def _run(task: Task) -> dict[str, JSON]:
    draw(task.scratch / "picture.png")
    return answer(task, "picture.png", "a picture")


def answer(task: Task, shown: str, doing: str) -> dict[str, JSON]:
    """Ask about a picture or a sound, a file in the scratch folder.

    ``params``: ``prompt``, ``tokens``; ``inputs["mmproj"]`` has a file called the same.

    Returns:
        ``text``, and ``peak`` (bytes of memory).
    """
    params = task.step.params
    projector = task.inputs[_PART] / str(params["file"])
    values = {
        "prompt": str(params["prompt"]),
        "tokens": str(params["tokens"]),
        "context": str(_CONTEXT),
        "image": shown,
        _PART: borrow(projector, task.scratch / f"{_PART}{projector.suffix}").name,
    }
    done = taking.call(task, "look_at", values, doing)
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


def _judge(measure: Measure, facts: Facts, expectation: Expectation) -> Iterator[Check]:
    """As a smoke test; most models see and hear nothing, and are not spoken of."""
    if measure.name in {*facts, *expectation.asked}:
        yield from smoke.judge(measure, facts, expectation)


def measure_of(
    name: str, order: int, run: Callable[[Task], dict[str, JSON]], *, thing: str, about: str
) -> Measure:
    """The measure of what is said of a picture or a sound, ``thing``."""

    def asked(sections: Mapping[str, JSON]) -> dict[str, JSON]:
        """What of the section decides about the text; what must be found in it only judges."""
        return {key: sections[name][key] for key in ("prompt", "tokens")}

    return Measure(
        name=name,
        order=order,
        judge=_judge,
        work=Work(run, f"a {thing}", ("look_at",), asked, part=_PART, reads_texts=True),
        section=Section(
            name,
            f"What must be said of {about}; needs 'mmproj'.",
            (
                Option("prompt", "words", f"What is asked about the {thing}.", required=True),
                Option(
                    "expect", "pattern", "Regular expression to find in the answer.", required=True
                ),
                Option("tokens", "count", "How many tokens to generate.", 32),
            ),
            describes=f"One question about a {thing}.",
            part=_PART,
            part_has=f"clip.has_{_SENSES[name]}_encoder",
            why=f"it is the part of the model that takes a {thing}",
        ),
    )


MEASURE = measure_of("image", 31, _run, thing="picture", about="a picture of a red circle on white")
