"""What a model file's header says: its tensors, their types, how they fit the full file's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.base.errors import StepError
from orchestrator.base.step_values import JSON
from orchestrator.modelfiles import ggml, gguf, gguf_parts
from orchestrator.modelfiles.gguf import TensorInfo

_PLAIN = ("F16", "F32")


@dataclass(frozen=True)
class Header:
    """What both formats have; ``layout`` is ``gguf``, ``ggjt-v1``, ..., ``bloomz``."""

    version: int
    layout: str
    tensors: tuple[TensorInfo, ...]
    parameters: int
    bits_per_weight: float
    size: int


def header(path: Path, form: str, layout: str = "") -> Header:
    """Read the header of ``path``, whose every tensor must lie inside the file.

    Args:
        path: The file; of a model in several GGUF files the first.
        form: ``gguf`` or ``ggml``.
        layout: The tool chain's layout of GGML files; names bloom's, which look like llama's.

    Raises:
        FormatError: The file is malformed or truncated; names the byte. A part is missing.
    """
    if form == "gguf":
        return _whole(gguf_parts.read(path))
    old = ggml.read(path, "bloom" if layout.startswith("bloom") else "llama")
    return _header(old, old.layout)


def _whole(parts: Sequence[gguf.GGUF]) -> Header:
    tensors = tuple(one for part in parts for one in part.tensors)
    numbers = sum(part.n_elements for part in parts)
    bits = 8 * sum(one.nbytes for one in tensors) / numbers if len(parts) > 1 else 0.0
    return Header(
        parts[0].version,
        "gguf",
        tensors,
        numbers,
        bits or parts[0].bits_per_weight,
        sum(part.file_size for part in parts),
    )


def _header(file: ggml.GGMLFile, layout: str) -> Header:
    return Header(
        file.version, layout, file.tensors, file.n_elements, file.bits_per_weight, file.file_size
    )


def facts(found: Header, full: Header | None) -> dict[str, JSON]:
    """Structure, census and sizes of one file, as measures.

    ``bits_per_weight`` counts the tensors' bytes over their elements, which is what
    llama-quantize prints as BPW; ``size`` is the whole file's in bytes.
    """
    return {
        "structure": {
            "version": found.version,
            "layout": found.layout,
            "compared": full is not None,
            **(_differences(found.tensors, full.tensors) if full else {}),
        },
        "census": dict(sorted(Counter(one.type for one in found.tensors).items())),
        "tensors": len(found.tensors),
        "parameters": found.parameters,
        "size": found.size,
        "bits_per_weight": found.bits_per_weight,
    }


def _differences(found: Sequence[TensorInfo], full: Sequence[TensorInfo]) -> dict[str, JSON]:
    have, want = _shapes(found), _shapes(full)
    return {
        "missing": sorted(want.keys() - have.keys()),
        "extra": sorted(have.keys() - want.keys()),
        "reshaped": [
            {"name": name, "shape": list(have[name]), "full": list(want[name])}
            for name in sorted(have.keys() & want.keys())
            if have[name] != want[name]
        ],
    }


def _shapes(tensors: Sequence[TensorInfo]) -> Mapping[str, tuple[int, ...]]:
    """Shapes by name; trailing dimensions of 1, which ggml drops when it writes, left out."""
    return {one.name: _trimmed(one.shape) for one in tensors}


def _trimmed(shape: tuple[int, ...]) -> tuple[int, ...]:
    while len(shape) > 1 and shape[-1] == 1:
        shape = shape[:-1]
    return shape


def expect_layout(found: Header, layout: str, name: str) -> None:
    """Hold a GGML file against the layout that its tool chain writes.

    Tensors that are not quantized are the same in all of them: convert.py of every commit
    marks its files as version 1, and the tools of each version read them.

    Raises:
        StepError: It has another one.
    """
    quantized = any(one.type not in _PLAIN for one in found.tensors)
    if quantized and layout.startswith("ggjt") and found.layout != layout:
        raise StepError(
            f"{name} is a {found.layout} file, not a {layout} one",
            "It was not made by this tool chain; its tools cannot read it.",
        )
