"""The texts made from the grammar: which seed and how many characters each one has.

Seeds differ, so the held-out corpora are other stories than the ones trained on.
"""

from __future__ import annotations

from pathlib import Path

from tinymodels.grammar import corpus

TRAINING_SEED = 1
CHAT_SEED = 4
TRAINING_SIZE = 1_500_000
# Enough text for a tokenizer to see every word many times.
TOKENIZER_SIZE = 400_000
COMMITTED = {"calibration.txt": (2, 64_000), "perplexity.txt": (3, 80_000)}


def training_text() -> str:
    """The text the models and their tokenizers are trained on; it is not stored."""
    return corpus(TRAINING_SEED, TRAINING_SIZE)


def training_documents() -> list[str]:
    """The training text, a story with its line feed in each element."""
    return training_text().splitlines(keepends=True)


def tokenizer_text() -> str:
    """The part of the training text that tokenizers are trained on."""
    return training_text()[:TOKENIZER_SIZE]


def committed_text(name: str) -> str:
    """The text of one committed corpus file."""
    seed, size = COMMITTED[name]
    return corpus(seed, size)


def write_corpora(folder: Path) -> None:
    """Writes every committed corpus into `folder`, with line feeds on every system."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in COMMITTED:
        (folder / name).write_bytes(committed_text(name).encode("ascii"))
