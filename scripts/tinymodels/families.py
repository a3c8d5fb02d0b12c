"""What a family of tiny models is, and the table of those that are trained from nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinymodels import bloom, chatglm, corpora, falcon, llama
from tinymodels.tokenizing import ByteLevel, Encoder, SentencePiece
from tinymodels.training import SCHEDULE, Schedule


@dataclass(frozen=True)
class Family:
    """One kind of model.

    `write_tokenizer` puts the tokenizer's files into a folder, `open_tokenizer` reads them,
    `build` makes the untrained transformers model, `documents` the training texts. `prefix` are
    the token ids that llama.cpp puts in front of every window. `ask` turns a question into a
    prompt, for a family that is trained to answer. `write_more` adds files at the end.
    """

    name: str
    write_tokenizer: Callable[[Path], None]
    open_tokenizer: Callable[[Path], Encoder]
    build: Callable[[], Any]
    documents: Callable[[], list[str]] = corpora.training_documents
    prefix: tuple[int, ...] = ()
    schedule: Schedule = SCHEDULE
    ask: Callable[[str], str] | None = None
    write_more: Callable[[Path], None] | None = None


_ALL = (
    Family("llama", llama.write_tokenizer, SentencePiece, llama.build, prefix=(llama.BOS,)),
    Family("bloom", bloom.write_tokenizer, ByteLevel, bloom.build),
    Family(
        "falcon",
        falcon.write_tokenizer,
        ByteLevel,
        falcon.build,
        schedule=falcon.SCHEDULE,
        write_more=falcon.write_code,
    ),
    Family(
        "chatglm",
        chatglm.write_tokenizer,
        ByteLevel,
        chatglm.build,
        documents=chatglm.documents,
        schedule=chatglm.SCHEDULE,
        ask=chatglm.prompt,
    ),
)
FAMILIES = {family.name: family for family in _ALL}
