"""File names as the recipe wants them; by default those of the GGUF naming convention; pure.

https://github.com/ggml-org/ggml/blob/master/docs/gguf.md#gguf-naming-convention: words joined by
'-', the size label among them, the type of the weights last. A model is called like the
repository, or the file, that it comes from: what the metadata calls it is often a working title.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from orchestrator.base import safe_text
from orchestrator.base.errors import UsageError
from orchestrator.modelfiles.gguf import GGUF
from orchestrator.modelfiles.gguf_file_types import FILE_TYPES
from orchestrator.planning.plan import Plan
from orchestrator.planning.resolved_source import Resolved

SUFFIX = ".gguf"
USUAL = "{model}-{type}"
_NUMBER = r"[0-9]+(?:\.[0-9]+)?"
_SIZE = rf"(?:[0-9]+x)?{_NUMBER}[A-Za-z](?:-[A-Za-z]+{_NUMBER}[A-Za-z]+)?"
# As models are called: 7b1 is a size too.
_SIZE_WORD = rf"(?:[0-9]+x)?{_NUMBER}[bBmMkKtT][0-9]*"
_WORD = r"[A-Za-z0-9]+(?:[._][A-Za-z0-9]+)*"
_TYPES = "|".join(map(re.escape, sorted(FILE_TYPES.values(), key=len, reverse=True)))
_ENDINGS = re.compile(rf"(?:[-._](?:GGUF|GGML|{_TYPES}|[0-9]{{5}}-of-[0-9]{{5}}))+$", re.IGNORECASE)
# Characters; with the number of a part a name stays below the 255 bytes of most file systems.
_LONGEST_MODEL, _LONGEST = 120, 220


@dataclass(frozen=True)
class Name:
    """A published name: all of it but the end, the type in it, and the end."""

    stem: str
    encoding: str
    suffix: str = SUFFIX

    @property
    def file(self) -> str:
        """The whole name."""
        return self.stem + self.suffix

    def part(self, number: int, count: int) -> str:
        """The name of one of ``count`` parts; the first has the number 1."""
        return f"{self.stem}-{number:05}-of-{count:05}{self.suffix}"


def model_of(plan: Plan) -> str:
    """What a recipe's model is called where it comes from; the recipe's name for local files."""
    source = plan.sources.delta or plan.sources.model
    bases = plan.recipe.publish.base_model
    stated = bases[0].rpartition("/")[2] if len(bases) == 1 else ""
    found = stated or (_named(source) if source is not None else "")
    return _clean(_ENDINGS.sub("", found)) or plan.recipe.name


def _named(source: Resolved) -> str:
    identity = source.identity
    if identity["kind"] == "hub":
        return str(identity["repo"]).rpartition("/")[2]
    if identity["kind"] == "path":
        return PurePosixPath(source.file_name).stem if source.format == "gguf" else ""
    file = PurePosixPath(str(identity.get("file") or identity.get("name") or ""))
    return file.stem if source.format in ("gguf", "ggml") else ""


def name_of(pattern: str, model: str, encoding: str, header: GGUF | None, suffix: str) -> Name:
    """The name that a recipe's pattern gives a file.

    Args:
        pattern: Such as ``{model}-{type}``; ``{size}`` is the size label.
        model: What the model is called; its size label is added where it names none.
        encoding: Name of the quantization, such as ``Q4_K_M``.
        header: The file's header, for the size label; None for GGML files.
        suffix: The end of the name.
    """
    told = str(header.metadata.get("general.size_label") or "") if header is not None else ""
    size = told if re.fullmatch(_SIZE, told) else ""
    stated = any(re.fullmatch(_SIZE_WORD, word) for word in re.split(r"[-_]", model))
    whole = model if stated or not size else f"{model}-{size}"
    encoding = re.sub(r"[^A-Za-z0-9]+", "_", encoding).strip("_")
    stem = pattern.removesuffix(SUFFIX).format(model=whole, type=encoding, size=size)
    # Where there is no size, no two marks stand for it.
    stem = re.sub(r"([-._])[-._]+", r"\1", stem).strip("-._")
    return Name(safe_text.file_name(stem, _LONGEST), encoding, suffix)


def _clean(text: str) -> str:
    """Only what a file name of the convention can hold, and not too much of it."""
    return safe_text.file_name("-".join(re.findall(_WORD, text)), _LONGEST_MODEL)


def distinct(names: Mapping[str, Name]) -> None:
    """Refuse two files of one recipe that would get the same name.

    Args:
        names: The published name of each file of the recipe.

    Raises:
        UsageError: It names both.
    """
    seen: dict[str, str] = {}
    for file, name in names.items():
        other = seen.setdefault(name.stem.casefold(), file)
        if other != file:
            raise UsageError(
                f"{other} and {file} would both be published as {name.file}",
                "Give one of the two another 'name' in the recipe, of letters, digits and '_'.",
            )
