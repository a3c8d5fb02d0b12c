"""File names by the GGUF naming convention, and such names taken apart; pure.

    <BaseName>-<SizeLabel>-<FineTune>-<Version>-<Encoding>-<Type>-<Shard>.gguf

https://github.com/ggml-org/ggml/blob/master/docs/gguf.md#gguf-naming-convention; the parts
come from the file's own metadata, and a part that the metadata lacks is left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from orchestrator.base import safe_text
from orchestrator.base.errors import UsageError
from orchestrator.modelfiles.gguf import GGUF, Value

SUFFIX = ".gguf"
_NUMBER = r"[0-9]+(?:\.[0-9]+)?"
_SIZE = rf"(?:[0-9]+x)?{_NUMBER}[A-Za-z](?:-[A-Za-z]+{_NUMBER}[A-Za-z]+)?"
_VERSION = r"v[0-9]+(?:\.[0-9]+)*"
_SHARD = r"[0-9]{5}-of-[0-9]{5}"
_ENCODING = r"(?:(?!LoRA$|vocab$)[A-Za-z0-9_]+)"
_WORD = r"[A-Za-z0-9]+(?:\.[A-Za-z0-9]+)*"
_PLAIN = rf"{_WORD}(?:-{_WORD})*"
# Characters of a part; with all parts a name stays below the 255 bytes of most file systems.
_LONGEST, _LONGEST_BASE = 32, 80
_KINDS = {"adapter": "LoRA"}


@dataclass(frozen=True)
class Name:
    """The parts of a file's name; empty ones are left out.

    Attributes:
        base: What the model is called, such as ``Qwen2.5``.
        size: Its parameters, such as ``0.5B`` or ``8x7B``.
        finetune: What it was tuned for, such as ``Instruct``.
        version: Such as ``v0.2``.
        encoding: How its weights are stored, such as ``Q4_K_M``.
        kind: ``LoRA`` or ``vocab`` for files that are no whole model.
        shard: ``00001-of-00003`` for a part of a split file.
    """

    base: str
    size: str = ""
    finetune: str = ""
    version: str = ""
    encoding: str = ""
    kind: str = ""
    shard: str = ""

    @property
    def stem(self) -> str:
        """The name without shard and suffix."""
        parts = (self.base, self.size, self.finetune, self.version, self.encoding, self.kind)
        return "-".join(part for part in parts if part)

    @property
    def file(self) -> str:
        """The whole name."""
        return "-".join(part for part in (self.stem, self.shard) if part) + SUFFIX

    def part(self, number: int, count: int) -> Name:
        """The name of one of ``count`` parts; the first has the number 1."""
        return replace(self, shard=f"{number:05}-of-{count:05}")


def parse(file: str) -> Name | None:
    """Take a file's name apart; None if it does not follow the convention.

    A name says what its parts are only where they look like what they are: a size must be a
    number and a letter, a version starts with ``v``, an encoding is the last word. Without a
    size all other words belong to the base name.
    """
    found = re.fullmatch(
        rf"(?P<rest>{_PLAIN}?)(?:-(?P<version>{_VERSION}))?-(?P<encoding>{_ENCODING})"
        rf"(?:-(?P<kind>LoRA|vocab))?(?:-(?P<shard>{_SHARD}))?\.gguf",
        file,
    )
    if found is None:
        return None
    told = {key: value or "" for key, value in found.groupdict().items()}
    base, size, finetune = _apart(told.pop("rest"))
    return Name(base, size, finetune, **told)


def _apart(text: str) -> tuple[str, str, str]:
    """Base name, size label and fine-tune of the first words of a name."""
    found = re.fullmatch(rf"(?P<base>.+?)-(?P<size>{_SIZE})(?:-(?P<finetune>.+))?", text)
    if found is None:
        return text, "", ""
    return found["base"], found["size"], found["finetune"] or ""


def name_of(header: GGUF, encoding: str, fallback: str) -> Name:
    """The name that a file's metadata asks for.

    Args:
        header: The file's header.
        encoding: Name of the quantization, such as ``Q4_K_M``.
        fallback: What the model is called where the file does not say it: the recipe's name.
    """
    told = header.metadata
    size = _word(told, "general.size_label")
    if not re.fullmatch(_SIZE, size):
        size = ""
    base = _word(told, "general.basename", _LONGEST_BASE)
    finetune, version = _word(told, "general.finetune"), _version(told)
    if not base:
        # A full name mostly holds what has a place of its own already.
        whole = _word(told, "general.name", _LONGEST_BASE) or _clean(fallback, _LONGEST_BASE)
        base = _without(whole, (size, finetune, version)) or whole
    return Name(
        base=base,
        size=size,
        finetune=finetune,
        version=version,
        encoding=re.sub(r"[^A-Za-z0-9]+", "_", encoding).strip("_"),
        kind=_KINDS.get(str(told.get("general.type", "")), ""),
    )


def _word(told: Mapping[str, Value], key: str, longest: int = _LONGEST) -> str:
    value = told.get(key)
    return _clean(value, longest) if isinstance(value, str) else ""


def _clean(text: str, longest: int) -> str:
    """Only what a file name of the convention can hold, and not too much of it."""
    return safe_text.file_name("-".join(re.findall(_WORD, text)), longest)


def _version(told: Mapping[str, Value]) -> str:
    text = _word(told, "general.version").lower()
    text = text if text.startswith("v") else f"v{text}"
    return text if re.fullmatch(_VERSION, text) else ""


def _without(whole: str, parts: Sequence[str]) -> str:
    """A name without the words that stand in other parts."""
    words = whole.split("-")
    gone = {word.casefold() for part in parts for word in part.split("-") if word}
    return "-".join(word for word in words if word.casefold() not in gone)


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
