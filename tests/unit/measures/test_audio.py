"""The sound that models are given is the same everywhere."""

from __future__ import annotations

import hashlib
import wave
from pathlib import Path

from orchestrator.measures import audio
from tests.support.tool_chain_tasks import task_of, tool, whole

HEARD = """
sound, projector = Path(args[0]), Path(args[1])
assert sound.read_bytes().startswith(b"RIFF") and projector.is_file()
print(args[2], "is a tone")
"""
SOUND = "daddae7b8228e5adb6d0a828b111a597b9d84792be902ad64c17fc35cf9b2c30"


def test_the_sound_has_known_bytes_and_lasts_two_seconds(tmp_path: Path) -> None:
    audio.draw(tmp_path / "s.wav")

    assert hashlib.sha256((tmp_path / "s.wav").read_bytes()).hexdigest() == SOUND
    with wave.open(str(tmp_path / "s.wav")) as sound:
        assert sound.getnframes() == 2 * sound.getframerate() == 32_000


def test_the_tool_is_given_the_sound_with_the_projector_beside_the_file(tmp_path: Path) -> None:
    verbs = {"look_at": tool(HEARD, "{image}", "{mmproj}", "{prompt}")}
    inputs = {"model": whole(tmp_path / "model"), "mmproj": whole(tmp_path / "mmproj")}
    params = {"file": "model.gguf", "prompt": "This", "tokens": 8}

    work = audio.MEASURE.work
    assert work is not None
    found = work.run(task_of(tmp_path / "t", verbs, inputs, params))

    assert found["text"] == "This is a tone"
