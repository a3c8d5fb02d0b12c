"""What a draft needs of config.json, which strangers write; pure.

The keys are those of transformers' configurations. Models that also see or hear keep those
of their text model under ``text_config``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.base import json_text
from orchestrator.base.errors import StepError

_ROWS = ("hidden_size", "intermediate_size", "n_embd", "d_model", "ffn_hidden_size")
_DTYPES = {"bfloat16": "bf16", "float16": "f16", "float32": "f32"}
_SHOWN = 80


@dataclass(frozen=True)
class Config:
    """The facts of a config.json.

    Attributes:
        architectures: Names of the model's class, the text model's first.
        model_type: transformers' name of the kind of model, or empty.
        dtype: ``bf16``, ``f16``, ``f32``, or empty when it does not say.
        rows: The lengths of rows that it states.
        vocabulary: How many tokens the model knows; 0 when it does not say.
        code: Whether loading it needs Python code of the repository.
        quantized: The method by which the weights are quantized already, or empty.
    """

    architectures: tuple[str, ...]
    model_type: str
    dtype: str
    rows: tuple[int, ...]
    vocabulary: int
    code: bool
    quantized: str


def read(content: bytes, repo: str) -> Config:
    """The facts of a configuration.

    Raises:
        StepError: It is no JSON object.
    """
    whole = parse(content)
    if whole is None:
        raise StepError(
            f"The config.json of {repo} is not a JSON object.",
            "The upload is damaged; choose another revision.",
        )
    text = _mapping(whole, "text_config")
    merged = {**whole, **text}
    method = _mapping(whole, "quantization_config").get("quant_method", "")
    return Config(
        architectures=(*_names(text), *_names(whole)),
        model_type=_text(whole.get("model_type")),
        dtype=_DTYPES.get(_text(merged.get("dtype", merged.get("torch_dtype"))), ""),
        rows=tuple(sorted({_count(merged.get(name)) for name in _ROWS} - {0})),
        vocabulary=_count(merged.get("vocab_size")),
        code=bool(_mapping(whole, "auto_map")),
        quantized=_text(method),
    )


def parse(content: bytes) -> dict[str, Any] | None:
    """A JSON object, or None when it is none."""
    try:
        found = json_text.parse(content, finite=False)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _mapping(data: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = data.get(name)
    return found if isinstance(found, Mapping) else {}


def _names(data: Mapping[str, Any]) -> tuple[str, ...]:
    found = data.get("architectures")
    listed = found if isinstance(found, list) else []
    return tuple(_text(name) for name in listed[:1] if _text(name))


def _text(value: Any) -> str:
    return value if isinstance(value, str) and value.isprintable() and len(value) < _SHOWN else ""


def _count(value: Any) -> int:
    return value if type(value) is int and 0 < value < 1 << 31 else 0
