"""The values of every tensor, read once: no NaN, nothing infinite, no matrix of one value.

Plain tensors are looked at number by number, quantized ones by their blocks' scales: a block
whose scale is a number holds numbers. Memory is bounded by the buffer, and the time is that
of reading the file. Importing this module imports numpy.
Sources: the structures of ggml-common.h of llama.cpp 0c1e570, and of ggml.c in May 2023.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from io import FileIO
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orchestrator.base import units
from orchestrator.base.errors import ExplainedFailure, StepError
from orchestrator.base.process import run_process
from orchestrator.base.step_values import JSON, Progress, Task
from orchestrator.modelfiles.comparing import opened_files
from orchestrator.modelfiles.comparing.opened_files import Family, Located

_BUFFER = 1 << 20
_FEW = 64
_SHOWN = 3
_MATRIX = 2

Blocks = NDArray[np.uint8]
Wait = Callable[[int], None]


@dataclass(frozen=True)
class _Float:
    """A kind of floating-point number: its unsigned twin, magnitude bits, and infinity."""

    bits: str
    magnitude: int
    infinity: int


_F16 = _Float("<u2", 0x7FFF, 0x7C00)
_BF16 = _Float("<u2", 0x7FFF, 0x7F80)
_F32 = _Float("<u4", 0x7FFF_FFFF, 0x7F80_0000)
_F64 = _Float("<u8", 0x7FFF_FFFF_FFFF_FFFF, 0x7FF0_0000_0000_0000)
# Powers of two; all bits set is NaN.
_E8M0 = _Float("u1", 0xFF, 0xFF)
_PLAIN: Mapping[str, _Float] = {"F16": _F16, "BF16": _BF16, "F32": _F32, "F64": _F64}

# Where in a block of each type its scales are.
_AT_START = ((0, _F16),)
_WITH_MINIMUM = ((0, _F16), (2, _F16))
_SCALES: Mapping[str, tuple[tuple[int, _Float], ...]] = {
    **dict.fromkeys(("Q1_0", "Q2_0", "Q4_0", "Q5_0", "Q8_0", "IQ4_NL", "IQ4_XS"), _AT_START),
    **dict.fromkeys(("IQ1_S", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S"), _AT_START),
    **dict.fromkeys(("Q4_1", "Q5_1", "Q8_1", "Q4_K", "Q5_K"), _WITH_MINIMUM),
    "Q2_K": ((80, _F16), (82, _F16)),
    "Q3_K": ((108, _F16),),
    "Q6_K": ((208, _F16),),
    "Q8_K": ((0, _F32),),
    "TQ1_0": ((52, _F16),),
    "TQ2_0": ((64, _F16),),
    "MXFP4": ((0, _E8M0),),
    **dict.fromkeys(("Q4_0 (ggjt-v1)", "Q4_0 (ggjt-v2)", "Q8_0 (ggjt-v2)"), ((0, _F32),)),
    **dict.fromkeys(("Q4_1 (ggjt-v1)", "Q4_1 (ggjt-v2)"), ((0, _F32), (4, _F32))),
    **dict.fromkeys(("Q4_2 (ggjt-v1)", "Q5_0 (ggjt-v1)"), _AT_START),
    **dict.fromkeys(("Q4_3 (ggjt-v1)", "Q5_1 (ggjt-v1)"), _WITH_MINIMUM),
}


@dataclass(frozen=True)
class Damage:
    """What is wrong with one tensor.

    Attributes:
        tensor: Its name.
        nan: How many of its numbers, or of its blocks' scales, are NaN.
        infinite: How many are infinite.
        constant: ``zeros``, ``one value``, or empty.
        scales: Whether blocks' scales were counted, not numbers.
        part: The file that it is in, where a model has several.
    """

    tensor: str
    nan: int = 0
    infinite: int = 0
    constant: str = ""
    scales: bool = False
    part: str = ""

    def __str__(self) -> str:
        where = f"{self.tensor} in {self.part}" if self.part else self.tensor
        if self.constant:
            return f"{where} holds {self.constant} only"
        what = "scale" if self.scales else "value"
        counts = ((self.nan, f"NaN {what}"), (self.infinite, f"infinite {what}"))
        told = " and ".join(units.plural(count, word) for count, word in counts if count)
        return f"{where} holds {told}"


def scan(
    path: Path, family: Family = "auto", report: Callable[[int, int], None] | None = None
) -> Iterator[Damage]:
    """Damaged tensors of a file, and of the parts beside it if it is the first of several.

    Args:
        path: A GGUF or GGML file.
        family: What a GGML file holds.
        report: Called with the bytes that were looked at, and all bytes; may raise to stop.

    Raises:
        FormatError: Its header is malformed.
    """
    opened = opened_files.open_model(path, family)
    several = len(opened.side.files) > 1
    for damage, one in scan_tensors(opened.tensors, report or (lambda _done, _total: None)):
        yield replace(damage, part=one.path.name) if several else damage


def scan_tensors(
    tensors: Sequence[Located], report: Callable[[int, int], None], wait: Wait | None = None
) -> Iterator[tuple[Damage, Located]]:
    """The damaged ones among tensors of files; arguments as :func:`scan`.

    ``wait`` is called before a tensor is read, with the byte after it: for files that grow.
    """
    total, done = sum(one.nbytes for one in tensors), 0
    buffer = bytearray(_BUFFER)
    for path, of_file in groupby(tensors, lambda one: one.path):
        with path.open("rb", buffering=0) as file:
            for one in of_file:
                if wait is not None:
                    wait(one.offset + one.nbytes)
                look = _Look(one)
                for blocks in _blocks(file, one, buffer):
                    look.at(blocks)
                    done += blocks.nbytes
                    report(done, total)
                damage = look.damage()
                if damage is not None:
                    yield damage, one


def expect_sound_output(task: Task, output: Path) -> dict[str, JSON]:
    """Hold the values of a file that a step made against what weights are.

    Quantizing would only hide damage. The step's context says whether it is of a stand-in.

    Returns:
        Facts: the names of ``constant`` matrices, if a stand-in has any. Runs of real models
        find that file in the store too, and judge it by them.

    Raises:
        StepError: As :func:`expect_sound`, which may raise its other errors too.
    """
    stand_in = bool(task.step.context.get("stand_in"))
    allowed = expect_sound(output, task.step.label, task.report, constant=stand_in)
    return {"constant": allowed} if allowed else {}


def expect_sound(
    path: Path, label: str, report: Callable[[Progress], None], *, constant: bool = False
) -> list[str]:
    """Hold a file's values against what weights are; can be interrupted.

    ``constant`` allows matrices of one value, which stand-in models have.

    Returns:
        The names of those.

    Raises:
        StepError: Names the first damaged tensors, and what helps.
        FormatError: Its header is malformed.
        Interrupted: The user pressed Ctrl-C.
    """

    def told(done: int, total: int) -> None:
        run_process.check_stopped()
        report(Progress(done, total, "B", note="look for NaN"))

    damaged = list(scan(path, report=told))
    found = [one for one in damaged if not (constant and one.constant)]
    if not found:
        return [one.tensor for one in damaged]
    more = f"; and {len(found) - _SHOWN} more tensors" if len(found) > _SHOWN else ""
    overflow = any(one.infinite for one in found) and not any(one.nan for one in found)
    raise ExplainedFailure(
        f"{label}: {'; '.join(map(str, found[:_SHOWN]))}{more}",
        "Numbers beyond 65504 do not fit into F16: say 'convert: {outtype: bf16}'."
        if overflow
        else "The model that it was made from is damaged, or it does not fit the converter.",
    )


def _blocks(file: FileIO, one: Located, buffer: bytearray) -> Iterator[Blocks]:
    """The tensor's blocks as rows of bytes, as many at a time as the buffer holds."""
    file.seek(one.offset)
    room = max(1, len(buffer) // one.block_bytes) * one.block_bytes
    left = one.nbytes
    while left:
        part = memoryview(buffer)[: min(room, left)]
        if file.readinto(part) != len(part):
            raise StepError(f"{one.path} became shorter while it was read")
        left -= len(part)
        yield np.frombuffer(part, np.uint8).reshape(-1, one.block_bytes)


class _Look:
    """What was seen of one tensor so far."""

    def __init__(self, one: Located) -> None:
        self._name = one.name
        plain = _PLAIN.get(one.type)
        self._places = ((0, plain),) if plain else _SCALES.get(one.type, ())
        self._is_plain = plain is not None
        # A vector of zeros is a bias that was never trained, one of ones a norm.
        matrix = sum(size > 1 for size in one.shape) >= _MATRIX
        self._same = matrix and one.nbytes > one.block_bytes
        self._zero = matrix and bool(self._places)
        self._first: Blocks | None = None
        self._nan = self._infinite = 0

    def at(self, blocks: Blocks) -> None:
        """Look at the next blocks."""
        for offset, kind in self._places:
            self._numbers(self._column(blocks, offset, kind), kind)
        if self._same:
            if self._first is None:
                self._first = blocks[0].copy()
            # Nearly always the first few differ, and the comparison of all takes long.
            few = blocks[:_FEW]
            self._same = bool((few == self._first).all() and (blocks == self._first).all())

    def damage(self) -> Damage | None:
        """What is wrong, if anything."""
        if self._nan or self._infinite:
            scales = not self._is_plain
            return Damage(self._name, self._nan, self._infinite, scales=scales)
        constant = "zeros" if self._zero else "one value" if self._same else ""
        return Damage(self._name, constant=constant) if constant else None

    def _column(self, blocks: Blocks, offset: int, kind: _Float) -> NDArray[Any]:
        """The numbers, or one scale of each block, as bits."""
        width = np.dtype(kind.bits).itemsize
        column = blocks if self._is_plain else blocks[:, offset : offset + width].copy()
        return column.reshape(-1).view(kind.bits)

    def _numbers(self, bits: NDArray[Any], kind: _Float) -> None:
        magnitude = bits & bits.dtype.type(kind.magnitude)
        largest = int(magnitude.max())
        self._zero = self._zero and largest == 0
        if largest >= kind.infinity:
            self._nan += int((magnitude > kind.infinity).sum())
            self._infinite += int((magnitude == kind.infinity).sum())
