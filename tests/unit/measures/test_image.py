"""The picture that models are shown is the same everywhere, and the answer is judged."""

from __future__ import annotations

import hashlib
import zlib
from pathlib import Path

from orchestrator.measures import image
from orchestrator.measures.check_status import Status
from orchestrator.measures.expectation import Expectation
from tests.support.tool_chain_tasks import task_of, tool, whole

SHOWN = """
picture, projector = Path(args[0]), Path(args[1])
assert picture.read_bytes().startswith(b"\\x89PNG") and projector.is_file()
print(args[2], "is a red circle")
"""


def test_the_picture_has_known_bytes_and_a_red_middle(tmp_path: Path) -> None:
    image.draw(tmp_path / "p.png")

    found = (tmp_path / "p.png").read_bytes()
    assert hashlib.sha256(found).hexdigest() == PICTURE
    start = found.index(b"IDAT") + 4
    size = int.from_bytes(found[start - 8 : start - 4], "big")
    rows = zlib.decompress(found[start : start + size])
    pixel = (224 // 2) * (1 + 3 * 224) + 1 + 3 * (224 // 2)
    assert rows[pixel : pixel + 3] == b"\xdc\x14\x3c"
    assert rows[1:4] == b"\xff\xff\xff"


PICTURE = "ee685d29f092b5ab7ed6dc8b05ea1093da71c52dd49edf9e7eb296ac9b8e5e19"


def test_the_tool_is_shown_the_picture_with_the_projector_beside_the_file(tmp_path: Path) -> None:
    verbs = {"look_at": tool(SHOWN, "{image}", "{mmproj}", "{prompt}")}
    inputs = {"model": whole(tmp_path / "model"), "mmproj": whole(tmp_path / "mmproj")}
    params = {"file": "model.gguf", "prompt": "This", "tokens": 8}

    work = image.MEASURE.work
    assert work is not None
    found = work.run(task_of(tmp_path / "t", verbs, inputs, params))

    assert found["text"] == "This is a red circle"


def test_an_answer_without_what_is_expected_fails() -> None:
    for text, status in (("a red circle", Status.PASS), ("a blue square", Status.FAIL)):
        asked = {"image": {"expect": "red", "prompt": "What?", "tokens": 8}}
        wanted = Expectation(asked=asked)
        [check] = image.MEASURE.judge(image.MEASURE, {"image": {"text": text}}, wanted)
        assert (check.name, check.status) == ("image", status)
