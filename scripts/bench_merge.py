"""Measure the merge of delta weights against plain copies and against loading both models.

Makes a synthetic pair of llama-like models below ``--folder`` (removed at the end) and runs,
each in a process of its own, ``--rounds`` times in turn:

- copies: read both inputs and write as many bytes as the result has, through one buffer;
- streamed: the merge step, on one thread and on ``--threads``, and where numkong is missing;
- in memory: both models whole, then one addition per tensor, then one file (with torch where
  it is installed, else with numpy).

Each runs in two conditions: "disk", where the inputs are dropped from the page cache before
and the output is flushed to the disk within the time, and "cache", where the inputs are in
the page cache and the output may stay there, which no model larger than memory ever meets.

Prints the median wall time, CPU time and the peak of anonymous memory (RssAnon, sampled every
5 ms) of each, and the ratio of wall times to the copies. Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from orchestrator.base.step_values import Step, Task
from orchestrator.modelfiles.merging.checkpoint import Checkpoint, open_checkpoint
from orchestrator.modelfiles.merging.safetensors_writer import create_files, lay_out
from orchestrator.modelfiles.safetensors import build_header
from orchestrator.steps import merge

BUFFER = 2**20
HIDDEN, FFN, ROWS = 2048, 5632, 32000
LAYER_BYTES = 2 * (4 * HIDDEN * HIDDEN + 3 * HIDDEN * FFN)

CONDITIONS = ("disk", "cache")


@dataclass(frozen=True)
class Measured:
    """One run: seconds, and bytes of anonymous memory at the peak."""

    wall: float
    cpu: float
    anonymous: int


Results = Mapping[tuple[str, str, int], list[Measured]]


def shapes(nbytes: int, rows: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a llama of at least ``nbytes`` in float16."""
    found: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (rows, HIDDEN)}
    layers = -(-(nbytes - 4 * ROWS * HIDDEN) // LAYER_BYTES)
    for number in range(layers):
        at = f"model.layers.{number}."
        for part in "qkvo":
            found[f"{at}self_attn.{part}_proj.weight"] = (HIDDEN, HIDDEN)
        found[at + "mlp.gate_proj.weight"] = (FFN, HIDDEN)
        found[at + "mlp.up_proj.weight"] = (FFN, HIDDEN)
        found[at + "mlp.down_proj.weight"] = (HIDDEN, FFN)
        found[at + "input_layernorm.weight"] = (HIDDEN,)
    return found | {"lm_head.weight": (rows, HIDDEN)}


def make_model(folder: Path, nbytes: int, rows: int, seed: int, top: int) -> None:
    """Write random finite halves with exponents below ``top`` as one safetensors file."""
    folder.mkdir(parents=True)
    tensors = shapes(nbytes, rows)
    header, total = build_header([(name, "F16", shape) for name, shape in tensors.items()])
    rng = np.random.default_rng(seed)
    with (folder / "model.safetensors").open("wb") as file:
        file.write(header)
        left = (total - len(header)) // 2
        while left:
            count = min(left, BUFFER // 2)
            bits = rng.integers(0, 1 << 16, count, np.uint16)
            halves = (bits & 0x83FF) | ((bits >> 10) % top << 10)
            file.write(halves.astype(np.uint16).data)
            left -= count
    config = {"model_type": "llama", "vocab_size": rows, "tie_word_embeddings": False}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.model").write_bytes(b"none")


def copies(base: Path, delta: Path, out: Path, _threads: int) -> None:
    """Read the delta, copy the base, and write what the new row adds."""
    buffer = bytearray(BUFFER)
    with (delta / "model.safetensors").open("rb", buffering=0) as file:
        while file.readinto(buffer):
            pass
    source = base / "model.safetensors"
    with source.open("rb", buffering=0) as file, (out / source.name).open("wb", buffering=0) as to:
        while count := file.readinto(buffer):
            to.write(memoryview(buffer)[:count])


def streamed(base: Path, delta: Path, out: Path, threads: int) -> None:
    """The merge step itself."""
    step = Step("merge", "merge", "bench", {"method": "delta"})
    merge.run(Task(step, {"base": base, "delta": delta}, out, out, out, threads))


def streamed_by_numpy(base: Path, delta: Path, out: Path, threads: int) -> None:
    """The merge step where numkong is not installed."""
    sys.modules["numkong"] = None  # type: ignore[assignment]
    streamed(base, delta, out, threads)


def in_memory(base: Path, delta: Path, out: Path, threads: int) -> None:
    """Load both, add, write: with torch if this Python has it, else with numpy."""
    try:
        import torch  # type: ignore  # noqa: PLC0415
    except ImportError:
        _in_memory_numpy(base, delta, out)
        return
    torch.set_num_threads(threads)
    from safetensors.torch import load_file, save_file  # noqa: PLC0415

    # A load copies: transformers fills the model it has built.
    left, right = (
        {k: v.clone() for k, v in load_file(folder / "model.safetensors").items()}
        for folder in (base, delta)
    )
    for name, tensor in left.items():
        extra = right[name].shape[0] - tensor.shape[0]
        if extra:
            left[name] = torch.cat([tensor, torch.zeros(extra, tensor.shape[1]).half()])
        left[name] += right[name]
    save_file(left, out / "model.safetensors", {"format": "pt"})


def _in_memory_numpy(base: Path, delta: Path, out: Path) -> None:
    left, right = _load(open_checkpoint(base)), _load(open_checkpoint(delta))
    shards = lay_out([(name, "F16", tensor.shape) for name, tensor in right.items()], 1 << 60)
    create_files(out, shards)
    for name, tensor in right.items():
        tensor[: len(left[name])] += left[name]
    with (out / shards[0].file).open("r+b") as file:
        for slot in shards[0].slots:
            file.seek(slot.offset)
            file.write(right[slot.name].data)


def _load(checkpoint: Checkpoint) -> dict[str, Any]:
    return {
        name: np.fromfile(ref.file, np.float16, ref.count, offset=ref.offset).reshape(ref.shape)
        for name, ref in checkpoint.tensors.items()
    }


WAYS: Mapping[str, Callable[[Path, Path, Path, int], None]] = {
    "copies": copies,
    "streamed": streamed,
    "streamed, numpy only": streamed_by_numpy,
    "in memory": in_memory,
}


def anonymous_bytes() -> int:
    """RssAnon of this process."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise SystemExit("this kernel does not say how much memory is anonymous")


def work(way: str, condition: str, folder: Path, threads: int) -> None:
    """Run one way in this process and print what it took as JSON."""
    peak, done = [anonymous_bytes()], threading.Event()

    def sample() -> None:
        while not done.wait(0.005):
            peak.append(max(peak.pop(), anonymous_bytes()))

    sampler = threading.Thread(target=sample)
    sampler.start()
    wall, cpu = time.perf_counter(), time.process_time()
    WAYS[way](folder / "base", folder / "delta", folder / "out", threads)
    if condition == "disk":
        flush(folder / "out")
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    done.set()
    sampler.join()
    print(json.dumps(asdict(Measured(wall, cpu, peak[0]))))


def flush(folder: Path) -> None:
    """Wait until every file of ``folder`` is on the disk."""
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())


def set_cached(path: Path, cached: bool) -> None:
    """Bring ``path`` into the page cache or drop it from there."""
    with path.open("rb", buffering=0) as file:
        if cached:
            buffer = bytearray(BUFFER)
            while file.readinto(buffer):
                pass
        else:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def measure(way: str, condition: str, folder: Path, threads: int) -> Measured:
    """Run one way in a process of its own, with nothing of the run before left to write."""
    out = folder / "out"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    flush(folder / "base")
    flush(folder / "delta")
    for side in ("base", "delta"):
        set_cached(folder / side / "model.safetensors", condition == "cache")
    argv = [sys.executable, __file__, "--folder", str(folder), "--way", way]
    argv += ["--threads", str(threads), "--condition", condition]
    answer = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    return Measured(**json.loads(answer))


def bench(folder: Path, nbytes: int, threads: int, rounds: int) -> None:
    """Make the pair, run every way in turns, print the table."""
    folder.mkdir(parents=True)
    try:
        make_model(folder / "base", nbytes, ROWS, 1, 16)
        make_model(folder / "delta", nbytes, ROWS + 1, 2, 12)
        runs = [("copies", 1), ("streamed", 1), ("streamed", threads)]
        runs += [("streamed, numpy only", threads), ("in memory", threads)]
        found: Results = {(c, *run): [] for c in CONDITIONS for run in runs}
        for _ in range(rounds):
            for (condition, way, used), results in found.items():
                results.append(measure(way, condition, folder, used))
        size = (folder / "base" / "model.safetensors").stat().st_size
        print(f"base and delta {size / 1e9:.2f} GB each, {rounds} rounds, medians\n")
        _print_table(found)
    finally:
        shutil.rmtree(folder)


def _print_table(found: Results) -> None:
    print("| condition | way | threads | wall s | to copies | CPU s | peak anonymous MiB |")
    print("|---|---|---|---|---|---|---|")
    for (condition, way, threads), runs in found.items():
        unit = statistics.median(run.wall for run in found[condition, "copies", 1])
        wall, cpu = (statistics.median(getattr(r, k) for r in runs) for k in ("wall", "cpu"))
        memory = max(run.anonymous for run in runs) / 2**20
        print(
            f"| {condition} | {way} | {threads} | {wall:.2f} | {wall / unit:.2f} | {cpu:.2f} "
            f"| {memory:.0f} |"
        )


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--folder", type=Path, required=True, help="must not exist yet")
    parser.add_argument("--gigabytes", type=float, default=2.2, help="of each input")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--way", choices=list(WAYS), help=argparse.SUPPRESS)
    parser.add_argument("--condition", choices=CONDITIONS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        work(options.way, options.condition, options.folder, options.threads)
    else:
        bench(options.folder, int(options.gigabytes * 1e9), options.threads, options.rounds)


if __name__ == "__main__":
    main()
