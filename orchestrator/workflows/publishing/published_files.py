"""Everything that is published, by name: values only, the bytes are read where they lie."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.modelfiles.gguf import GGUF
from orchestrator.planning.plan import Output
from orchestrator.runs.report import Row
from orchestrator.workflows.publishing.gguf_naming import Name


@dataclass(frozen=True)
class Piece:
    """One file: its name where it goes, and its bytes at ``path`` or as ``data``.

    ``sha256`` is empty for a part that is still to be made; ``tensors`` is the digest of a whole
    GGUF file's tensors (see ``tensor_digest``), empty for all else.
    """

    name: str
    size: int
    sha256: str
    path: Path | None = None
    data: bytes = field(default=b"", repr=False)
    known_blob: str = ""
    tensors: str = ""


def blob_id(piece: Piece) -> str:
    """The id of git's blob with a piece's content; a piece that lies in a file is read."""
    if piece.known_blob:
        return piece.known_blob
    digest = hashlib.sha1(b"blob %d\0" % piece.size, usedforsecurity=False)
    if piece.path is None:
        digest.update(piece.data)
        return digest.hexdigest()
    with piece.path.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def text_piece(name: str, text: str) -> Piece:
    """A small file of this text."""
    data = text.encode("utf-8")
    return Piece(name, len(data), hashlib.sha256(data).hexdigest(), data=data)


def file_piece(name: str, path: Path) -> Piece:
    """A small file that lies somewhere, as it is now."""
    data = path.read_bytes()
    return Piece(name, len(data), hashlib.sha256(data).hexdigest(), data=data)


@dataclass(frozen=True)
class Model:
    """One quantized file as it is published.

    Attributes:
        output: The recipe's file.
        row: What was found of it, under its published type.
        name: Its published name, without a shard.
        pieces: The file itself, or its parts.
        header: The file's header; None for GGML files.
    """

    output: Output
    row: Row
    name: Name
    pieces: tuple[Piece, ...]
    header: GGUF | None = None

    @property
    def file(self) -> str:
        """The name of the whole file."""
        return self.name.file

    @property
    def first(self) -> str:
        """What a program has to be given: the file or its first part."""
        return self.pieces[0].name

    @property
    def split(self) -> bool:
        """Whether it is in parts."""
        return len(self.pieces) > 1


@dataclass(frozen=True)
class Tree:
    """What a publication consists of; ``best`` is the recommended file."""

    recipe: str
    models: tuple[Model, ...]
    pieces: tuple[Piece, ...]
    notes: tuple[str, ...] = ()
    best: str = ""

    @property
    def by_name(self) -> Mapping[str, Piece]:
        """All pieces by name."""
        return {piece.name: piece for piece in self.pieces}


def sums(pieces: Sequence[Piece]) -> str:
    """Lines as ``sha256sum -c`` reads them."""
    return "".join(f"{one.sha256}  {one.name}\n" for one in sorted(pieces, key=lambda p: p.name))
