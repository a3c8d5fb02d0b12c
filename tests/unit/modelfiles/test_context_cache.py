"""Memory of a context from a header: what is known is exact, what is not is not guessed."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.modelfiles import gguf
from orchestrator.modelfiles.context_cache import bytes_per_token
from tests.support.gguf_pairs import Model, write_gguf
from tests.support.model_files import KV

LLAMA = {
    "block_count": KV("u32", 30),
    "embedding_length": KV("u32", 576),
    "attention.head_count": KV("u32", 9),
}


def header(path: Path, **more: KV) -> gguf.GGUF:
    """A llama's header with these fields more; two underscores stand for a dot."""
    told = {**LLAMA, **{name.replace("__", "."): one for name, one in more.items()}}
    fields = {f"llama.{name}": one for name, one in told.items()}
    fields = {"general.architecture": KV("str", "llama"), **fields}
    return gguf.read(write_gguf(path / "x.gguf", Model(fields=fields)))


@pytest.mark.parametrize(
    ("more", "wanted"),
    [
        # SmolLM2-135M: 180 MiB at 8192 tokens, as llama.cpp prints it.
        ({"attention__head_count_kv": KV("u32", 3)}, 180 * 2**20 // 8192),
        ({}, 30 * 9 * (64 + 64) * 2),
        ({"attention__key_length": KV("u32", 128)}, 30 * 9 * (128 + 64) * 2),
        ({"attention__head_count_kv": KV("arr", [0] * 15 + [3] * 15, "i32")}, 15 * 3 * 128 * 2),
        ({"ssm__state_size": KV("u32", 16)}, None),
        ({"attention__kv_lora_rank": KV("u32", 512)}, None),
        ({"attention__head_count_kv": KV("arr", [3] * 2, "i32")}, None),
    ],
)
def test_bytes_of_a_token_come_from_layers_and_heads(
    tmp_path: Path, more: dict[str, KV], wanted: int | None
) -> None:
    assert bytes_per_token(header(tmp_path, **more)) == wanted
