"""Measure a conversion and quantizations of a large llama against the same commands by hand.

    python scripts/bench_large.py [--size 7b|2b|1b] [--rounds N] [--types Q4_0 ...] [--folder PLACE]

The model has random weights and is made first, in a temporary folder that goes in the end. Its
download and its prediction (what ``orchestrate plan`` does) are not measured. By hand means: the
converter and the quantizer with the same arguments, and ``sha256sum`` of every result. Pairs
alternate, and the median of the ratios counts. The size 7b needs 31 GB of disk for one type and
47 GB for four.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import signal
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from bench_common import READY, TINY, Figure, linked, orchestrate, prepared, table, timed

from orchestrator.base import machine_info
from orchestrator.base.step_values import Step
from orchestrator.engine import step_kinds
from orchestrator.engine.artifact_store import Store
from orchestrator.engine.step_kinds import Brings, Role
from orchestrator.modelfiles.safetensors import build_header
from orchestrator.planning.recipe_to_steps import Plan

BLOCK = 64 << 20  # numbers of random weights that are written over and over
VOCABULARY = 32000
# Quick types: the others take several times as long, and the ratio is nearer to 1.
ONE, FOUR = "Q4_0", "Q4_0,Q4_1,Q5_0,Q8_0"


@dataclass(frozen=True)
class Size:
    """A llama: layers, columns of its rows, rows of its feed-forward part, heads."""

    layers: int
    hidden: int
    feed_forward: int
    heads: int


SIZES = {
    "7b": Size(32, 4096, 11008, 32),
    "2b": Size(24, 2560, 6912, 20),
    "1b": Size(16, 2048, 5632, 16),
}


def shapes(size: Size) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and shapes of its tensors."""
    square, wide = (size.hidden, size.hidden), (size.feed_forward, size.hidden)
    yield "model.embed_tokens.weight", (VOCABULARY, size.hidden)
    for layer in range(size.layers):
        at = f"model.layers.{layer}."
        for part in "qkvo":
            yield f"{at}self_attn.{part}_proj.weight", square
        yield f"{at}mlp.gate_proj.weight", wide
        yield f"{at}mlp.up_proj.weight", wide
        yield f"{at}mlp.down_proj.weight", wide[::-1]
        yield f"{at}input_layernorm.weight", (size.hidden,)
        yield f"{at}post_attention_layernorm.weight", (size.hidden,)
    yield "model.norm.weight", (size.hidden,)
    yield "lm_head.weight", (VOCABULARY, size.hidden)


def make_model(folder: Path, size: Size) -> None:
    """Write a model of this size with the tiny llama's tokenizer."""
    shutil.copytree(TINY.parent / "models" / "llama", folder)
    config = json.loads((folder / "config.json").read_text())
    config |= {
        "hidden_size": size.hidden,
        "intermediate_size": size.feed_forward,
        "num_hidden_layers": size.layers,
        "num_attention_heads": size.heads,
        "num_key_value_heads": size.heads,
        "head_dim": size.hidden // size.heads,
        "vocab_size": VOCABULARY,
    }
    (folder / "config.json").write_text(json.dumps(config))
    tensors = list(shapes(size))
    header, _ = build_header([(name, "F16", shape) for name, shape in tensors], {"format": "pt"})
    random = np.random.default_rng(1).standard_normal(BLOCK, np.float32)
    values = memoryview((0.02 * random).astype(np.float16).tobytes())
    with (folder / "model.safetensors").open("wb") as file:
        file.write(header)
        for _, shape in tensors:
            _fill(file, values, 2 * int(np.prod(shape)))


def _fill(file: BinaryIO, values: memoryview, count: int) -> None:
    while count:
        part = values[: min(count, len(values))]
        file.write(part)
        count -= len(part)


def make_recipe(folder: Path, types: Sequence[str]) -> Path:
    """A recipe beside the model."""
    recipe = folder / "large.yaml"
    quantize = "".join(f"  - {one}\n" for one in types)
    recipe.write_text(
        f"name: large\nfamily: llama\ndescription: Random weights\ntoolchain: llama.cpp\n"
        f"model:\n  path: model\nquantize:\n{quantize}"
    )
    return recipe


def by_hand(one: Plan, store: Store, model: Path, types: Sequence[str], place: Path) -> Path:
    """The same native commands in a shell script, and the digests of the results."""
    build = step_kinds.bringing(one.steps, Brings.UPSTREAM)
    packages = step_kinds.bringing(one.steps, Brings.PACKAGES)
    assert build is not None
    assert packages is not None
    tools, environment = store.find(build.key), store.find(packages.key)
    assert tools is not None
    assert environment is not None
    python = environment.path / "venv" / "bin" / "python"
    converter = tools.path / "src" / "convert_hf_to_gguf.py"
    quantize = tools.path / "bin" / "llama-quantize"
    lines = [
        "set -e",
        shlex.join(
            [str(python), str(converter), "--outtype", "f16", "--outfile", "f16.gguf",
             "--model-name", "large", str(model)]
        ),
    ]  # fmt: skip
    for kind in types:
        quantized = [str(quantize), "f16.gguf", f"{kind}.gguf", kind, str(machine_info.cores())]
        lines += [shlex.join(quantized), f"sha256sum {kind}.gguf"]
    script = place / "by_hand.sh"
    script.write_text("\n".join(lines) + "\n")
    return script


def measure(
    size: str, wanted: Sequence[str], rounds: int = 3, folder: Path | None = None
) -> list[Figure]:
    """Make the model, and time both ways in turns, for each list of types.

    What is made of it in the user's store goes in the end, also when it fails or is terminated.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    with tempfile.TemporaryDirectory(dir=folder or Store.default_root(), prefix="bench-") as name:
        place = Path(name)
        make_model(place / "model", SIZES[size])
        return [_figure(size, types.split(","), rounds, place) for types in wanted]


def _figure(size: str, types: Sequence[str], rounds: int, place: Path) -> Figure:
    recipe = make_recipe(place, types)
    one, store, ready = prepared(recipe, verify=False, roles={*READY, Role.PREDICTION})
    try:
        pairs = [_pair(one, store, ready, types, recipe) for _ in range(rounds)]
    finally:
        for step in ready:
            if step_kinds.of(step).role is not Role.TOOL:
                store.release(step.key)
    ratio = statistics.median(ours / theirs for ours, theirs in pairs)
    ours, theirs = (statistics.median(one) for one in zip(*pairs, strict=True))
    what = f"{size} llama, F16 and {', '.join(types)}: orchestrate / by hand with sha256sum"
    spent = f"{ours:.1f} s against {theirs:.1f} s"
    return Figure(what, f"{ratio:.3f} ({spent})", "1.05" if len(types) == 1 else "1.03")


def _pair(
    one: Plan, store: Store, ready: Sequence[Step], types: Sequence[str], recipe: Path
) -> tuple[float, float]:
    """Seconds of orchestrate, and of the script."""
    place = recipe.parent
    quiet = {**os.environ, "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    with tempfile.TemporaryDirectory(dir=place) as inner:
        script = by_hand(one, store, place / "model", types, Path(inner))
        theirs = timed(["sh", str(script)], Path(inner), quiet)
    with tempfile.TemporaryDirectory(dir=place) as inner:
        home = Path(inner) / "home"
        linked(home, store, ready)
        out = str(Path(inner) / "dist")
        argv = orchestrate("run", str(recipe), "--no-verify", "--out", out)
        ours = timed(argv, Path(inner), {**quiet, "ORCHESTRATE_HOME": str(home)})
    print(f"{ours:.1f} s against {theirs:.1f} s", file=sys.stderr)
    return ours, theirs


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=list(SIZES), default="7b")
    parser.add_argument("--types", nargs="+", default=[ONE, FOUR], help="Lists with commas.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="Where the model and results go.")
    args = parser.parse_args()
    print(table(measure(args.size, args.types, args.rounds, args.folder)))


if __name__ == "__main__":
    main()
