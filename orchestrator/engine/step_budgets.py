"""What a step of each kind needs while it runs, from the sizes that are predicted; pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from orchestrator.base.step_values import Resources, Step
from orchestrator.measures.definition import ORIGINAL
from orchestrator.toolchain.model import Verb

# Measured on the pinned converter: PyTorch and transformers before the first tensor.
CONVERTER_BASE = 700 << 20
TOOL_BASE = 200 << 20


@dataclass(frozen=True)
class Sizes:
    """What is predicted around one step, zero where it is not known.

    Attributes:
        full: Bytes of the file that everything is quantized from.
        made: Bytes of the model file that the step makes.
        read: Bytes of the model file that the step reads.
        fetched: Bytes that the step brings from elsewhere.
        largest_tensor: Elements of the largest tensor.
        vocabulary: Tokens of the vocabulary.
    """

    full: int = 0
    made: int = 0
    read: int = 0
    fetched: int = 0
    largest_tensor: int = 0
    vocabulary: int = 0


Budget = Callable[[Step, Sizes], Resources]


def fetch(step: Step, sizes: Sizes) -> Resources:
    """What comes from elsewhere lies on the disk."""
    return replace(step.resources, fetch_bytes=sizes.fetched)


def merge(step: Step, sizes: Sizes) -> Resources:
    """Three tensors of 16 bits, or blocks of them, at a time."""
    memory = (64 << 20) + min(6 * sizes.largest_tensor, 512 << 20)
    return replace(step.resources, disk_bytes=sizes.full, memory_bytes=memory)


def convert(step: Step, sizes: Sizes) -> Resources:
    """Three copies of a tensor in 32 bits, one tensor at a time."""
    memory = CONVERTER_BASE + 12 * sizes.largest_tensor
    return replace(step.resources, disk_bytes=sizes.made, memory_bytes=memory)


def quantize(step: Step, sizes: Sizes) -> Resources:
    """Rows are quantized from 32-bit floats, one tensor in memory at a time."""
    memory = TOOL_BASE + 6 * sizes.largest_tensor
    return replace(step.resources, disk_bytes=sizes.made, memory_bytes=memory)


def rewrite(step: Step, sizes: Sizes) -> Resources:
    """Tensors are copied one at a time, from a mapped file."""
    memory = TOOL_BASE + 2 * sizes.largest_tensor
    return replace(step.resources, disk_bytes=sizes.made, memory_bytes=memory)


def evaluate(step: Step, sizes: Sizes) -> Resources:
    """The mapped file, the key-value cache and the compute buffers.

    Where the original model is read too, PyTorch and its weights in 32-bit floats: twice the
    bytes of a file of 16-bit ones.
    """
    memory = sizes.read + sizes.read // 8 + (400 << 20)
    if ORIGINAL in step.inputs:
        memory = CONVERTER_BASE + 2 * sizes.read
    return replace(step.resources, memory_bytes=memory)


def logits(step: Step, sizes: Sizes) -> Resources:
    """As any evaluation, and the logits if they are saved."""
    needed = evaluate(step, sizes)
    layout = Verb.model_validate(step.context["verbs"]["logits"]).saved
    if not step.params["save"] or layout is None:
        return needed
    saved = layout.size_of(
        context=int(step.params["context"]),
        vocabulary=sizes.vocabulary,
        chunks=max(int(step.params["chunks"]), 0),
    )
    return replace(needed, disk_bytes=saved)
