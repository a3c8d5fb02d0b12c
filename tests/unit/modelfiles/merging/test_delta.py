"""Plans of base + delta: what fits, what does not, and what the result is made of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.base.errors import StepError
from orchestrator.modelfiles.merging.checkpoint import open_checkpoint
from orchestrator.modelfiles.merging.delta import plan_delta
from orchestrator.modelfiles.merging.merge_plan import MergePlan, PlannedTensor
from tests.support.merge_pairs import HIDDEN, Tensor, Tensors, config, llama, make, write_model

HEAD, EMBEDDING = "lm_head.weight", "model.embed_tokens.weight"
NORM = "model.norm.weight"


def plan(
    folder: Path,
    base: Tensors | None = None,
    delta: Tensors | None = None,
    base_config: dict[str, Any] | None = None,
    delta_config: dict[str, Any] | None = None,
) -> MergePlan:
    base = llama(32, "F16", 1) if base is None else base
    delta = llama(33, "F16", 100) if delta is None else delta
    left = write_model(folder / "base", base, **(base_config or {}))
    right = write_model(folder / "delta", delta, **(delta_config or {}))
    return plan_delta(open_checkpoint(left), open_checkpoint(right))


def refusal(folder: Path, **sides: Any) -> str:
    with pytest.raises(StepError) as caught:
        plan(folder, **sides)
    return caught.value.message


def changed(vocabulary: int, change: Callable[[Tensors], Any]) -> Tensors:
    tensors = llama(vocabulary, "F16", vocabulary)
    change(tensors)
    return tensors


def test_one_new_row(tmp_path: Path) -> None:
    found = plan(tmp_path)
    assert (found.new_rows, found.warnings) == (1, ())
    assert [tensor.name for tensor in found.tensors] == list(llama(32, "F16", 1))
    assert found.tensors[0].shape == (33, HIDDEN)
    assert found.tensors[0].left.shape == (32, HIDDEN)
    assert found.nbytes == sum(len(tensor.data) for tensor in llama(33, "F16", 1).values())


def test_the_order_is_the_bases(tmp_path: Path) -> None:
    backwards = dict(reversed(llama(33, "F16", 1).items()))
    assert [t.name for t in plan(tmp_path, delta=backwards).tensors] == list(llama(32, "F16", 1))


def test_the_configuration_is_the_bases_with_size_and_type_changed(tmp_path: Path) -> None:
    found = plan(tmp_path, base_config={"rope_theta": 5.0}, delta_config={"rope_theta": 6.0})
    assert found.config == config(33, rope_theta=5.0, torch_dtype="float16")


def test_the_newer_key_for_the_type_is_kept(tmp_path: Path) -> None:
    found = plan(tmp_path, base_config={"dtype": "bfloat16"})
    assert found.config["dtype"] == "float16"


def test_tokenizer_from_the_delta_generation_from_the_base(tmp_path: Path) -> None:
    write_model(tmp_path / "base", llama(32, "F16", 1))
    write_model(tmp_path / "delta", llama(33, "F16", 1))
    for side in ("base", "delta"):
        for name in ("generation_config.json", "added_tokens.json", "model.py", "README.md"):
            (tmp_path / side / name).write_text("{}")
    found = plan_delta(open_checkpoint(tmp_path / "base"), open_checkpoint(tmp_path / "delta"))
    assert found.copies == {
        "tokenizer.model": tmp_path / "delta" / "tokenizer.model",
        "added_tokens.json": tmp_path / "delta" / "added_tokens.json",
        "generation_config.json": tmp_path / "base" / "generation_config.json",
    }


def test_a_delta_without_a_tokenizer(tmp_path: Path) -> None:
    write_model(tmp_path / "base", llama(32, "F16", 1))
    write_model(tmp_path / "delta", llama(33, "F16", 1))
    (tmp_path / "delta" / "tokenizer.model").unlink()
    with pytest.raises(StepError, match="holds no tokenizer"):
        plan_delta(open_checkpoint(tmp_path / "base"), open_checkpoint(tmp_path / "delta"))


def test_no_new_row_is_a_plain_sum_with_a_warning(tmp_path: Path) -> None:
    found = plan(tmp_path, delta=llama(32, "F16", 100))
    assert found.new_rows == 0
    assert found.tensors[0].shape == found.tensors[0].left.shape
    assert found.config["vocab_size"] == 32
    (warning,) = found.warnings
    assert "no vocabulary row is new (base and delta have 32)" in warning


@pytest.mark.parametrize("side", ["base", "delta", "both"])
def test_rotary_buffers_are_ignored_on_either_side(tmp_path: Path, side: str) -> None:
    buffer = {"model.layers.0.self_attn.rotary_emb.inv_freq": make("F32", (4,), 1)}
    base = llama(32, "F16", 1) | (buffer if side != "delta" else {})
    delta = llama(33, "F16", 1) | (buffer if side != "base" else {})
    found = plan(tmp_path, base, delta)
    assert [tensor.name for tensor in found.tensors] == list(llama(32, "F16", 1))


def test_names_missing_on_either_side(tmp_path: Path) -> None:
    message = refusal(
        tmp_path,
        base=changed(32, lambda t: t.pop(NORM)),
        delta=changed(33, lambda t: t.pop("model.layers.1.mlp.up_proj.weight")),
    )
    assert f"{NORM} is missing in the base" in message
    assert "model.layers.1.mlp.up_proj.weight is missing in the delta" in message


def test_all_problems_are_counted_and_ten_are_listed(tmp_path: Path) -> None:
    message = refusal(tmp_path, delta={EMBEDDING: make("F16", (33, HIDDEN), 1)})
    assert message.count("is missing in the delta") == 10
    assert "; and 10 more." in message


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        (NORM, (HIDDEN + 1,)),
        ("model.layers.0.mlp.up_proj.weight", (25, HIDDEN)),
        ("model.layers.0.mlp.up_proj.weight", (HIDDEN, 24)),
        (EMBEDDING, (33, HIDDEN + 1)),
        (EMBEDDING, (31, HIDDEN)),
        (EMBEDDING, (33 * HIDDEN,)),
        (HEAD, (33, HIDDEN, 1)),
    ],
)
def test_any_other_difference_of_shape(tmp_path: Path, name: str, shape: tuple[int, ...]) -> None:
    delta = changed(33, lambda t: t.update({name: make("F16", shape, 1)}))
    message = refusal(tmp_path, delta=delta)
    base = llama(32, "F16", 1)[name].shape
    assert f"{name} is {list(base)} in the base, {list(shape)} in the delta" in message


def test_fewer_rows_than_the_base(tmp_path: Path) -> None:
    message = refusal(tmp_path, delta=llama(31, "F16", 1))
    assert f"{EMBEDDING} is [32, 16] in the base, [31, 16] in the delta" in message
    assert HEAD in message


def test_embedding_and_output_must_grow_alike(tmp_path: Path) -> None:
    delta = changed(33, lambda t: t.update({HEAD: make("F16", (34, HIDDEN), 1)}))
    assert f"{HEAD} has 2 new rows" in refusal(tmp_path, delta=delta)


@pytest.mark.parametrize("side", ["base", "delta"])
def test_types_that_are_not_floats(tmp_path: Path, side: str) -> None:
    odd = Tensor("I64", (HIDDEN,), bytes(8 * HIDDEN))
    tensors = changed(32 if side == "base" else 33, lambda t: t.update({NORM: odd}))
    assert f"{NORM} is I64 in the {side}" in refusal(tmp_path, **{side: tensors})


def test_new_rows_need_a_vocabulary_size_to_change(tmp_path: Path) -> None:
    write_model(tmp_path / "base", llama(32, "F16", 1))
    write_model(tmp_path / "delta", llama(33, "F16", 1))
    (tmp_path / "base" / "config.json").write_text("{}")
    with pytest.raises(StepError, match="has no vocab_size"):
        plan_delta(open_checkpoint(tmp_path / "base"), open_checkpoint(tmp_path / "delta"))


TIED = {"tie_word_embeddings": True}


def without_head(tensors: Tensors) -> None:
    tensors.pop(HEAD)


def with_copy(tensors: Tensors) -> None:
    tensors[HEAD] = tensors[EMBEDDING]


@pytest.mark.parametrize(
    ("base", "delta"),
    [(without_head, without_head), (with_copy, without_head), (without_head, with_copy)],
)
def test_tied_embeddings_are_added_once(
    tmp_path: Path, base: Callable[[Tensors], None], delta: Callable[[Tensors], None]
) -> None:
    found = plan(tmp_path, changed(32, base), changed(33, delta), TIED, TIED)
    names = [tensor.name for tensor in found.tensors]
    assert names.count(EMBEDDING) == 1
    assert HEAD not in names
    assert any("tied" in warning for warning in found.warnings)


def test_both_copies_of_tied_embeddings_are_kept_when_both_files_have_them(tmp_path: Path) -> None:
    found = plan(tmp_path, changed(32, with_copy), changed(33, with_copy), TIED, TIED)
    assert HEAD in [tensor.name for tensor in found.tensors]
    assert any("tied" in warning for warning in found.warnings)


def test_a_tied_delta_gives_its_embeddings_to_an_untied_base(tmp_path: Path) -> None:
    found = plan(tmp_path, delta=changed(33, without_head), delta_config=TIED)
    (head,) = [tensor for tensor in found.tensors if tensor.name == HEAD]
    assert isinstance(head, PlannedTensor)
    assert head.left.name == HEAD
    assert head.right.name == EMBEDDING
    assert found.warnings == ()


@pytest.mark.parametrize("delta_config", [{}, TIED])
def test_an_output_matrix_of_its_own_does_not_fit_a_tied_base(
    tmp_path: Path, delta_config: dict[str, Any]
) -> None:
    base = changed(32, without_head)
    message = refusal(tmp_path, base=base, base_config=TIED, delta_config=delta_config)
    assert f"{HEAD} is missing in the base" in message


def test_an_untied_delta_without_output_matrix_does_not_fit(tmp_path: Path) -> None:
    message = refusal(tmp_path, delta=changed(33, without_head))
    assert f"{HEAD} is missing in the delta" in message
