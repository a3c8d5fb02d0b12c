"""A published GGUF file's header as the recipe that would make the file; pure.

What the header does not say is written as a comment, never guessed in silence. Texts of the
header come from strangers: they are quoted as values and kept to one line in comments.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from orchestrator.base.step_values import JSON
from orchestrator.modelfiles import gguf
from orchestrator.modelfiles.gguf_file_types import PLAIN

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_REPOSITORY = re.compile(r"(?:https?://(?:www\.)?huggingface\.co/)?([\w.-]+/[\w.-]+)/?", re.ASCII)
_PLAIN_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*")
_YAML_WORDS = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})
_SOURCE_KEYS = (
    "general.source.huggingface.repository",
    "general.source.repo_url",
    "general.repo_url",
    "general.source.url",
    "general.url",
)
_BASE_KEY = re.compile(r"general\.base_model\.\d+\.repo_url")
_SHOWN = 200


@dataclass(frozen=True)
class Given:
    """What the user says of a file: where its model and calibration text are, if at all."""

    model: Mapping[str, JSON] | None = None
    corpus: Mapping[str, JSON] | None = None


@dataclass(frozen=True)
class File:
    """A published file: its name, digest, header, and the quantizer's explanation of it.

    ``family`` is what recipes call its architecture; empty when no family is known.
    """

    name: str
    sha256: str
    header: gguf.GGUF
    facts: Mapping[str, JSON]
    family: str = ""

    def text(self, key: str) -> str:
        """A text of the header, or an empty one."""
        found = self.header.metadata.get(key)
        return found if isinstance(found, str) else ""

    @property
    def imatrix(self) -> bool:
        """Whether the quantizer wrote that it used an importance matrix."""
        return any(key.startswith("quantize.imatrix.") for key in self.header.metadata)

    @property
    def outtype(self) -> str:
        """What the file was probably quantized from: tensors that stayed as they were."""
        census = gguf.census(self.header)
        if self.facts["type"] in PLAIN:
            return str(self.facts["type"]).lower()
        return "bf16" if census.get("BF16", 0) > census.get("F16", 0) else "f16"


def recipe(file: File, given: Given) -> str:
    """The text of the recipe, with what is not known as comments."""
    parts = [_head(file), _model(file, given), _convert(file), _imatrix(file, given)]
    parts += [_quantize(file, given), _published(file)]
    return "\n".join(line for part in parts for line in part) + "\n"


def _head(file: File) -> Iterator[str]:
    census = ", ".join(f"{count} {kind}" for kind, count in gguf.census(file.header).items())
    architecture = file.text("general.architecture")
    yield f"# Read from {_line(file.name)}: {census}."
    yield "# The types below were checked with the pinned quantizer; what the file does not"
    yield "# say is marked with 'Not known'."
    yield f"name: {_word(_recipe_name(file))}"
    if not file.family:
        yield f"# The architecture {_line(architecture)!r} is none of the families: said as llama."
    yield f"family: {_word(file.family or 'llama')}"
    yield f"description: {_word('What would make ' + _line(file.name))}"
    version = file.header.metadata.get("general.quantization_version", "none")
    yield f"# Not known: which llama.cpp made it (the header says quantization version {version})."
    yield "# If other bytes come out, try 'toolchain: {name: llama.cpp, commit: ...}'."
    yield "toolchain: llama.cpp"


def _recipe_name(file: File) -> str:
    """The file's name without its type, which the recipe's own files get back."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", file.name.removesuffix(".gguf"))
    bare = re.sub(rf"[-._]{re.escape(str(file.facts['type']))}$", "", stem, flags=re.IGNORECASE)
    return bare.strip("-._")[:80] or "adopted"


def _model(file: File, given: Given) -> Iterator[str]:
    yield "model:"
    yield from _said_sources(file)
    if given.model is not None:
        yield from _mapping(given.model, "  ")
        return
    found = _repository(file)
    if found:
        yield f"  hub: {_word(found)}"
        yield "  # Not known: which revision; a branch moves, a full commit does not."
        yield "  revision: main"
        return
    yield "  # Not known: the model. Until it is said here (or with --model), the file itself"
    yield "  # stands in, and quantizing it once more proves nothing."
    yield f"  path: {_word(str(file.header.path))}"
    yield "  format: gguf"


def _said_sources(file: File) -> Iterator[str]:
    """What the header says about where the model came from."""
    for key in sorted(file.header.metadata):
        if key in _SOURCE_KEYS or key.startswith(("general.base_model.", "general.source.")):
            value = file.header.metadata[key]
            if not isinstance(value, gguf.ArrayInfo):
                yield f"  # {_line(key)}: {_line(str(value))}"


def _repository(file: File) -> str:
    """The model's own repository, or of the one that it says it is made from."""
    bases = sorted(key for key in file.header.metadata if _BASE_KEY.fullmatch(key))
    for key in (*_SOURCE_KEYS, *(bases if len(bases) == 1 else ())):
        found = _REPOSITORY.fullmatch(file.text(key))
        if found:
            return found[1]
    return ""


def _convert(file: File) -> Iterator[str]:
    name = file.text("general.name")
    yield "convert:"
    if file.facts["type"] not in PLAIN:
        yield "  # Not known: the type of the file that was quantized."
    yield f"  outtype: {file.outtype}"
    if _NAME.fullmatch(name):
        yield f"  model_name: {_word(name)}"
    elif name:
        yield f"  # The file calls the model {_line(name)!r}; a name given here cannot have spaces,"
        yield "  # so general.name will differ."


def _imatrix(file: File, given: Given) -> Iterator[str]:
    if not file.imatrix:
        return
    said = {
        key: value
        for key, value in file.header.metadata.items()
        if key.startswith("quantize.imatrix.")
    }
    for key, value in said.items():
        yield f"# {_line(key)}: {_line(str(value))}"
    chunks = said.get("quantize.imatrix.chunks_count")
    number = chunks if isinstance(chunks, int) and 0 < chunks < 1 << 31 else 100
    if given.corpus is None:
        yield "# Not known: the calibration text itself; with it (--corpus FILE) this would be"
        yield f"# imatrix: {{corpus: FILE, chunks: {number}}}"
        return
    if said.get("quantize.imatrix.file") != "imatrix.gguf":
        yield "# The path of the matrix is in the header of the file; ours says 'imatrix.gguf'."
    yield "imatrix:"
    yield "  corpus:"
    yield from _mapping(given.corpus, "    ")
    yield f"  chunks: {number}"
    yield "  # Not known: the context; 512 is the tool's default."
    yield "  context: 512"


def _quantize(file: File, given: Given) -> Iterator[str]:
    kind = str(file.facts["type"])
    if kind in PLAIN:
        yield "# The file is what the converter writes; nothing is quantized."
        yield "quantize: []"
        return
    yield "quantize:"
    yield f"  - type: {_word(kind)}"
    if file.imatrix and given.corpus is not None:
        yield "    imatrix: true"
    elif file.imatrix:
        yield "    # imatrix: true"
    yield from _mapping(file.facts["options"], "    ")
    if file.facts["fallbacks"]:
        yield "    allow_fallback: true"
    for name in (*file.facts["unexplained"], *file.facts["fixed"]):
        yield f"    # The pinned quantizer cannot give {_line(name)} its type."


def _published(file: File) -> Iterator[str]:
    yield "verify: {speed: false}"
    yield "published:"
    yield f"  - file: {_word(_line(file.name))}"
    yield f"    name: {_word(str(file.facts['type']))}"
    yield f"    size: {file.header.file_size}"
    yield f"    sha256: {file.sha256}"


def _mapping(values: Mapping[str, JSON], indent: str) -> Iterator[str]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield f"{indent}{_word(name)}:"
            yield from _mapping(value, indent + "  ")
        elif isinstance(value, bool):
            yield f"{indent}{_word(name)}: {'true' if value else 'false'}"
        else:
            yield f"{indent}{_word(name)}: {_word(str(value))}"


def _word(text: str) -> str:
    """A text as YAML: plain where that is safe, else quoted; JSON's strings are YAML too."""
    if _PLAIN_WORD.fullmatch(text) and text.lower() not in _YAML_WORDS:
        return text
    simple = text.isascii() and text.isprintable() and "'" not in text
    return f"'{text}'" if simple else json.dumps(text)


def _line(text: str) -> str:
    """A stranger's text on one line, printable and not too long."""
    flat = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return flat if len(flat) <= _SHOWN else flat[: _SHOWN - 1] + "…"
