"""What a family of tiny models is: tokenizer, configuration, texts, and the table of families."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinymodels import llama
from tinymodels.tokenizing import Encoder
from tinymodels.training import SCHEDULE, Schedule


@dataclass(frozen=True)
class Family:
    """One kind of model that is trained from nothing.

    `write_tokenizer` puts the tokenizer's files into a folder, `open_tokenizer` reads them,
    `build` makes the untrained transformers model, `documents` the training texts. `prefix` are
    the token ids that llama.cpp puts in front of every window.
    """

    name: str
    write_tokenizer: Callable[[Path], None]
    open_tokenizer: Callable[[Path], Encoder]
    build: Callable[[], Any]
    documents: Callable[[], list[str]]
    prefix: tuple[int, ...]
    schedule: Schedule = SCHEDULE
    extras: Callable[[Path], None] = lambda _folder: None


FAMILIES = {
    "llama": Family(
        name="llama",
        write_tokenizer=llama.write_tokenizer,
        open_tokenizer=llama.open_tokenizer,
        build=llama.build,
        documents=llama.documents,
        prefix=(llama.BOS,),
    ),
}
