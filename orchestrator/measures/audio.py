"""What a file says of a sound with the model's projector, by upstream's own program.

The sound is made here, the same bytes everywhere: a tone of 440 Hz, two seconds long.
"""

from __future__ import annotations

import math
import struct
import wave
from pathlib import Path

from orchestrator.base.step_values import JSON, Task
from orchestrator.measures import image

# A whole number of waves in so many samples, so that rounding is the same on every machine.
_RATE, _WAVES, _SAMPLES, _TIMES = 16_000, 11, 400, 80
_LOUD = 8_000


def _run(task: Task) -> dict[str, JSON]:
    draw(task.scratch / "sound.wav")
    return image.answer(task, "sound.wav", "a sound")


def draw(path: Path) -> None:
    """Write the sound as a WAV file of 16-bit samples, 16,000 a second."""
    turn = 2 * math.pi * _WAVES / _SAMPLES
    samples = [round(_LOUD * math.sin(turn * at)) for at in range(_SAMPLES)]
    with wave.open(str(path), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(_RATE)
        sound.writeframes(struct.pack(f"<{_SAMPLES}h", *samples) * _TIMES)


MEASURE = image.measure_of(
    "audio", 32, _run, thing="sound", about="a tone of 440 Hz, two seconds long"
)
