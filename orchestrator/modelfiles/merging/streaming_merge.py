"""Carry out a merge plan in chunks, so that memory does not grow with the model."""

from __future__ import annotations

import errno
import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from orchestrator.base.errors import EnvironmentProblem, StepError
from orchestrator.modelfiles.merging.float16_addition import BLOCK, HalfAdder, is_finite, to_half
from orchestrator.modelfiles.merging.lora_addition import adapted
from orchestrator.modelfiles.merging.merge_plan import Adapted, MergePlan, PlannedTensor
from orchestrator.modelfiles.merging.safetensors_writer import (
    MAX_SHARD_BYTES,
    Slot,
    create_files,
    lay_out,
    write_json,
)
from orchestrator.modelfiles.merging.tensor_location import TensorRef, read_all
from orchestrator.modelfiles.safetensors import BITS

if TYPE_CHECKING:
    from orchestrator.modelfiles.merging.float16_addition import Bits

# Elements that one worker reads, adds and writes in turn before it takes up something else;
# it does so in blocks that stay in a core's cache, which is what makes this fast.
CHUNK = 8 * 2**20
# One more than the threads, since a worker waits for the disk half of its time.
EXTRA_WORKERS, MAX_WORKERS = 1, 4


@dataclass(frozen=True)
class _Chunk:
    tensor: PlannedTensor | Adapted
    slot: Slot
    first: int
    count: int


def write_merged(
    plan: MergePlan,
    folder: Path,
    threads: int = 1,
    report: Callable[[int, int], None] = lambda _done, _total: None,
    shard_bytes: int = MAX_SHARD_BYTES,
) -> int:
    """Write the merged model into the empty ``folder``.

    Holds about 2 MiB for each of at most four workers, and an adapter's matrices of one tensor.

    Args:
        report: Called in this thread with the bytes of tensors written and their total.
        shard_bytes: The most that one file may have.

    Returns:
        The bytes of all tensors.

    Raises:
        StepError: a value of the result is infinite or NaN, or an input became shorter;
            what was written so far must be discarded.
        EnvironmentProblem: the disk is full.
    """
    try:
        _write_small_files(plan, folder)
        shards = lay_out([(one.name, one.dtype, one.shape) for one in plan.tensors], shard_bytes)
        create_files(folder, shards)
        slots = [slot for shard in shards for slot in shard.slots]
        chunks = [c for t, s in zip(plan.tensors, slots, strict=True) for c in _chunks(t, s)]
        _run(chunks, folder, min(threads + EXTRA_WORKERS, MAX_WORKERS), plan.nbytes, report)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise EnvironmentProblem(
            f"The disk is full: the merged model needs {plan.nbytes} bytes in {folder}.",
            "Free some space, or set ORCHESTRATE_HOME to a larger disk.",
        ) from error
    return plan.nbytes


def _write_small_files(plan: MergePlan, folder: Path) -> None:
    if plan.config:
        write_json(folder / "config.json", plan.config)
    for name, source in plan.copies.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, folder / name)


def _chunks(tensor: PlannedTensor | Adapted, slot: Slot) -> Iterator[_Chunk]:
    size = max(CHUNK // tensor.row, 1) * tensor.row
    for first in range(0, tensor.count, size):
        yield _Chunk(tensor, slot, first, min(size, tensor.count - first))


def _run(
    chunks: list[_Chunk],
    folder: Path,
    workers: int,
    total: int,
    report: Callable[[int, int], None],
) -> None:
    local = threading.local()

    def work(chunk: _Chunk) -> int:
        if not hasattr(local, "worker"):
            local.worker = _Worker(folder)
        worker: _Worker = local.worker
        return worker.adapt(chunk) if isinstance(chunk.tensor, Adapted) else worker.merge(chunk)

    done = 0
    pool = ThreadPoolExecutor(workers, thread_name_prefix="merge")
    try:
        futures: list[Future[int]] = [pool.submit(work, chunk) for chunk in chunks]
        for future in as_completed(futures):
            done += future.result()
            report(done, total)
    finally:
        pool.shutdown(cancel_futures=True)


class _Worker:
    """The buffers of one thread: about 2 MiB."""

    def __init__(self, folder: Path) -> None:
        import numpy as np  # noqa: PLC0415

        self._folder = folder
        self._adder = HalfAdder()
        self._raw = np.empty(BLOCK * 4, np.uint8)
        self._left = np.empty(BLOCK, np.uint16)
        self._right = np.empty(BLOCK, np.uint16)

    def merge(self, chunk: _Chunk) -> int:
        """Make and write one chunk; returns its bytes."""
        tensor, slot = chunk.tensor, chunk.slot
        assert isinstance(tensor, PlannedTensor)
        with (
            tensor.left.file.open("rb", buffering=0) as left,
            tensor.right.file.open("rb", buffering=0) as right,
            (self._folder / slot.file).open("r+b", buffering=0) as out,
        ):
            out.seek(slot.offset + 2 * chunk.first)
            end = chunk.first + chunk.count
            for first in range(chunk.first, end, BLOCK):
                total = self._add(tensor, left, right, first, min(BLOCK, end - first))
                _write_all(out, total.view("u1").data)
        return 2 * chunk.count

    def adapt(self, chunk: _Chunk) -> int:
        """Make and write one chunk of a tensor that adapters change; returns its bytes."""
        tensor = chunk.tensor
        assert isinstance(tensor, Adapted)
        with (
            tensor.left.file.open("rb", buffering=0) as left,
            (self._folder / chunk.slot.file).open("r+b", buffering=0) as out,
        ):
            out.seek(chunk.slot.offset + tensor.width * chunk.first)
            for data in adapted(tensor, left, chunk.first, chunk.count):
                _write_all(out, memoryview(data))
        return tensor.width * chunk.count

    def _add(
        self, tensor: PlannedTensor, left_file: BinaryIO, right_file: BinaryIO, first: int, n: int
    ) -> Bits:
        left, right = self._left[:n], self._right[:n]
        present = max(min(tensor.left.count - first, n), 0)
        self._load(tensor.left, left_file, first, left[:present])
        # Added, not copied: 0 + -0.0 is +0.0.
        left[present:] = 0
        self._load(tensor.right, right_file, first, right)
        _check_finite(left, tensor.name, "the base")
        _check_finite(right, tensor.name, "the delta")
        self._adder.add(left, right, out=right)
        _check_finite(right, tensor.name, "the sum")
        return right

    def _load(self, ref: TensorRef, file: BinaryIO, first: int, out: Bits) -> None:
        """Fill ``out`` with the elements from ``first`` on, as float16 bits."""
        if not out.size:
            return
        size = BITS[ref.dtype] // 8
        direct = ref.dtype == "F16"
        raw = out.view("u1") if direct else self._raw[: out.size * size]
        file.seek(ref.offset + first * size)
        read_all(file, raw.data, ref)
        if not direct:
            to_half(raw, ref.dtype, out)


def _check_finite(values: Bits, name: str, where: str) -> None:
    if not is_finite(values):
        raise StepError(
            f"{name}: {where} holds a value that is infinite or not a number in float16.",
            "The weights are damaged, or the delta was made from another base.",
        )


def _write_all(file: BinaryIO, data: memoryview) -> None:
    while data:
        data = data[file.write(data) :]
