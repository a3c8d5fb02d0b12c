"""A published GGUF file's header as the recipe that would make the file; pure.

What the header does not say is written as a comment, never guessed in silence.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.base import safe_text
from orchestrator.base.step_values import JSON
from orchestrator.modelfiles import gguf
from orchestrator.modelfiles.gguf_file_types import PLAIN
from orchestrator.recipe.field_types import MODEL_NAME
from orchestrator.toolchain.artifact_file_names import IMATRIX_FILE
from orchestrator.workflows.drafting import recipe_yaml

_REPOSITORY = re.compile(r"(?:https?://(?:www\.)?huggingface\.co/)?([\w.-]+/[\w.-]+)/?", re.ASCII)
_SOURCE_KEYS = (
    "general.source.huggingface.repository",
    "general.source.repo_url",
    "general.repo_url",
    "general.source.url",
    "general.url",
)
_BASE_KEY = re.compile(r"general\.base_model\.\d+\.repo_url")
_MATRIX = "quantize.imatrix."
_LONGEST_TEXT = 127


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
    def outtype(self) -> str:
        """What the file was probably quantized from: tensors that stayed as they were."""
        counts = gguf.type_counts(self.header)
        if self.facts["type"] in PLAIN:
            return str(self.facts["type"]).lower()
        return "bf16" if counts.get("BF16", 0) > counts.get("F16", 0) else "f16"


def recipe(file: File, given: Given) -> str:
    """The text of the recipe, with what is not known as comments."""
    metadata = file.header.metadata
    matrix = {key: value for key, value in metadata.items() if key.startswith(_MATRIX)}
    values = {
        "file": file,
        "given": given,
        "tensor_types": ", ".join(
            f"{count} {kind}" for kind, count in gguf.type_counts(file.header).items()
        ),
        "name": _recipe_name(file),
        "version": metadata.get("general.quantization_version", "none"),
        "stated": _stated_sources(file),
        "repository": _repository(file),
        "quantized": file.facts["type"] not in PLAIN,
        "model_name": _model_name(file, given),
        "matrix": matrix,
        "recorded_as": _recorded_as(file.text(f"{_MATRIX}file")),
        "chunks": _chunks(matrix),
        "unexplained": (*file.facts["unexplained"], *file.facts["fixed"]),
    }
    return recipe_yaml.render("adopted", values)


def _model_name(file: File, given: Given) -> str:
    """How a recipe says the file's name for the model; empty where it cannot."""
    name = file.text("general.name")
    model = given.model or {"hub": _repository(file)}
    folder = str(model.get("hub") or model.get("path") or "").rpartition("/")[2]
    if name and name == _title(folder):
        return "auto"
    return name if re.fullmatch(MODEL_NAME, name) and name != "auto" else ""


def _title(folder: str) -> str:
    """The name that upstream's converter makes of a folder's."""
    words = folder.replace("-", " ").split()
    plain = re.compile(r"v\d+(\.\d+)*|\d.*")
    return " ".join(
        one.title() if one.islower() and not plain.fullmatch(one) else one for one in words
    )


def _recipe_name(file: File) -> str:
    """The file's name without its type, which the recipe's own files get back."""
    stem = file.name.removesuffix(".gguf")
    bare = re.sub(rf"[-._]{re.escape(str(file.facts['type']))}$", "", stem, flags=re.IGNORECASE)
    return safe_text.file_name(bare, 80) or "adopted"


def _stated_sources(file: File) -> dict[str, JSON]:
    """What the header says about where the model came from."""
    return {
        key: value
        for key, value in sorted(file.header.metadata.items())
        if key in _SOURCE_KEYS or key.startswith(("general.base_model.", "general.source."))
        if not isinstance(value, gguf.ArrayInfo)
    }


def _repository(file: File) -> str:
    """The model's own repository, or of the one that it says it is made from."""
    bases = sorted(key for key in file.header.metadata if _BASE_KEY.fullmatch(key))
    for key in (*_SOURCE_KEYS, *(bases if len(bases) == 1 else ())):
        found = _REPOSITORY.fullmatch(file.text(key))
        if found:
            return found[1]
    return ""


def _recorded_as(path: str) -> str:
    """The path of the matrix, where it is not the usual one and a recipe can say it."""
    sayable = path.isprintable() and len(path.encode()) <= _LONGEST_TEXT
    return path if sayable and path != IMATRIX_FILE else ""


def _chunks(matrix: Mapping[str, JSON]) -> int:
    stated = matrix.get(f"{_MATRIX}chunks_count")
    return stated if isinstance(stated, int) and 0 < stated < 1 << 31 else 100
