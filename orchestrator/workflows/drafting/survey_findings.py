"""What was found out about a model, as frozen values."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)


@dataclass(frozen=True)
class Licence:
    """What a repository's card says about its licence; empty where it says nothing usable.

    Attributes:
        id: The Hub's identifier, such as ``apache-2.0`` or ``other``.
        name: The name that goes with ``other``.
        link: An http(s) address of its text.
        free: Whether it is known to let quantized files be passed on.
        gated: Whether the model's readers must first accept terms.
    """

    id: str = ""
    name: str = ""
    link: str = ""
    free: bool = False
    gated: bool = False


@dataclass(frozen=True)
class Weights:
    """The model's weight files.

    Attributes:
        layout: ``safetensors``, ``bin`` or ``gguf``.
        files: How many there are.
        size: Their bytes.
        parameters: How many numbers they hold; ``exact`` when that was read, not estimated.
        dtype: The type that most of the numbers have: ``bf16``, ``f16``, ``f32`` or another.
        rows: The lengths of matrices' rows.
    """

    layout: str
    files: int
    size: int
    parameters: int
    exact: bool
    dtype: str
    rows: tuple[int, ...]


@dataclass(frozen=True)
class Adapter:
    """A repository with a LoRA adapter at a commit; ``asked`` is the revision that was meant."""

    repo: str
    commit: str
    asked: str


@dataclass(frozen=True)
class Found:
    """A model repository.

    Attributes:
        repo: ORGANISATION/NAME.
        commit: The full commit.
        asked: The revision that was asked for: a branch, a tag, or the commit itself.
        file: The GGUF file that is meant; empty for a Hugging Face model.
        architecture: As config.json or the GGUF header calls it.
        family: As recipes call it.
        silent: Whether the model continues no text.
        encodes: The Hub's tag of what a model does that is measured by its embeddings or scores:
            ``text-ranking``, ``feature-extraction`` or ``sentence-similarity``; or empty.
        chat: Whether it has a chat template.
        code: Whether it brings Python code of its own.
        quantized: How its weights are quantized already; empty when they are not.
        vocabulary: How many tokens it knows; 0 if not known.
        licence: Its licence.
        weights: Its weight files.
        adapter: What is merged into it, if that is what was asked for.
        folder: The folder of the repository that it is in; empty if it is in none.
        options: Options of the converter that its files want.
    """

    repo: str
    commit: str
    asked: str
    file: str
    architecture: str
    family: str
    silent: bool
    encodes: str
    chat: bool
    code: bool
    quantized: str
    vocabulary: int
    licence: Licence
    weights: Weights
    adapter: Adapter | None = None
    folder: str = ""
    options: tuple[str, ...] = ()

    @property
    def named(self) -> str:
        """The repository, and the folder in it, that a recipe is called after."""
        if self.adapter:
            return self.adapter.repo
        return f"{self.repo}/{self.folder}" if self.folder else self.repo


def tally(tensors: Iterable[tuple[str, int]]) -> tuple[str, int]:
    """The type that most numbers have, in lower case, and how many there are of all types."""
    kinds = Counter[str]()
    for kind, count in tensors:
        kinds[kind.lower()] += count
    most = kinds.most_common(1)
    return (most[0][0] if most else ""), kinds.total()
