"""Tokenizers of our own, trained on the grammar's text."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import sentencepiece  # type: ignore[import-not-found,unused-ignore]
import tokenizers  # type: ignore[import-not-found,unused-ignore]

BPE_FILE = "tokenizer.json"
SENTENCEPIECE_FILE = "tokenizer.model"


class Encoder(Protocol):
    """What training needs of a tokenizer."""

    def encode(self, text: str) -> list[int]:
        """Token ids of a text, without any token put in front."""
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """The text of token ids."""
        ...


class SentencePiece:
    """A SentencePiece model as llama has it: byte fallback, <unk> <s> </s> as 0, 1, 2."""

    def __init__(self, folder: Path) -> None:
        self._model = sentencepiece.SentencePieceProcessor(str(folder / SENTENCEPIECE_FILE))

    def encode(self, text: str) -> list[int]:
        """See Encoder."""
        ids: list[int] = self._model.encode(text)
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """See Encoder."""
        text: str = self._model.decode(list(ids))
        return text


class ByteLevel:
    """A byte-level BPE tokenizer.json; added tokens are recognised inside a text."""

    def __init__(self, folder: Path) -> None:
        self._model = tokenizers.Tokenizer.from_file(str(folder / BPE_FILE))

    def encode(self, text: str) -> list[int]:
        """See Encoder."""
        ids: list[int] = self._model.encode(text, add_special_tokens=False).ids
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """See Encoder."""
        text: str = self._model.decode(list(ids), skip_special_tokens=False)
        return text


def train_sentencepiece(folder: Path, text: str, size: int) -> None:
    """Writes tokenizer.model with `size` pieces, 256 of them bytes."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(text.splitlines()),
        model_writer=model,
        model_type="bpe",
        vocab_size=size,
        byte_fallback=True,
        character_coverage=1.0,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        split_digits=True,
        unk_id=0,
        bos_id=1,
        eos_id=2,
        pad_id=-1,
        num_threads=1,
        minloglevel=2,
    )
    (folder / SENTENCEPIECE_FILE).write_bytes(model.getvalue())


def train_byte_level(
    folder: Path, text: str, size: int, special: Sequence[str], pre_tokenizer: Any, first: bool
) -> None:
    """Writes tokenizer.json with `size` tokens, the special ones first or last."""
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    tokenizer.post_processor = tokenizers.processors.ByteLevel(trim_offsets=False)
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=size if first else size - len(special),
        special_tokens=list(special) if first else [],
        initial_alphabet=sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(text.splitlines(keepends=True), trainer)
    tokenizer.add_special_tokens(list(special))
    tokenizer.save(str(folder / BPE_FILE))


def write_json(path: Path, value: Any) -> None:
    """Writes indented JSON with a line feed at its end."""
    text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    path.write_bytes(text.encode("utf-8"))
