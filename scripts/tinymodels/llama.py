"""The llama family: two layers of hidden size 256 with a SentencePiece tokenizer.

The feed-forward size 768 is the one that llama.cpp's converter of 2023 derives from 256 with a
multiple of 256, and embeddings are not tied, which that converter could not read.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import LlamaConfig, LlamaForCausalLM  # type: ignore[import-not-found,unused-ignore]

from tinymodels import corpora
from tinymodels.tokenizing import train_sentencepiece, write_json

VOCABULARY = 768
BOS, EOS = 1, 2
SPECIAL_TOKENS = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}


def write_tokenizer(folder: Path) -> None:
    """Trains tokenizer.model and writes it with the two files that describe it."""
    train_sentencepiece(folder, corpora.tokenizer_text(), VOCABULARY)
    write_tokenizer_configs(folder, SPECIAL_TOKENS)


def write_tokenizer_configs(folder: Path, special: dict[str, str]) -> None:
    """tokenizer_config.json and special_tokens_map.json for the slow LlamaTokenizer."""
    write_json(folder / "special_tokens_map.json", special)
    settings = {
        "add_bos_token": True,
        "add_eos_token": False,
        "clean_up_tokenization_spaces": False,
        "legacy": True,
        "model_max_length": 512,
        "sp_model_kwargs": {},
        "tokenizer_class": "LlamaTokenizer",
    }
    write_json(folder / "tokenizer_config.json", settings | special)


def build() -> Any:
    """An untrained model."""
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=256,
        intermediate_size=768,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=512,
        rms_norm_eps=1e-6,
        rope_theta=10000.0,
        tie_word_embeddings=False,
        bos_token_id=BOS,
        eos_token_id=EOS,
    )
    return LlamaForCausalLM(config)
