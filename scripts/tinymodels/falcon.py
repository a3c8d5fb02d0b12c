"""The Falcon family in the layout of falcon-7b: one key and value head, parallel attention."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tokenizers import Regex, pre_tokenizers  # type: ignore[import-not-found,unused-ignore]
from transformers import FalconConfig, FalconForCausalLM  # type: ignore[import-not-found,unused-ignore]

from tinymodels import corpora
from tinymodels.tokenizing import train_byte_level, write_json
from tinymodels.training import CONTEXT, Phase, Schedule

VOCABULARY = 768
# Falcon's special tokens, <|endoftext|> as number 11.
TITLES = (
    "TITLE",
    "ABSTRACT",
    "INTRODUCTION",
    "SUMMARY",
    "COMMENT",
    "ANSWER",
    "QUESTION",
    "DOMAIN",
    "PREFIX",
    "SUFFIX",
    "MIDDLE",
)
END = "<|endoftext|>"
SPECIAL = (*(f">>{title}<<" for title in TITLES), END)
# One key and value head learns more slowly to repeat what a story's animal has lost.
SCHEDULE = Schedule((Phase(1700, 128, 8), Phase(400, CONTEXT, 2)))
# The real repository has code of its own beside the weights, which is to be left alone.
CODE_FILES = ("configuration_falcon.py", "modeling_falcon.py")
CODE = '''"""Stands for the code that real model repositories carry; nothing should ever run it."""

raise RuntimeError("code from a model's folder was run")
'''


def write_tokenizer(folder: Path) -> None:
    """tokenizer.json and the two files that describe it."""
    pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Punctuation("contiguous"),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
            pre_tokenizers.Digits(individual_digits=False),
            pre_tokenizers.Split(Regex("[0-9][0-9][0-9]"), "isolated"),
        ]
    )
    text = corpora.tokenizer_text()
    train_byte_level(folder, text, VOCABULARY, SPECIAL, pre_tokenizer, first=True)
    write_json(folder / "special_tokens_map.json", {"eos_token": END})
    settings = {
        "add_prefix_space": False,
        "clean_up_tokenization_spaces": False,
        "eos_token": END,
        "model_max_length": 2048,
        "tokenizer_class": "PreTrainedTokenizerFast",
    }
    write_json(folder / "tokenizer_config.json", settings)


def build() -> Any:
    """An untrained model; `num_kv_heads` is written because converters ask for it."""
    config = FalconConfig(
        vocab_size=VOCABULARY,
        hidden_size=256,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_kv_heads=1,
        multi_query=True,
        new_decoder_architecture=False,
        parallel_attn=True,
        alibi=False,
        bias=False,
        hidden_dropout=0.0,
        attention_dropout=0.0,
        bos_token_id=SPECIAL.index(END),
        eos_token_id=SPECIAL.index(END),
    )
    return FalconForCausalLM(config)


def write_code(folder: Path) -> None:
    """Two Python files that fail when imported, which proves that nobody imports them."""
    for name in CODE_FILES:
        (folder / name).write_bytes(CODE.encode("ascii"))
