"""Merged adapters, compared with what peft made of the same, and all that is refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from orchestrator.base.errors import StepError
from orchestrator.modelfiles.merging import METHODS, lora, streaming_merge
from orchestrator.modelfiles.merging.merge_plan import Adapted, MergePlan, Term
from tests.support.lora_adapters import PREFIX, factors, golden_adapters, write_adapter
from tests.support.merge_pairs import (
    HIDDEN,
    VOCABULARY,
    Tensor,
    Tensors,
    digest,
    llama,
    make,
    read_model,
    write_model,
)

QUERY, EMBEDDING, HEAD = "model.layers.0.self_attn.q_proj", "model.embed_tokens", "lm_head"
ROWS = 32
# From merge_and_unload of peft 0.21.2 with torch 2.13.0, as scripts/golden_lora.py says: of the
# tensors in float32, rounded once to the type of the base.
GOLDEN = {
    "F32": "24f2fc0e1dab081acab1b3068e6625371bde88603a41f4b4b53ff2ecfb0bc340",
    "BF16": "2b1d9e16a2050bd578af605f0eb09b8231f674befe71fabc96ed4e56733d8d10",
    "F16": "9c7b949a90dcd359dbe256dab039ad593c56172419e77aeb6a7bd40abfa44193",
}


@pytest.mark.parametrize("dtype", GOLDEN)
def test_the_tensors_are_those_of_peft(tmp_path: Path, dtype: str) -> None:
    base = write_model(tmp_path / "base", llama(VOCABULARY, dtype, 1))
    adapters = golden_adapters(tmp_path)
    plan = METHODS["lora"](*lora.open_sides(base, adapters), scales=[1.0, 1.0])
    assert digest(written(plan, tmp_path / "out")) == GOLDEN[dtype]


def planned(
    folder: Path,
    tensors: Mapping[str, Tensor],
    base: Tensors | None = None,
    base_config: Mapping[str, Any] | None = None,
    **config: Any,
) -> MergePlan:
    """The plan of a merge of one adapter into a model of one layout."""
    left = write_model(
        folder / "base", llama(ROWS, "F32", 1) if base is None else base, **(base_config or {})
    )
    adapter = write_adapter(folder / "adapter", tensors, **config)
    return METHODS["lora"](*lora.open_sides(left, [adapter]), scales=[1.0])


def terms(plan: MergePlan) -> dict[str, tuple[Term, ...]]:
    """What is added to which tensors."""
    return {one.name: one.terms for one in plan.tensors if isinstance(one, Adapted) and one.terms}


def written(plan: MergePlan, folder: Path) -> Tensors:
    folder.mkdir()
    streaming_merge.write_merged(plan, folder, threads=2)
    return read_model(folder)


def values(tensor: Tensor) -> Any:
    return np.frombuffer(tensor.data, np.float32).reshape(tensor.shape)


def product(b: Tensor, a: Tensor) -> Any:
    """In float64: near to what is added."""
    return values(b).astype(np.float64) @ values(a).astype(np.float64)


def test_what_no_adapter_changes_keeps_its_bytes_and_small_files_are_the_bases(
    tmp_path: Path,
) -> None:
    base = llama(ROWS, "BF16", 1)
    made = written(planned(tmp_path, factors(QUERY, HIDDEN, HIDDEN), base), tmp_path / "out")
    changed = [name for name in base if made[name] != base[name]]
    assert changed == [f"{QUERY}.weight"]
    for name in ("config.json", "tokenizer.model"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "base" / name).read_bytes()


@pytest.mark.parametrize(
    ("config", "factor"),
    [
        ({}, 16 / 4),
        ({"use_rslora": True}, 16 / 2),
        ({"alpha_pattern": {"k_proj": 1, "q_proj": 2}}, 2 / 4),
        ({"alpha_pattern": {"layers.0.self_attn.q_proj": 3, "q_proj": 2}}, 3 / 4),
        ({"alpha_pattern": {"proj": 3}}, 16 / 4),
        ({"r": 9, "rank_pattern": {"q_proj": 4}}, 16 / 4),
    ],
)
def test_the_scale_is_what_the_configuration_says(
    tmp_path: Path, config: dict[str, Any], factor: float
) -> None:
    [a, b] = factors(QUERY, HIDDEN, HIDDEN).values()
    plan = planned(tmp_path, factors(QUERY, HIDDEN, HIDDEN), **config)
    found = values(written(plan, tmp_path / "out")[f"{QUERY}.weight"])
    expected = values(llama(ROWS, "F32", 1)[f"{QUERY}.weight"]) + factor * product(b, a)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_a_transposed_layer_and_embeddings_get_the_transposed_product(tmp_path: Path) -> None:
    base = llama(ROWS, "F32", 1)
    up = "model.layers.1.mlp.up_proj"
    flat = factors(up, HIDDEN, 24)  # of a layer whose matrix is stored as 24 x 16: in x out
    plan = planned(tmp_path / "one", flat, base, fan_in_fan_out=True)
    [a, b] = flat.values()
    found = values(written(plan, tmp_path / "made")[f"{up}.weight"])
    np.testing.assert_allclose(found, values(base[f"{up}.weight"]) + 4 * product(b, a).T, rtol=1e-4)
    words = {
        f"{PREFIX}{EMBEDDING}.lora_embedding_A": make("F32", (4, ROWS), 3),
        f"{PREFIX}{EMBEDDING}.lora_embedding_B": make("F32", (HIDDEN, 4), 4),
    }
    plan = planned(tmp_path / "two", words, base)
    [a, b] = words.values()
    found = values(written(plan, tmp_path / "words")[f"{EMBEDDING}.weight"])
    np.testing.assert_allclose(
        found, values(base[f"{EMBEDDING}.weight"]) + 4 * product(b, a).T, rtol=1e-4
    )


def test_saved_modules_take_the_place_of_the_bases(tmp_path: Path) -> None:
    whole = make("F32", (ROWS, HIDDEN), 50)
    words = make("BF16", (ROWS, HIDDEN), 51)
    plan = planned(
        tmp_path,
        {
            f"{PREFIX}{HEAD}.modules_to_save.default.weight": whole,
            f"{PREFIX}{EMBEDDING}.base_layer.weight": words,
        },
        llama(ROWS, "BF16", 1),
    )
    made = written(plan, tmp_path / "out")
    assert made[f"{EMBEDDING}.weight"] == words
    rounded = (values(whole).view(np.uint32) + np.uint32(0x8000)) >> 16  # none is in the middle
    assert made[f"{HEAD}.weight"].data == rounded.astype(np.uint16).tobytes()


@pytest.mark.parametrize("kind", ["safetensors", "bin"])
def test_names_with_the_adapters_own_name_are_the_same(tmp_path: Path, kind: str) -> None:
    named = {
        name.replace(".weight", ".default.weight"): tensor
        for name, tensor in factors(QUERY, HIDDEN, HIDDEN).items()
    }
    one = planned(tmp_path / "1", factors(QUERY, HIDDEN, HIDDEN))
    other = planned(tmp_path / "2", named, kind=kind)
    left, right = (written(plan, tmp_path / name) for plan, name in ((one, "a"), (other, "b")))
    assert digest(left) == digest(right)


def test_a_base_whose_files_leave_out_the_models_own_part(tmp_path: Path) -> None:
    base = {name.removeprefix("model."): one for name, one in llama(ROWS, "F32", 1).items()}
    base["model.embed_tokens.weight"] = base.pop("embed_tokens.weight")
    plan = planned(tmp_path, factors(QUERY, HIDDEN, HIDDEN), base)
    assert list(terms(plan)) == ["layers.0.self_attn.q_proj.weight"]


def test_adapters_are_added_in_the_order_given_each_with_its_scale(tmp_path: Path) -> None:
    base = write_model(tmp_path / "base", llama(ROWS, "F32", 1))
    one = write_adapter(tmp_path / "1", factors(QUERY, HIDDEN, HIDDEN))
    two = write_adapter(tmp_path / "2", factors(QUERY, HIDDEN, HIDDEN, 2, 90), r=2)
    plan = METHODS["lora"](*lora.open_sides(base, [one, two]), scales=[0.5, -2.0])
    [added] = terms(plan).values()
    assert [(term.a.shape[0], term.factor) for term in added] == [(4, 2.0), (2, -16.0)]


def test_small_blocks_and_threads_change_no_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tensors = factors(QUERY, HIDDEN, HIDDEN) | factors("model.layers.1.mlp.up_proj", 24, HIDDEN)
    plan = planned(tmp_path, tensors, llama(ROWS, "BF16", 1))
    whole = written(plan, tmp_path / "whole")
    monkeypatch.setattr(streaming_merge, "CHUNK", 37)
    monkeypatch.setattr("orchestrator.modelfiles.merging.lora_addition.BLOCK", 40)
    assert digest(written(plan, tmp_path / "parts")) == digest(whole)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"peft_type": "IA3"}, "peft_type is 'IA3'"),
        ({"peft_type": None}, "peft_type is 'None'"),
        ({"use_dora": True}, "it says 'use_dora'"),
        ({"lora_bias": True}, "'lora_bias'"),
        ({"layer_replication": [[0, 2]]}, "'layer_replication'"),
        ({"trainable_token_indices": [3]}, "'trainable_token_indices'"),
        ({"of_next_year": 1}, "'of_next_year'"),
        ({"init_lora_weights": "pissa_niter_4"}, "started from 'pissa_niter_4'"),
        ({"init_lora_weights": ["pissa"]}, "started from"),
        ({"r": 0}, "rank 'r' is no positive whole number"),
        ({"r": True}, "rank 'r'"),
        ({"lora_alpha": "16"}, "'lora_alpha' is no number"),
        ({"lora_alpha": float("nan")}, "'lora_alpha' is no number"),
        ({"alpha_pattern": {"(x+x+)+y": 2}}, "'alpha_pattern' is no mapping"),
        ({"alpha_pattern": {"q_proj[": 2}}, "'alpha_pattern' is no mapping"),
        ({"rank_pattern": [4]}, "'rank_pattern' is no mapping"),
        ({"rank_pattern": {"q_proj": "4"}}, "'rank_pattern' is no mapping"),
    ],
)
def test_adapters_of_other_kinds_are_refused_by_name(
    tmp_path: Path, config: dict[str, Any], said: str
) -> None:
    with pytest.raises(StepError, match=said) as caught:
        planned(tmp_path, factors(QUERY, HIDDEN, HIDDEN), **config)
    assert "merge_and_unload" in str(caught.value.hint)


def lacking(side: str) -> Tensors:
    return {n: one for n, one in factors(QUERY, HIDDEN, HIDDEN).items() if f"lora_{side}" not in n}


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        (factors(QUERY, HIDDEN, HIDDEN + 1), r"base, the adapter's change \[16, 17\]"),
        (factors(QUERY, HIDDEN, HIDDEN, 5), "its rank is 5, the adapter's configuration says 4"),
        (factors("model.layers.7.self_attn.q_proj", HIDDEN, HIDDEN), "is not in the base"),
        (factors("model.layers.0.self_attn.qkv_proj", HIDDEN, HIDDEN), "qkv_proj.weight, which it"),
        (lacking("B"), "has only lora_A"),
        ({f"{PREFIX}{QUERY}.lora_magnitude_vector": make("F32", (16,), 1)}, "magnitude_vector"),
        ({f"{PREFIX}{QUERY}.lora_B.bias": make("F32", (16,), 1)}, "lora_B.bias"),
        ({f"{PREFIX}{QUERY}.hada_w1_a": make("F32", (16,), 1)}, "hada_w1_a has no counterpart"),
        ({f"{PREFIX}{HEAD}.weight": make("F32", (33, HIDDEN), 1)}, r"base, \[33, 16\]"),
        ({"q_proj.lora_A.weight": make("F32", (4, 16), 1)}, "is not known in an adapter"),
        ({}, "it holds no tensors"),
    ],
)  # fmt: skip
def test_tensors_that_do_not_fit_are_named(tmp_path: Path, tensors: Tensors, said: str) -> None:
    with pytest.raises(StepError, match=said) as caught:
        planned(tmp_path, tensors)
    assert "'somebody/base'" in str(caught.value.hint)


def test_a_head_that_is_the_embeddings_is_called_that(tmp_path: Path) -> None:
    base = {name: one for name, one in llama(ROWS, "F32", 1).items() if HEAD not in name}
    with pytest.raises(StepError, match="output matrix is that of its embeddings"):
        planned(tmp_path, factors(HEAD, ROWS, HIDDEN), base, {"tie_word_embeddings": True})


@pytest.mark.parametrize(
    ("dtype", "value", "where"),
    [("F32", np.nan, "the adapter"), ("F32", np.inf, "the adapter"), ("F16", 3e5, "the sum")],
)
def test_a_value_that_is_no_number_names_its_tensor(
    tmp_path: Path, dtype: str, value: float, where: str
) -> None:
    tensors = factors(QUERY, HIDDEN, HIDDEN)
    name = f"{PREFIX}{QUERY}.lora_B.weight"
    spoilt = np.full((HIDDEN, 4), value, np.float32)
    tensors[name] = Tensor("F32", (HIDDEN, 4), spoilt.tobytes())
    with pytest.raises(StepError, match=rf"q_proj\S*: {where} holds a value"):
        written(planned(tmp_path, tensors, llama(ROWS, dtype, 1)), tmp_path / "out")


def outline(folder: Path, adapter: Path) -> Path:
    """What is known of an adapter before its weights are fetched."""
    (folder / "small").mkdir(parents=True)
    (adapter / "adapter_config.json").rename(folder / "small" / "adapter_config.json")
    [weights] = adapter.iterdir()
    entry: dict[str, Any] = {"size": weights.stat().st_size}
    if weights.suffix == ".safetensors":
        (folder / "head").write_bytes(weights.read_bytes())
        entry["header"] = "head"
    (folder / "weights.json").write_text(json.dumps({weights.name: entry}))
    return folder


@pytest.mark.parametrize(
    ("kind", "config", "said"),
    [
        ("safetensors", {"use_rslora": True}, "it has use_rslora"),
        ("safetensors", {"alpha_pattern": {"q_proj": 2}}, "it has alpha_pattern"),
        ("safetensors", {"fan_in_fan_out": True}, "it has fan_in_fan_out"),
        ("bin", {}, "it has no tensors in a safetensors file"),
    ],
)
def test_what_a_file_of_its_own_cannot_say_is_refused(
    tmp_path: Path, kind: str, config: dict[str, Any], said: str
) -> None:
    tensors = factors(QUERY, HIDDEN, HIDDEN)
    other = outline(tmp_path / "1", write_adapter(tmp_path / "a", tensors, kind, **config))
    with pytest.raises(StepError, match=said):
        lora.expect_own_file(other)
    plain = outline(tmp_path / "2", write_adapter(tmp_path / "b", tensors))
    assert lora.expect_own_file(plain).keys() == tensors.keys()
