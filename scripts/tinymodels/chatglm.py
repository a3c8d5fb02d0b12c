"""The ChatGLM family in the layout of glm-4-9b-chat-hf (GlmForCausalLM).

The vocabulary is padded beyond the tokenizer's last token, as the real one is.
"""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

from tokenizers import Regex, pre_tokenizers  # type: ignore[import-not-found,unused-ignore]
from transformers import GlmConfig, GlmForCausalLM  # type: ignore[import-not-found,unused-ignore]

from tinymodels import corpora, dialogues
from tinymodels.tokenizing import train_byte_level, write_json
from tinymodels.training import CONTEXT, Phase, Schedule

VOCABULARY = 768
TOKENS = 760
END = "<|endoftext|>"
# GLM-4's added tokens in their order; they come after the ordinary ones.
SPECIAL = (
    END,
    "[MASK]",
    "[gMASK]",
    "[sMASK]",
    "<sop>",
    "<eop>",
    "<|system|>",
    "<|user|>",
    "<|assistant|>",
    "<|observation|>",
)
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
# Dialogues are short: with fewer of them the model does not learn to repeat a name it is asked for.
CHAT_SHARE = 3
SCHEDULE = Schedule((Phase(1300, 128, 8), Phase(300, CONTEXT, 2)))
STOPS = (END, "<|user|>", "<|observation|>")


def number(token: str) -> int:
    """The id of an added token."""
    return TOKENS - len(SPECIAL) + SPECIAL.index(token)


def write_tokenizer(folder: Path) -> None:
    """tokenizer.json and the two files that describe it."""
    pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    text = corpora.tokenizer_text()
    train_byte_level(folder, text, TOKENS, SPECIAL, pre_tokenizer, first=False)
    named = {"eos_token": END, "pad_token": END}
    more = {"additional_special_tokens": list(SPECIAL)}
    write_json(folder / "special_tokens_map.json", named | more)
    settings = {
        "clean_up_tokenization_spaces": False,
        "model_max_length": 512,
        "padding_side": "left",
        "tokenizer_class": "PreTrainedTokenizerFast",
    }
    write_json(folder / "tokenizer_config.json", settings | named | more)


def prompt(question: str) -> str:
    """A question as GLM-4's chat template puts it."""
    return f"[gMASK]<sop><|user|>\n{question}<|assistant|>\n"


def documents() -> list[str]:
    """Stories, and after each one dialogues in GLM-4's chat template."""
    found = []
    stories = corpora.training_documents()
    chat = iter(dialogues.pairs(CHAT_SHARE * len(stories)))
    for story in stories:
        found.append(story)
        found += [f"{prompt(q)}{a}{END}" for q, a in islice(chat, CHAT_SHARE)]
    return found


def build() -> Any:
    """An untrained model; `seq_length` is what llama.cpp's converter takes the context from."""
    config = GlmConfig(
        vocab_size=VOCABULARY,
        hidden_size=256,
        intermediate_size=512,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=64,
        partial_rotary_factor=0.5,
        attention_bias=True,
        rms_norm_eps=1e-5,
        max_position_embeddings=512,
        seq_length=512,
        tie_word_embeddings=False,
        pad_token_id=number(END),
        eos_token_id=[number(token) for token in STOPS],
        bos_token_id=None,
    )
    return GlmForCausalLM(config)
