"""The BLOOM family, a stand-in for bloomz and Phoenix.

The tokenizer has BLOOM's shape (its special tokens first, its split regex, then bytes) and a
vocabulary of our own, so converters that know tokenizers by hash do not know this one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tokenizers import Regex, pre_tokenizers  # type: ignore[import-not-found,unused-ignore]
from transformers import BloomConfig, BloomForCausalLM  # type: ignore[import-not-found,unused-ignore]

from tinymodels import corpora
from tinymodels.tokenizing import train_byte_level, write_json

VOCABULARY = 768
SPECIAL = ("<unk>", "<s>", "</s>", "<pad>")
# What BLOOM's tokenizer.json splits by.
SPLIT = r" ?[^(\s|[.,!?…。，、।۔،])]+"  # noqa: RUF001 - full stops of many scripts
NAMED = dict(zip(("unk_token", "bos_token", "eos_token", "pad_token"), SPECIAL, strict=True))


def write_tokenizer(folder: Path) -> None:
    """tokenizer.json and the two files that describe it."""
    pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    text = corpora.tokenizer_text()
    train_byte_level(folder, text, VOCABULARY, SPECIAL, pre_tokenizer, first=True)
    write_json(folder / "special_tokens_map.json", NAMED)
    settings = {
        "add_prefix_space": False,
        "clean_up_tokenization_spaces": False,
        "padding_side": "left",
        "tokenizer_class": "BloomTokenizerFast",
    }
    write_json(folder / "tokenizer_config.json", settings | NAMED)


def build() -> Any:
    """An untrained model; `seq_length` is what llama.cpp's converter takes the context from."""
    config = BloomConfig(
        vocab_size=VOCABULARY,
        hidden_size=256,
        n_layer=2,
        n_head=4,
        seq_length=512,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=3,
        unk_token_id=0,
        hidden_dropout=0.0,
        attention_dropout=0.0,
    )
    return BloomForCausalLM(config)
