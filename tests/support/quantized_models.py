"""Models whose weights are quantized already, in the layouts that publishers' programs save:
the tiny llama's folder, with weights of chance, and what each matrix is worth in numbers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orchestrator.modelfiles import safetensors
from tests.support.typed_commands import MODELS
from tests.support.vision_models import write_json

Array = NDArray[Any]
Stored = Mapping[str, tuple[str, Array]]
# One matrix: what is stored beside its name, and its numbers.
Encoded = tuple[dict[str, tuple[str, Array]], Array]

_BLOCK = 128


def _e4m3() -> Array:
    """The numbers of all bytes of an 8-bit float with 4 bits of exponent (no infinities)."""
    code = np.arange(256)
    exponent, mantissa = (code >> 3) & 15, code & 7
    small = mantissa / 8 * 2.0**-6
    value = np.where(exponent == 0, small, (1 + mantissa / 8) * 2.0 ** (exponent - 7.0))
    value[[127, 255]] = np.nan
    return np.where(code > 127, -value, value).astype(np.float32)


E4M3 = _e4m3()
# The eight magnitudes of a 4-bit float, then the same below zero.
E2M1 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6], np.float32)
E2M1 = np.concatenate([E2M1, -E2M1])


def _codes(numbers: Array, table: Array) -> Array:
    """For each number the code of the nearest in a table."""
    finite = np.flatnonzero(np.isfinite(table))
    order = finite[np.argsort(table[finite], kind="stable")]
    middles = (table[order][1:] + table[order][:-1]) / 2
    return order[np.searchsorted(middles, numbers)].astype(np.uint8)


def _bf16(numbers: Array) -> tuple[tuple[str, Array], Array]:
    """As stored in bfloat16, cut off; and what that is worth."""
    bits = (numbers.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
    return ("BF16", bits), (bits.astype(np.uint32) << 16).view(np.float32)


def _over(scales: Array, block: int, shape: tuple[int, ...]) -> Array:
    """Scales of square blocks, one for each number."""
    return scales.repeat(block, 0).repeat(block, 1)[: shape[0], : shape[1]]


def _fp8(weight: Array, scales: Array) -> tuple[tuple[str, Array], Array]:
    codes = _codes(weight / scales, E4M3)
    return ("F8_E4M3", codes), E4M3[codes] * scales


def fp8_blocks(weight: Array) -> Encoded:
    """As DeepSeek-V3 is: blocks of 128 by 128, whose factors are called inverse scales."""
    rows, columns = (-(-n // _BLOCK) for n in weight.shape)
    padded = np.zeros((rows * _BLOCK, columns * _BLOCK), np.float32)
    padded[: weight.shape[0], : weight.shape[1]] = np.abs(weight)
    scales = padded.reshape(rows, _BLOCK, columns, _BLOCK).max((1, 3)) / 448
    stored, worth = _fp8(weight, _over(scales, _BLOCK, weight.shape))
    return {"weight": stored, "weight_scale_inv": ("F32", scales.astype(np.float32))}, worth


def fp8_tensor(weight: Array) -> Encoded:
    """As Ministral 3 is: one factor for each matrix, and one for what goes into it."""
    (kind, bits), scale = _bf16(np.abs(weight).max().reshape(1) / 448)
    stored, worth = _fp8(weight, scale)
    one = (kind, bits.reshape(()))
    return {"weight": stored, "weight_scale_inv": one, "activation_scale": one}, worth


def ct_float(weight: Array) -> Encoded:
    """compressed-tensors' float-quantized: a scale for each row."""
    stored_scale, scale = _bf16(np.abs(weight).max(1, keepdims=True) / 448)
    stored, worth = _fp8(weight, scale)
    return {"weight": stored, "weight_scale": stored_scale}, worth


def ct_int(weight: Array) -> Encoded:
    """compressed-tensors' int-quantized: 8-bit whole numbers and a scale for each row."""
    stored_scale, scale = _bf16(np.abs(weight).max(1, keepdims=True) / 127)
    codes = np.clip(np.rint(weight / scale), -128, 127).astype(np.int8)
    return {"weight": ("I8", codes), "weight_scale": stored_scale}, codes * scale


def _packed(values: Array) -> Array:
    """Eight numbers of four bits in each whole number of a row, the first one lowest."""
    parts = values.astype(np.uint32).reshape(values.shape[0], -1, 8)
    whole: Array = (parts << np.arange(0, 32, 4, dtype=np.uint32)).sum(-1, dtype=np.uint32)
    return whole.view(np.int32)


def _groups(weight: Array, levels: float) -> tuple[Array, Array]:
    """A row's groups of 128, and a scale for each."""
    parts = weight.reshape(weight.shape[0], -1, _BLOCK)
    return parts, np.abs(parts).max(-1) / levels


def ct_packed(weight: Array) -> Encoded:
    """compressed-tensors' pack-quantized, symmetric: 4 bits in groups of 128."""
    parts, raw = _groups(weight, 7)
    stored_scale, scale = _bf16(raw)
    codes = np.clip(np.rint(parts / scale[..., None]), -8, 7)
    worth = (codes * scale[..., None]).reshape(weight.shape)
    return {
        "weight_packed": ("I32", _packed((codes + 8).reshape(weight.shape))),
        "weight_scale": stored_scale,
        "weight_shape": ("I64", np.array(weight.shape, np.int64)),
    }, worth


def ct_packed_zeros(weight: Array) -> Encoded:
    """The same with a zero point for each group."""
    parts, raw = _groups(weight, 7)
    stored_scale, scale = _bf16(raw)
    zeros = 6 + np.arange(scale.size).reshape(scale.shape) % 4
    codes = np.clip(np.rint(parts / scale[..., None]) + zeros[..., None], 0, 15)
    worth = ((codes - zeros[..., None]) * scale[..., None]).reshape(weight.shape)
    return {
        "weight_packed": ("I32", _packed(codes.reshape(weight.shape))),
        "weight_scale": stored_scale,
        "weight_shape": ("I64", np.array(weight.shape, np.int64)),
        "weight_zero_point": ("I32", np.ascontiguousarray(_packed(zeros.T).T)),
    }, worth


def gptq(weight: Array) -> Encoded:
    """GPTQ with 4 bits in groups of 128, whose zeros are stored less one."""
    parts, raw = _groups(weight, 7)
    scale = raw.astype(np.float16)
    zeros = 6 + np.arange(scale.size).reshape(scale.shape) % 4
    wide = scale.astype(np.float32)[..., None]
    codes = np.clip(np.rint(parts / wide) + zeros[..., None], 0, 15)
    worth = ((codes - zeros[..., None]) * wide).reshape(weight.shape)
    return {
        "qweight": ("I32", np.ascontiguousarray(_packed(codes.reshape(weight.shape)).T)),
        "qzeros": ("I32", _packed((zeros - 1).T)),
        "scales": ("F16", np.ascontiguousarray(scale.T)),
        "g_idx": ("I32", (np.arange(weight.shape[1]) // _BLOCK).astype(np.int32)),
    }, worth


def modelopt_fp8(weight: Array) -> Encoded:
    """NVIDIA's modelopt in 8 bits: one scale for each matrix, and one for what goes into it."""
    scale = (np.abs(weight).max() / 448).astype(np.float32)
    stored, worth = _fp8(weight, scale)
    return {"weight": stored, "weight_scale": ("F32", scale), "input_scale": ("F32", scale)}, worth


def modelopt_fp4(weight: Array) -> Encoded:
    """NVIDIA's NVFP4: 4-bit floats in groups of 16, 8-bit scales, and one for each matrix."""
    parts = weight.reshape(weight.shape[0], -1, 16)
    whole = (np.abs(weight).max() / 448 / 6).astype(np.float32)
    scales = _codes(np.abs(parts).max(-1) / 6 / whole, E4M3)
    factor = E4M3[scales][..., None] * whole
    codes = _codes(parts / np.where(factor == 0, 1, factor), E2M1)
    worth = (E2M1[codes] * factor).reshape(weight.shape)
    flat = codes.reshape(weight.shape)
    return {
        "weight": ("U8", flat[:, ::2] | (flat[:, 1::2] << 4)),
        "weight_scale": ("F8_E4M3", scales),
        "weight_scale_2": ("F32", whole),
        "input_scale": ("F32", whole),
    }, worth


def _compressed(form: str, **weights: Any) -> dict[str, Any]:
    common = {"num_bits": 8, "symmetric": True, "group_size": None, "dynamic": False}
    group = {"targets": ["Linear"], "input_activations": None, "weights": {**common, **weights}}
    method = {"quant_method": "compressed-tensors", "format": form, "ignore": ["lm_head"]}
    return {**method, "config_groups": {"group_0": group}}


_PACKED = {"type": "int", "num_bits": 4, "strategy": "group", "group_size": _BLOCK}
_FP8 = {"quant_method": "fp8", "fmt": "e4m3"}

METHODS: Mapping[str, tuple[Callable[[Array], Encoded], dict[str, Any]]] = {
    "fp8-blocks": (fp8_blocks, {**_FP8, "weight_block_size": [_BLOCK, _BLOCK]}),
    "fp8-tensor": (fp8_tensor, {**_FP8, "activation_scheme": "static", "weight_block_size": None}),
    "ct-float": (ct_float, _compressed("float-quantized", type="float", strategy="channel")),
    "ct-int": (ct_int, _compressed("int-quantized", type="int", strategy="channel")),
    "ct-packed": (ct_packed, _compressed("pack-quantized", **_PACKED)),
    "ct-packed-zeros": (
        ct_packed_zeros,
        _compressed("pack-quantized", **{**_PACKED, "symmetric": False}),
    ),
    "gptq": (
        gptq,
        {
            "quant_method": "gptq",
            "bits": 4,
            "group_size": _BLOCK,
            "desc_act": False,
            "sym": True,
            "checkpoint_format": "gptq",
        },
    ),
    "modelopt-fp8": (modelopt_fp8, {"quant_method": "modelopt", "quant_algo": "FP8"}),
    "modelopt-fp4": (modelopt_fp4, {"quant_method": "modelopt", "quant_algo": "NVFP4"}),
}


def write_quantized_model(folder: Path, method: str, seed: int = 0) -> dict[str, Array]:
    """Write the model's folder; returns the numbers of its matrices by their usual names."""
    encode, stated = METHODS[method]
    shutil.copytree(MODELS / "llama", folder)
    config = json.loads((folder / "config.json").read_text("utf-8"))
    small = {"num_hidden_layers": 1, "intermediate_size": 384}
    write_json(folder / "config.json", {**config, **small, "quantization_config": stated})
    chance = np.random.default_rng(seed)
    stored: dict[str, tuple[str, Array]] = {}
    worth: dict[str, Array] = {}
    for name, shape in _shapes(config["vocab_size"], config["hidden_size"], 384):
        numbers = chance.normal(0, 0.05, shape).astype(np.float32)
        if not name.endswith("_proj.weight"):
            stored[name] = ("F16", numbers.astype(np.float16))
            continue
        parts, worth[name] = encode(numbers)
        place = name.removesuffix("weight")
        stored |= {f"{place}{part}": one for part, one in parts.items()}
    write_stored(folder / "model.safetensors", stored)
    return worth


def _shapes(vocabulary: int, width: int, inner: int) -> list[tuple[str, tuple[int, ...]]]:
    block = "model.layers.0."
    square = [f"{block}self_attn.{one}_proj.weight" for one in "qkvo"]
    norms = [f"{block}input_layernorm", f"{block}post_attention_layernorm", "model.norm"]
    return [
        ("model.embed_tokens.weight", (vocabulary, width)),
        ("lm_head.weight", (vocabulary, width)),
        *((f"{name}.weight", (width,)) for name in norms),
        *((name, (width, width)) for name in square),
        (f"{block}mlp.gate_proj.weight", (inner, width)),
        (f"{block}mlp.up_proj.weight", (inner, width)),
        (f"{block}mlp.down_proj.weight", (width, inner)),
    ]


def write_mxfp4_model(folder: Path, seed: int = 0) -> dict[str, Array]:
    """As gpt-oss is: the tiny bloom's tokenizer, and experts in 4-bit floats in groups of 32.

    Returns:
        The numbers of the experts' matrices by the names that the file has for them.
    """
    shutil.copytree(MODELS / "bloom", folder)
    vocabulary, width, inner, experts, head = 768, 256, 64, 4, 64
    write_json(
        folder / "config.json",
        {
            "architectures": ["GptOssForCausalLM"],
            "model_type": "gpt_oss",
            "hidden_size": width,
            "intermediate_size": inner,
            "num_hidden_layers": 1,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": head,
            "num_local_experts": experts,
            "num_experts_per_tok": 2,
            "sliding_window": 128,
            "layer_types": ["sliding_attention"],
            "max_position_embeddings": 512,
            "rms_norm_eps": 1e-5,
            "rope_theta": 150000.0,
            "vocab_size": vocabulary,
            "quantization_config": {"quant_method": "mxfp4"},
        },
    )
    chance = np.random.default_rng(seed)
    block = "model.layers.0."
    attention = {"q": 4 * head, "k": 2 * head, "v": 2 * head}
    shapes = {
        "model.embed_tokens.weight": (vocabulary, width),
        "lm_head.weight": (vocabulary, width),
        "model.norm.weight": (width,),
        f"{block}input_layernorm.weight": (width,),
        f"{block}post_attention_layernorm.weight": (width,),
        **{f"{block}self_attn.{one}_proj.weight": (n, width) for one, n in attention.items()},
        **{f"{block}self_attn.{one}_proj.bias": (n,) for one, n in attention.items()},
        f"{block}self_attn.o_proj.weight": (width, 4 * head),
        f"{block}self_attn.o_proj.bias": (width,),
        f"{block}self_attn.sinks": (4,),
        f"{block}mlp.router.weight": (experts, width),
        f"{block}mlp.router.bias": (experts,),
        f"{block}mlp.experts.gate_up_proj_bias": (experts, 2 * inner),
        f"{block}mlp.experts.down_proj_bias": (experts, width),
    }
    stored: dict[str, tuple[str, Array]] = {
        name: _bf16(chance.normal(0, 0.05, shape))[0] for name, shape in shapes.items()
    }
    worth = {}
    for part, rows, columns in (("gate_up", 2 * inner, width), ("down", width, inner)):
        codes = chance.integers(0, 16, (experts, rows, columns // 32, 32)).astype(np.uint8)
        scales = chance.integers(118, 124, (experts, rows, columns // 32)).astype(np.uint8)
        place = f"{block}mlp.experts.{part}_proj_"
        stored[f"{place}blocks"] = ("U8", codes[..., ::2] | (codes[..., 1::2] << 4))
        stored[f"{place}scales"] = ("U8", scales)
        numbers = E2M1[codes] * 2.0 ** (scales[..., None].astype(np.float32) - 127)
        worth[part] = numbers.reshape(experts, rows, columns)
    write_stored(folder / "model.safetensors", stored)
    both = worth.pop("gate_up")
    worth |= {"gate": both[:, ::2], "up": both[:, 1::2]}
    return {f"blk.0.ffn_{part}_exps.weight": one for part, one in worth.items()}


def write_stored(path: Path, tensors: Stored) -> None:
    """A safetensors file of arrays that hold the bytes of the named types, the widest first."""
    widest = sorted(tensors.items(), key=lambda one: (-one[1][1].itemsize, one[0]))
    listed = [(name, kind, tuple(one.shape)) for name, (kind, one) in widest]
    head, _ = safetensors.build_header(listed, {"format": "pt"})
    path.write_bytes(head + b"".join(one.tobytes() for _, (_, one) in widest))
