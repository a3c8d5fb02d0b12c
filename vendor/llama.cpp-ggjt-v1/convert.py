"""Run the converter of April 2023 on model folders as they are made today.

    python convert.py SRC -- CONVERTER-ARGUMENTS MODEL

Upstream's file stays as it is; what it does not know is answered from here: weights in
safetensors files, the metadata that such files have by now, heads that are not 128 wide
and feed-forward layers that are not rounded up to 256.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

LARGEST_MULTIPLE = 8192
NOT_WEIGHTS = "__metadata__"


def feed_forward(width: int, multiple: int) -> int:
    """The width of the feed-forward layer that the tools of that time compute."""
    return -(-(8 * width // 3) // multiple) * multiple


def fitting_multiple(width: int, wanted: int) -> int:
    """The rounding that gives this feed-forward width; 256, which LLaMA has, before others."""
    for multiple in (256, *range(LARGEST_MULTIPLE, 1, -1)):
        if feed_forward(width, multiple) == wanted:
            return multiple
    sys.exit(f"no n_mult gives a feed-forward layer of {wanted} for an embedding of {width}")


def model_file(model: Path) -> Path:
    """The first safetensors file of a folder, else the folder, which upstream searches."""
    first = [*sorted(model.glob("model-00001-of-*.safetensors")), model / "model.safetensors"]
    return next((path for path in first if path.is_file()), model)


def answer_from_config(converter: Any, config: dict[str, Any]) -> None:
    """Replace the guesses that upstream makes from the shapes of tensors."""
    heads, width = config["num_attention_heads"], config["hidden_size"]
    if config.get("num_key_value_heads", heads) != heads:
        sys.exit("this model shares key-value heads between query heads (GQA)")
    multiple = fitting_multiple(width, config["intermediate_size"])
    guessed, permute = converter.Params.guessed, converter.permute_lazy

    def known(model: Any, file_type: Any) -> Any:
        return replace(guessed(model, file_type), n_head=heads, n_mult=multiple)

    converter.Params.guessed = known
    converter.permute_lazy = lambda tensor, _heads: permute(tensor, heads)


def answer_from_params(converter: Any, params: dict[str, Any]) -> None:
    """Take the heads from Meta's own params.json; upstream guesses heads of 128."""
    guessed, heads = converter.Params.guessed, params["n_heads"]

    def known(model: Any, file_type: Any) -> Any:
        return replace(guessed(model, file_type), n_head=heads)

    converter.Params.guessed = known


def loads(text: bytes) -> Any:
    """A safetensors header without its metadata, which is no tensor."""
    found = json.loads(text)
    found.pop(NOT_WEIGHTS, None)
    return found


def main() -> None:
    """Answer what upstream would guess, then hand over to its own main."""
    source, arguments = sys.argv[1], sys.argv[3:]
    sys.path.insert(0, source)
    import convert as converter  # noqa: PLC0415 - its folder is an argument

    model = Path(arguments[-1])
    converter.json = SimpleNamespace(load=json.load, loads=loads)
    config, params = model / "config.json", model / "params.json"
    if config.is_file():
        answer_from_config(converter, json.loads(config.read_text("utf-8")))
    elif params.is_file():
        answer_from_params(converter, json.loads(params.read_text("utf-8")))
    converter.main([*arguments[:-1], str(model_file(model))])


main()
