"""Headers of published GGUF files as the recipe that would make the files; pure.

What the headers do not say is written as a comment, never guessed in silence.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from orchestrator.base import safe_text
from orchestrator.base.step_values import JSON
from orchestrator.modelfiles import gguf
from orchestrator.modelfiles.gguf_file_types import PLAIN
from orchestrator.recipe.field_types import MODEL_NAME
from orchestrator.toolchain.artifact_file_names import IMATRIX_FILE
from orchestrator.workflows.drafting import recipe_yaml

_PART = re.compile(r"-\d{5}-of-\d{5}$")
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


@dataclass(frozen=True)
class Guesses:
    """What is likely and not certain, with the reasons; empty where nothing is known.

    Attributes:
        commit: Of llama.cpp; empty for the pinned one.
        commit_reasons: Why that one.
        bases: The repositories that a card says the files were made from.
        revision: The full commit of the one base.
        revision_reason: Why that one.
    """

    commit: str = ""
    commit_reasons: tuple[str, ...] = ()
    bases: tuple[str, ...] = ()
    revision: str = ""
    revision_reason: str = ""


@dataclass(frozen=True)
class Given:
    """What is known beside the headers.

    Attributes:
        model: Where the user says that the model is.
        corpus: Where the user says that the calibration text is.
        matrices: The importance matrices that were published too.
        where: ``hub`` and ``revision`` of the published files, or their ``folder``.
        left_out: Files that the recipe does not make, and why.
        guesses: What is likely.
    """

    model: Mapping[str, JSON] | None = None
    corpus: Mapping[str, JSON] | None = None
    matrices: tuple[Mapping[str, JSON], ...] = ()
    where: Mapping[str, str] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)
    guesses: Guesses = field(default_factory=Guesses)


@dataclass(frozen=True)
class File:
    """A published file: its name, its parts, header, and the quantizer's explanation of it.

    ``family`` is what recipes call its architecture; empty when no family is known.
    """

    name: str
    digests: Mapping[str, str]
    size: int
    header: gguf.GGUF
    facts: Mapping[str, JSON]
    family: str = ""

    @property
    def stem(self) -> str:
        """Its name without folders, the number of a part and the suffix."""
        return _PART.sub("", PurePosixPath(self.name).name.removesuffix(".gguf"))

    @property
    def sha256(self) -> str:
        """Of a file in one piece; empty for one in parts."""
        return next(iter(self.digests.values())) if len(self.digests) == 1 else ""

    @property
    def types(self) -> str:
        """How many tensors there are of each type, in words."""
        return ", ".join(f"{n} {kind}" for kind, n in gguf.type_counts(self.header).items())

    @property
    def matrix(self) -> dict[str, JSON]:
        """What the header says of the importance matrix."""
        found = self.header.metadata.items()
        return {key: value for key, value in found if key.startswith(_MATRIX)}

    @property
    def plain(self) -> bool:
        """Whether the converter wrote it and nothing quantized it."""
        return self.facts["type"] in PLAIN

    @property
    def unexplained(self) -> tuple[str, ...]:
        """Tensors whose types no option of the pinned quantizer gives."""
        return (*self.facts["unexplained"], *self.facts["fixed"])

    def text(self, key: str) -> str:
        """A text of the header, or an empty one."""
        found = self.header.metadata.get(key)
        return found if isinstance(found, str) else ""


def recipe(files: Sequence[File], given: Given) -> str:
    """The text of the recipe of files of one model, with what is not known as comments."""
    first = files[0]
    model, notes = _model(first, given)
    name = first.text("general.name")
    outtype = _outtype(files)
    made = [one for one in files if str(one.facts["type"]).lower() != outtype]
    stem = _stem(files)
    names = _names(made, stem)
    matrices = {tuple(one.matrix.items()): one.matrix for one in files if one.matrix}
    matrix = next(iter(matrices.values()), {})
    beside = given.matrices[0] if given.matrices and given.corpus is None else None
    values = {
        "files": files,
        "given": given,
        "guesses": given.guesses,
        "name": safe_text.file_name(stem, 80) or "adopted",
        "family": first.family,
        "architecture": first.text("general.architecture"),
        "version": first.header.metadata.get("general.quantization_version", "none"),
        "stated": _stated_sources(first),
        "model": model,
        "model_notes": notes,
        "outtype": outtype,
        "outtype_known": all(one.plain for one in files),
        "general_name": name,
        "model_name": _model_name(name, model),
        "matrix": matrix,
        "recorded_as": _recorded_as(str(matrix.get(f"{_MATRIX}file", "")), _own(beside)),
        "several_matrices": len(matrices) > 1,
        "beside": beside,
        "weighs": bool(matrix) and (given.corpus is not None or beside is not None),
        "chunks": _chunks(matrix),
        "made": [(one, names[one.name]) for one in made],
        "names": {one.name: names.get(one.name, outtype.upper()) for one in files},
    }
    return recipe_yaml.render("adopted", values)


def _model_name(name: str, model: Mapping[str, JSON]) -> str:
    """How a recipe says the files' name for the model; empty where it cannot."""
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


def _outtype(files: Sequence[File]) -> str:
    """What the files were probably quantized from: tensors that stayed, or a file beside them."""
    plain = [str(one.facts["type"]) for one in files if one.plain]
    counts: dict[str, int] = {}
    for one in files:
        for kind, count in ({} if one.plain else gguf.type_counts(one.header)).items():
            counts[kind] = counts.get(kind, 0) + count
    if counts.get("BF16", 0) > counts.get("F16", 0):
        return "bf16"
    best = [kind for kind in ("F16", "BF16", "F32") if kind in plain]
    return best[0].lower() if best else "f16"


def _stem(files: Sequence[File]) -> str:
    """What the names of all files begin with, without a type, which recipes' files get back."""
    first = files[0]
    if len(files) == 1:
        kind = re.escape(str(first.facts["type"]))
        return re.sub(rf"[-._]{kind}$", "", first.stem, flags=re.IGNORECASE)
    # Letter by letter, for names without a type have the start of a type in common.
    start = os.path.commonprefix([one.stem for one in files])  # noqa: RUF071
    return re.sub(r"[-.][^-.]*$", "", start) if not start.endswith(("-", ".")) else start[:-1]


def _names(files: Sequence[File], stem: str) -> dict[str, str]:
    """What the recipe calls each file: its type, or what its name says where that is taken."""
    found: dict[str, str] = {}
    for one in sorted(files, key=lambda one: len(one.stem)):
        name = str(one.facts["type"])
        if name in found.values():
            rest = safe_text.file_name(one.stem.removeprefix(stem).strip("-._"), 60)
            name = rest if rest and rest not in found.values() else f"{name}-{len(found)}"
        found[one.name] = name
    return found


def _stated_sources(file: File) -> dict[str, JSON]:
    """What the header says about where the model came from."""
    return {
        key: value
        for key, value in sorted(file.header.metadata.items())
        if key in _SOURCE_KEYS or key.startswith(("general.base_model.", "general.source."))
        if not isinstance(value, gguf.ArrayInfo)
    }


_NO_REVISION = "Not known: which revision; a branch moves, a full commit does not."


def _model(file: File, given: Given) -> tuple[Mapping[str, JSON], list[str]]:
    """Where the model is, as the recipe says it, and what is to be said of that."""
    guesses, stated = given.guesses, _repository(file, _SOURCE_KEYS)
    if given.model is not None:
        return given.model, []
    if not stated and len(guesses.bases) == 1:
        why = f"Guess: {guesses.revision_reason}." if guesses.revision else _NO_REVISION
        return {"hub": guesses.bases[0], "revision": guesses.revision or "main"}, [why]
    if stated:
        return {"hub": stated, "revision": "main"}, [_NO_REVISION]
    keys = sorted(key for key in file.header.metadata if _BASE_KEY.fullmatch(key))
    base = _repository(file, keys) if len(keys) == 1 else ""
    if base:
        guess = "Guess: what the header calls the base may be the model's own base, not the model."
        return {"hub": base, "revision": "main"}, [guess, _NO_REVISION]
    place = {**given.where, "file": file.name}
    if "folder" in given.where:
        place = {"path": f"{given.where['folder']}/{file.name}"}
    unknown = (
        "Not known: the model. Until it is said here (or with --model), the file itself",
        "stands in, and quantizing it once more proves nothing.",
    )
    return {**place, "format": "gguf"}, [*unknown]


def _repository(file: File, keys: Sequence[str]) -> str:
    """The first repository that one of the header's keys names."""
    found = (_REPOSITORY.fullmatch(file.text(key)) for key in keys)
    return next((one[1] for one in found if one), "")


def _own(beside: Mapping[str, JSON] | None) -> str:
    """What a recipe writes for a matrix into headers if it does not say otherwise."""
    if beside is None:
        return IMATRIX_FILE
    return PurePosixPath(str(beside.get("file") or beside.get("path"))).name


def _recorded_as(path: str, own: str) -> str:
    """The path of the matrix, where it is not the usual one and a recipe can say it."""
    sayable = path.isprintable() and len(path.encode()) <= gguf.OVERRIDE_TEXT
    return path if sayable and path != own else ""


def _chunks(matrix: Mapping[str, JSON]) -> int:
    stated = matrix.get(f"{_MATRIX}chunks_count")
    return stated if isinstance(stated, int) and 0 < stated < 1 << 31 else 100
