"""Model repositories as their authors lay them out: real headers, weights that are holes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from orchestrator.modelfiles import safetensors
from tests.hub import Repo

COMMIT = "8416d3fefb0cb3ff5775a7b13c1692d10ff1aa16"
LLAMA = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 512,
    "intermediate_size": 1024,
    "vocab_size": 1000,
    "torch_dtype": "bfloat16",
}

Tensor = tuple[str, str, tuple[int, ...]]


def llama_tensors(width: int = 512, dtype: str = "BF16") -> list[Tensor]:
    """One layer's worth of matrices whose rows have ``width`` and twice as many columns."""
    return [
        ("model.embed_tokens.weight", dtype, (1000, width)),
        ("model.layers.0.mlp.down_proj.weight", dtype, (width, 2 * width)),
        ("model.norm.weight", dtype, (width,)),
    ]


def holes(path: Path, tensors: Sequence[Tensor]) -> None:
    """A safetensors file that takes no space."""
    start, size = safetensors.build_header(tensors)
    safetensors.write_hole(start, size, path)


def repository(
    folder: Path,
    config: Mapping[str, Any] | None = LLAMA,
    tensors: Sequence[Tensor] | None = None,
    card: Mapping[str, Any] | None = None,
    **more: Any,
) -> Repo:
    """A repository with one safetensors file; ``tensors`` may be empty for none."""
    folder.mkdir(parents=True)
    if config is not None:
        (folder / "config.json").write_text(json.dumps(config))
    wanted = llama_tensors() if tensors is None else tensors
    if wanted:
        holes(folder / "model.safetensors", wanted)
    return Repo(folder, COMMIT, card=card or {}, **more)


def sharded(folder: Path, suffix: str, sizes: Sequence[int] = ()) -> Repo:
    """The same in two shards with an index, as safetensors or (of these sizes) as .bin."""
    repo = repository(folder, tensors=[])
    names = [f"{n}-of-00002.{suffix}" for n in ("00001", "00002")]
    stem = "model" if suffix == "safetensors" else "pytorch_model"
    paths = [f"{stem}-{name}" for name in names]
    listed = llama_tensors()
    for index, path in enumerate(paths):
        if sizes:
            (folder / path).write_bytes(bytes(sizes[index]))
        else:
            holes(folder / path, listed[index::2])
    weight_map = {name: paths[n % 2] for n, (name, _, _) in enumerate(listed)}
    (folder / f"{stem}.{suffix}.index.json").write_text(json.dumps({"weight_map": weight_map}))
    return repo
