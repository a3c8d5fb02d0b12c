"""How often the calibration text reached each matrix that an importance matrix weighs."""

from __future__ import annotations

import re
import struct
from collections import defaultdict
from pathlib import Path

from orchestrator.base import units
from orchestrator.base.step_values import JSON
from orchestrator.modelfiles import gguf

_COUNTS = ".counts"
_LAYER = re.compile(r"(?:^|\.)blk\.(\d+)\.")


def read(path: Path) -> dict[str, tuple[float, ...]]:
    """The counts of every entry by its tensor's name: one a matrix, so one an expert.

    Files of before August 2025 are no GGUF and hold no counts of single experts.

    Raises:
        FormatError: The file is no sound GGUF.
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        if file.read(len(gguf.MAGIC)) != gguf.MAGIC:
            return {}
        found, counts = gguf.read(path), {}
        for one in found.tensors:
            if one.name.endswith(_COUNTS) and one.type == "F32":
                file.seek(found.data_offset + one.offset)
                values = struct.unpack(f"<{one.n_elements}f", file.read(one.nbytes))
                counts[one.name.removesuffix(_COUNTS)] = values
    return counts


def notes(counts: dict[str, tuple[float, ...]]) -> list[dict[str, JSON]]:
    """What of the model the text did not reach, as notes with numbers for the report."""
    empty = [name for name, values in counts.items() if not any(values)]
    found = _experts({name: values for name, values in counts.items() if name not in empty})
    if empty:
        found.append(
            {
                "message": f"The calibration text reached nothing of "
                f"{units.plural(len(empty), 'tensor')}, such as {empty[0]}: "
                "they are quantized without weighing.",
                "numbers": {"tensors": empty},
            }
        )
    return found


def _experts(counts: dict[str, tuple[float, ...]]) -> list[dict[str, JSON]]:
    """Experts that the text never reached: their share in each layer."""
    shares: dict[int, float] = defaultdict(float)
    for name, values in counts.items():
        layer = _LAYER.search(name)
        if layer is not None and len(values) > 1 and 0 in values:
            share = values.count(0) / len(values)
            shares[int(layer[1])] = max(shares[int(layer[1])], share)
    if not shares:
        return []
    told = ", ".join(
        f"{units.percent(share, 0)} in layer {layer}" for layer, share in sorted(shares.items())
    )
    numbers = {str(layer): share for layer, share in sorted(shares.items())}
    return [
        {
            "message": f"The calibration text never reached some experts: {told}. "
            "They are quantized without weighing; a longer or broader text reaches more.",
            "numbers": {"unreached_experts": numbers},
        }
    ]
