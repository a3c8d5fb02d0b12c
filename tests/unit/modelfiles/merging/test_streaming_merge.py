"""The written result, compared with what LLMZoo's tool and torch made of the same pairs."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from orchestrator.base.errors import EnvironmentProblem, StepError
from orchestrator.modelfiles.merging import METHODS, streaming_merge
from orchestrator.modelfiles.merging.checkpoint import open_checkpoint
from tests.support.merge_pairs import (
    HIDDEN,
    VOCABULARY,
    Tensor,
    Tensors,
    digest,
    llama,
    read_model,
    write_model,
)

EMBEDDING, NORM = "model.embed_tokens.weight", "model.norm.weight"
# From tools/apply_delta.py of LLMZoo (cf70d9cd7a34808681ebe58e652f697420d7b055) with torch
# 2.13.0 and transformers 4.57.6, as scripts/golden_merge.py says.
GOLDEN = {
    ("F16", "F16"): "e9737abd0777c5cfafba0a689ac954ce1d699e1f20ad755ffb090a8f324147ec",
    ("BF16", "F32"): "7516871b4e8a014ba1de61bd2049bf8893e64e5b580165055098d9918aa5f0c8",
    ("F32", "BF16"): "db13b271ee50c2751a59d26096bbdbc028a9b61c43e931e5e01eca8234cb91f2",
}
LAYOUTS = [("safetensors", 1), ("safetensors", 3), ("bin", 1), ("bin", 2)]


def merge(
    base: Path, delta: Path, out: Path, threads: int = 1, shard_bytes: int = 2_000_000_000
) -> list[tuple[int, int]]:
    seen: list[tuple[int, int]] = []
    plan = METHODS["delta"](open_checkpoint(base), open_checkpoint(delta))
    out.mkdir()

    def report(done: int, total: int) -> None:
        seen.append((done, total))

    streaming_merge.write_merged(plan, out, threads, report, shard_bytes)
    return seen


def merged(folder: Path, base: Tensors, delta: Tensors) -> Tensors:
    merge(
        write_model(folder / "base", base),
        write_model(folder / "delta", delta),
        folder / "out",
    )
    return read_model(folder / "out")


@pytest.mark.parametrize("types", GOLDEN)
@pytest.mark.parametrize(("kind", "shards"), LAYOUTS)
def test_the_tensors_are_those_of_apply_delta(
    tmp_path: Path, types: tuple[str, str], kind: str, shards: int
) -> None:
    base = write_model(tmp_path / "base", llama(VOCABULARY, types[0], 1), kind, shards)
    other = LAYOUTS[-1 - LAYOUTS.index((kind, shards))]
    delta = write_model(tmp_path / "delta", llama(VOCABULARY + 1, types[1], 100), *other)
    merge(base, delta, tmp_path / "out")
    found = read_model(tmp_path / "out")
    assert digest(found) == GOLDEN[types]
    assert list(found) == list(llama(VOCABULARY, types[0], 1))


def test_small_chunks_threads_and_shards_change_no_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming_merge, "CHUNK", 37)
    base = write_model(tmp_path / "base", llama(VOCABULARY, "BF16", 1))
    delta = write_model(tmp_path / "delta", llama(VOCABULARY + 1, "F32", 100))
    merge(base, delta, tmp_path / "out", threads=3, shard_bytes=4000)
    assert (tmp_path / "out" / "model.safetensors.index.json").exists()
    assert digest(read_model(tmp_path / "out")) == GOLDEN["BF16", "F32"]


def test_progress_ends_at_the_total(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming_merge, "CHUNK", 1000)
    base = write_model(tmp_path / "base", llama(32, "F16", 1))
    seen = merge(base, write_model(tmp_path / "delta", llama(33, "F16", 1)), tmp_path / "out")
    total = sum(len(tensor.data) for tensor in llama(33, "F16", 1).values())
    assert seen[-1] == (total, total)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def halves(*values: float) -> bytes:
    return np.array(values, np.float16).tobytes()


def test_a_new_row_is_zero_plus_the_delta(tmp_path: Path) -> None:
    base, delta = llama(32, "F16", 1), llama(33, "F16", 100)
    row = halves(-0.0, 1.5, -(2.0**-24), *[0.0] * (HIDDEN - 3))
    delta[EMBEDDING] = Tensor("F16", (33, HIDDEN), delta[EMBEDDING].data[:-32] + row)
    found = merged(tmp_path, base, delta)[EMBEDDING].data[-32:]
    assert found == halves(0.0, 1.5, -(2.0**-24), *[0.0] * (HIDDEN - 3))


def test_no_new_row_does_not_zero_the_embeddings(tmp_path: Path) -> None:
    base, delta = llama(32, "F16", 1), llama(32, "F16", 100)
    found = merged(tmp_path, base, delta)[EMBEDDING]
    left, right = (np.frombuffer(side[EMBEDDING].data, np.float16) for side in (base, delta))
    assert found.data == (left + right).tobytes()
    assert found.data != delta[EMBEDDING].data


@pytest.mark.parametrize(
    ("base", "delta", "where"),
    [
        (np.inf, 0.0, "the base"),
        (np.nan, 0.0, "the base"),
        (0.0, -np.inf, "the delta"),
        (0.0, np.nan, "the delta"),
        (65504.0, 32.0, "the sum"),
    ],
)
def test_a_result_that_is_not_finite_names_tensor_and_side(
    tmp_path: Path, base: float, delta: float, where: str
) -> None:
    sides = (llama(32, "F16", 1), llama(33, "F16", 100))
    for tensors, value in zip(sides, (base, delta), strict=True):
        tensors[NORM] = Tensor("F16", (HIDDEN,), halves(*[1.0] * (HIDDEN - 1), value))
    with pytest.raises(StepError, match=rf"model\.norm\.weight: {where} holds a value"):
        merged(tmp_path, *sides)


def test_a_value_too_large_for_float16_is_found(tmp_path: Path) -> None:
    base = llama(32, "F32", 1)
    large = np.full(HIDDEN, 70000.0, np.float32)
    base[NORM] = Tensor("F32", (HIDDEN,), large.tobytes())
    with pytest.raises(StepError, match=r"model\.norm\.weight: the base holds"):
        merged(tmp_path, base, llama(33, "F16", 1))


def test_nothing_is_written_before_all_shapes_are_checked(tmp_path: Path) -> None:
    delta = llama(33, "F16", 1)
    del delta["lm_head.weight"]
    with pytest.raises(StepError):
        merged(tmp_path, llama(32, "F16", 1), delta)
    assert not (tmp_path / "out").exists()


def test_an_input_that_shrinks_meanwhile(tmp_path: Path) -> None:
    base = write_model(tmp_path / "base", llama(32, "F16", 1))
    delta = write_model(tmp_path / "delta", llama(33, "F16", 1))
    plan = METHODS["delta"](open_checkpoint(base), open_checkpoint(delta))
    os.truncate(delta / "model.safetensors", 3000)
    (tmp_path / "out").mkdir()
    with pytest.raises(StepError, match="became shorter"):
        streaming_merge.write_merged(plan, tmp_path / "out")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_said_so(tmp_path: Path) -> None:
    base = write_model(tmp_path / "base", llama(32, "F16", 1))
    delta = write_model(tmp_path / "delta", llama(33, "F16", 1))
    plan = METHODS["delta"](open_checkpoint(base), open_checkpoint(delta))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "config.json").symlink_to("/dev/full")
    with pytest.raises(EnvironmentProblem, match="The disk is full") as caught:
        streaming_merge.write_merged(plan, tmp_path / "out")
    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.__cause__.errno == errno.ENOSPC
