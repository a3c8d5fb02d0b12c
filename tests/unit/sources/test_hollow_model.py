"""Which tensors a pickled checkpoint holds, as its index tells before it is read."""

from __future__ import annotations

from typing import Any

from orchestrator.sources.hollow_model import stored

WEIGHT = {"dtype": "float16", "shape": [4, 2]}
SHAPES: dict[str, Any] = {
    "tensors": {"transformer.word_embeddings.weight": WEIGHT, "lm_head.weight": WEIGHT},
    "tied": ["lm_head.weight"],
    "prefix": "transformer",
}


def test_without_an_index_tied_tensors_are_left_out() -> None:
    assert stored(SHAPES, set()) == {"transformer.word_embeddings.weight": WEIGHT}


def test_an_index_may_hold_tied_tensors() -> None:
    assert stored(SHAPES, set(SHAPES["tensors"])) == SHAPES["tensors"]


def test_an_index_may_leave_out_the_prefix() -> None:
    assert stored(SHAPES, {"word_embeddings.weight"}) == {"word_embeddings.weight": WEIGHT}


def test_buffers_in_an_index_are_no_tensors_of_the_model() -> None:
    names = {"transformer.word_embeddings.weight", "transformer.rotary_emb.inv_freq"}
    assert set(stored(SHAPES, names)) == {"transformer.word_embeddings.weight"}
