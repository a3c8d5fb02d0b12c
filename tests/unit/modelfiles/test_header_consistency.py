"""Headers that contradict themselves, each with the sentence that says in what."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from orchestrator.modelfiles import header_consistency
from tests.support.gguf_headers import llama_header
from tests.support.model_files import KV


def test_a_sound_header_has_no_problem(tmp_path: Path) -> None:
    assert header_consistency.problems(llama_header(tmp_path)) == ()
    assert header_consistency.context_length(llama_header(tmp_path)) == 512


@pytest.mark.parametrize(
    ("fields", "shapes", "sentence"),
    [
        ({"llama.block_count": KV("u32", 3)}, {}, "says 3 layers, the weights have 2"),
        ({"llama.block_count": KV("u32", 1)}, {}, "layer 1 too"),
        ({"tokenizer.ggml.model": None}, {}, "it has no tokenizer"),
        ({"tokenizer.ggml.tokens": None}, {}, "it has no tokenizer"),
        ({}, {"token_embd.weight": (64, 4)}, "tokenizer has 3 tokens, the embeddings 4 rows"),
        ({}, {"output.weight": (64, 2)}, "tokenizer has 3 tokens, the output matrix 2 rows"),
        ({}, {"token_embd.weight": (32, 3)}, "64 numbers by the configuration, 32 by the weights"),
        ({"llama.attention.head_count": KV("u32", 5)}, {}, "cannot be shared by 5 heads"),
        ({"llama.attention.head_count_kv": KV("u32", 4)}, {}, "make 64 rows of blk.0.attn_k"),
        ({"llama.attention.key_length": KV("u32", 32)}, {}, "make 128 rows of blk.0.attn_q"),
        ({"llama.attention.value_length": KV("u32", 32)}, {}, "make 64 rows of blk.0.attn_v"),
    ],
)
def test_a_contradiction_is_named(
    tmp_path: Path,
    fields: Mapping[str, KV | None],
    shapes: Mapping[str, tuple[int, ...]],
    sentence: str,
) -> None:
    found = "; ".join(header_consistency.problems(llama_header(tmp_path, fields, shapes)))

    assert sentence in found


@pytest.mark.parametrize(
    ("fields", "shapes"),
    [
        # Layers for speculative decoding may be there or left out.
        ({"llama.block_count": KV("u32", 3), "llama.nextn_predict_layers": KV("u32", 1)}, {}),
        # Each layer has its own number of heads; some have no tensors at all.
        (
            {
                "llama.block_count": KV("u32", 4),
                "llama.attention.head_count": KV("arr", [4, 4, 0, 0], "u32"),
            },
            {},
        ),
        ({"tokenizer.ggml.model": KV("str", "none"), "tokenizer.ggml.tokens": None}, {}),
        # Queries with their gate beside them.
        ({}, {"blk.0.attn_q.weight": (64, 128)}),
    ],
)
def test_what_architectures_do_on_purpose_is_no_contradiction(
    tmp_path: Path, fields: Mapping[str, KV | None], shapes: Mapping[str, tuple[int, ...]]
) -> None:
    assert header_consistency.problems(llama_header(tmp_path, fields, shapes)) == ()


def test_learned_positions_are_seen(tmp_path: Path) -> None:
    learned = llama_header(tmp_path, shapes={"position_embd.weight": (64, 512)})

    assert header_consistency.has_learned_positions(learned)
    assert not header_consistency.has_learned_positions(llama_header(tmp_path))
