"""A tokenizer that is code of the model's repository, with the parts that the converter uses.

It refuses to run where it could do harm: with the network allowed, or with a token around.
"""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import sentencepiece  # type: ignore[import-not-found,unused-ignore]
from transformers import PreTrainedTokenizer  # type: ignore[import-not-found,unused-ignore]

SPECIAL = ("[MASK]", "[gMASK]", "[sMASK]", "sop", "eop")
ROLES = ("<|system|>", "<|user|>", "<|assistant|>", "<|observation|>")

if os.environ.get("HF_HUB_OFFLINE") != "1":
    raise RuntimeError("code of a model's repository was run with the network allowed")
if [name for name in os.environ if "TOKEN" in name and name != "TOKENIZERS_PARALLELISM"]:
    raise RuntimeError("code of a model's repository was run with a token in reach")


class ChatGLMTokenizer(PreTrainedTokenizer):  # type: ignore[misc,unused-ignore]
    """SentencePiece with special tokens after its own words."""

    vocab_files_names: ClassVar = {"vocab_file": "tokenizer.model"}

    def __init__(self, vocab_file: str, **settings: Any) -> None:
        model = sentencepiece.SentencePieceProcessor(model_file=str(Path(vocab_file)))
        self.tokenizer = SimpleNamespace(sp_model=model)
        words = model.vocab_size()
        self.special = {name: words + n for n, name in enumerate((*SPECIAL, *ROLES))}
        super().__init__(**settings)

    @property
    def vocab_size(self) -> int:
        """Words and special tokens."""
        return int(self.tokenizer.sp_model.vocab_size()) + len(self.special)

    def get_vocab(self) -> dict[str, int]:
        """Ids by piece."""
        return {self._convert_id_to_token(number): number for number in range(self.vocab_size)}

    def _convert_id_to_token(self, index: int) -> str:
        model = self.tokenizer.sp_model
        if index < model.vocab_size():
            return str(model.id_to_piece(index))
        return {number: name for name, number in self.special.items()}.get(index, "")

    def _convert_token_to_id(self, token: str) -> int:
        return int(self.special.get(token, self.tokenizer.sp_model.piece_to_id(token)))

    def _tokenize(self, text: str, **settings: Any) -> list[str]:
        return list(self.tokenizer.sp_model.encode(text, out_type=str))
