"""Which tensors a pickled checkpoint holds, as its index tells before it is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from orchestrator.base.errors import StepError
from orchestrator.sources.hollow_model import _indexed, stored

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


@pytest.mark.parametrize("text", [b"{", b"[]", b'{"weight_map": 1}', b"\xff", b"[" * 100_000])
def test_an_index_that_is_none_is_one_sentence(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "model.safetensors.index.json").write_bytes(text)
    with pytest.raises(StepError, match=r"^model.safetensors.index.json is no index of shards: "):
        _indexed(tmp_path)
