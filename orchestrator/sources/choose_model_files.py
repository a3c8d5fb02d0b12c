"""Which files of a model repository are wanted: one weight format and what describes it.

Pure: it works on a listing. Reading the Hub is :mod:`orchestrator.sources.hub.download`'s work.
"""

from __future__ import annotations

import difflib
import fnmatch
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from orchestrator.base import json_text, units
from orchestrator.base.errors import StepError, UsageError
from orchestrator.base.near_match import near


@dataclass(frozen=True)
class HubFile:
    """One file of a repository at a commit.

    Attributes:
        path: Path in the repository, with slashes; never absolute, never with ``..``.
        size: Size in bytes.
        sha256: SHA-256 of the content where the Hub keeps the file in LFS, else None.
        blob_id: The git blob id of the content where the file is in git itself, else None.
    """

    path: str
    size: int
    sha256: str | None
    blob_id: str | None

    @property
    def digest(self) -> str:
        """What names the file in the Hub cache: the one of both digests that it has."""
        return self.sha256 or self.blob_id or ""


@dataclass(frozen=True)
class Selection:
    """The wanted files: ``weights`` of one ``weight_format``, and ``others`` (small).

    ``left_out`` is the name of a quantized file for which larger weights were taken, if any;
    ``beside`` that of the first of the model's files in another layout, which are left out too.
    """

    weights: tuple[HubFile, ...]
    others: tuple[HubFile, ...]
    weight_format: str
    left_out: str = ""
    beside: str = ""

    def within(self, folder: str) -> Selection:
        """The same by the paths that the files of a repository's folder have in it."""
        placed = [
            tuple(replace(file, path=folder + file.path) for file in files)
            for files in (self.weights, self.others)
        ]
        return replace(self, weights=placed[0], others=placed[1])

    @property
    def paths(self) -> tuple[str, ...]:
        """The paths of all wanted files, the small ones first."""
        return tuple(file.path for file in self.others + self.weights)


# Single file, shard index and shards of each format, in order of preference. An index whose
# shards are there comes before a lone file, as in the converters, which go by the index.
SAFETENSORS = "model.safetensors"
_FORMATS = {
    "safetensors": (SAFETENSORS, "model.safetensors.index.json"),
    "bin": ("pytorch_model.bin", "pytorch_model.bin.index.json"),
    "mistral": ("consolidated.safetensors", "consolidated.safetensors.index.json"),
}
_AUTO = ("safetensors", "bin")
# The layouts of a model's makers, Mistral and Meta, and the one that transformers reads.
_OWN = re.compile(r"(original/)?consolidated[.-]([\w-]+\.)*(safetensors|pth)")
_COMMON = re.compile(r"(model|pytorch_model)(-\d{5}-of-\d{5})?\.(safetensors|bin)")
_ADAPTER = "adapter_config.json"
# Forms of one model that differ by less hold numbers of the same width.
_SAME_SIZE = 0.9
_SHARD = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})(?P<end>\.\w+)")
_TEXT = {".json", ".txt", ".model", ".jinja", ".tiktoken", ".bpe"}
_PAPERS = re.compile(r"(readme|licen[cs]e|notice|use_policy|copying)([._-].*)?", re.IGNORECASE)
_TEMPLATES = "additional_chat_templates"
# How an embedding model of sentence-transformers makes one vector of all tokens': converters
# follow modules.json to it.
_POOLING = re.compile(r"\d+_Pooling/config\.json")


def safe_path(path: str) -> bool:
    """Tell whether a repository path stays inside the folder it is written to."""
    parts = path.split("/")
    bad = {"", ".", ".."}
    return not (bad & set(parts) or "\\" in path or ":" in path or "\0" in path)


def is_weights(path: str) -> bool:
    """Tell whether a file may be of any size: it is no configuration, tokenizer, text or code."""
    name = PurePosixPath(path)
    return name.suffix not in {*_TEXT, ".py", ".md"} and not _PAPERS.fullmatch(name.name)


def select(
    files: Sequence[HubFile],
    *,
    weights: str = "auto",
    trust_remote_code: bool = False,
    read_index: Callable[[str], bytes],
    quantized: Callable[[str], bool],
) -> Selection:
    """Choose one weight format, its shards, and the configuration and tokenizer files.

    Args:
        files: The listing of the repository.
        weights: ``auto`` (safetensors before .bin), ``safetensors``, ``bin`` or ``mistral``.
        trust_remote_code: Whether the repository's ``*.py`` are wanted too.
        read_index: Returns the content of a shard index named in ``files``.
        quantized: Tells whether a safetensors file in ``files`` holds quantized weights; asked
            where a lone one is smaller than the .bin files beside it.

    Raises:
        UsageError: There are no weights of the wanted format.
        StepError: A shard index is damaged, or names a file that is not there.
    """
    by_path = {file.path: file for file in files}
    wanted = _AUTO if weights == "auto" else (weights,)
    left_out = ""
    if weights == "auto":
        left_out = _quantized_copy(by_path, read_index, quantized)
        by_path.pop(left_out, None)
    for name in wanted:
        chosen = _weights(by_path, name, read_index)
        if chosen:
            kept, index = chosen
            others = _others(files, index, trust_remote_code)
            aside = other_layout((file.path for file in files), name)
            return Selection(kept, others, name, left_out, aside)
    raise _no_weights(files, wanted)


def select_adapter(files: Sequence[HubFile]) -> Selection:
    """Choose the weights of an adapter that peft saved, and its configuration.

    Raises:
        UsageError: One of the two is missing.
    """
    by_path = {file.path: file for file in files}
    for kind in ("safetensors", "bin"):
        weights, config = by_path.get(f"adapter_model.{kind}"), by_path.get(_ADAPTER)
        if weights and config:
            return Selection((weights,), (config,), kind)
    raise UsageError(
        f"This is no LoRA adapter: it has no {_ADAPTER} with adapter_model.safetensors or .bin.",
        "Name the folder or the repository that peft saved it in.",
    )


def select_files(files: Sequence[HubFile], patterns: Sequence[str]) -> tuple[HubFile, ...]:
    """Choose files by name or glob pattern; every pattern must match at least one file."""
    for pattern in patterns:
        if not any(_matches(file.path, pattern) for file in files):
            raise _no_match(files, pattern)
    return tuple(f for f in files if any(_matches(f.path, pattern) for pattern in patterns))


def inside(files: Sequence[HubFile], folder: str) -> tuple[HubFile, ...]:
    """The files of a repository's folder, by their paths in it; of an empty one all.

    Raises:
        UsageError: There is no such folder.
    """
    start = f"{folder}/" if folder else ""
    found = [one for one in files if one.path.startswith(start)]
    if not found:
        there = {str(one) for file in files for one in PurePosixPath(file.path).parents} - {"."}
        raise no_folder("The repository", folder, there)
    return tuple(replace(one, path=one.path.removeprefix(start)) for one in found)


def no_folder(where: str, folder: str, there: Collection[str]) -> UsageError:
    """The error for a folder that is not among those that are there."""
    some = ", ".join(sorted(there)[:8])
    return UsageError(
        f"{where} has no folder {folder!r}{near(folder, sorted(there))}",
        f"It has {some}." if some else "It has no folders: leave 'subfolder' out.",
    )


def other_layout(paths: Iterable[str], name: str) -> str:
    """The first file of another layout than that of weights in this format; empty if none."""
    other = _COMMON if name == "mistral" else _OWN
    return min(filter(other.fullmatch, paths), default="")


def _matches(path: str, pattern: str) -> bool:
    return path == pattern or fnmatch.fnmatchcase(path, pattern)


def _weights(
    by_path: dict[str, HubFile], name: str, read_index: Callable[[str], bytes]
) -> tuple[tuple[HubFile, ...], str] | None:
    single, index = _FORMATS[name]
    shards = _shards(index, read_index(index)) if index in by_path else []
    missing = [shard for shard in shards if shard not in by_path]
    if shards and not missing:
        return tuple(by_path[shard] for shard in shards), index
    if missing and single not in by_path:
        raise _incomplete(f"{index} names {units.plural(len(shards), 'file')}", missing)
    return _without_index(by_path, single)


def _quantized_copy(
    by_path: dict[str, HubFile],
    read_index: Callable[[str], bytes],
    quantized: Callable[[str], bool],
) -> str:
    """The one safetensors file, if it is a quantized form of the .bin files; empty if not.

    Both are often the same weights, and .bin may be in float32: so sizes alone say nothing.
    """
    lone = by_path.get(SAFETENSORS)
    try:
        ours = _weights(by_path, "safetensors", read_index) if lone else None
        theirs = _weights(by_path, "bin", read_index) if ours and ours[0] == (lone,) else None
    except StepError:  # an upload of which one form is incomplete
        theirs = None
    if not theirs:
        return ""
    smaller = by_path[SAFETENSORS].size < _SAME_SIZE * sum(file.size for file in theirs[0])
    return SAFETENSORS if smaller and quantized(SAFETENSORS) else ""


def _without_index(
    by_path: dict[str, HubFile], single: str
) -> tuple[tuple[HubFile, ...], str] | None:
    """Shards whose names say how many there are: converters take them without an index.

    A lone file is taken where they are not all there; beside them it is often a quantized one.
    """
    stem, end = PurePosixPath(single).stem, PurePosixPath(single).suffix
    named = filter(None, map(_SHARD.fullmatch, by_path))
    counts = {int(one["count"]) for one in named if one["stem"] == stem and one["end"] == end}
    lone = ((by_path[single],), "") if single in by_path else None
    if not counts:
        return lone
    count = max(counts)
    shards = [f"{stem}-{at:05}-of-{count:05}{end}" for at in range(1, count + 1)]
    missing = [shard for shard in shards if shard not in by_path]
    if missing and lone:
        return lone
    if missing:
        raise _incomplete(
            f"The names of {stem}-*{end} speak of {units.plural(count, 'file')}", missing
        )
    return tuple(by_path[shard] for shard in shards), ""


def _incomplete(what: str, missing: Sequence[str]) -> StepError:
    return StepError(
        f"{what}, of which the repository lacks: {', '.join(missing[:3])}.",
        "The upload or the download of the model is incomplete.",
    )


def _shards(index: str, content: bytes) -> list[str]:
    try:
        table = json_text.parse(content)["weight_map"]
        names = {str(name) for name in table.values()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StepError(
            f"{index} is not a shard index ({type(error).__name__}).",
            "It must be JSON with a weight_map from tensor names to file names.",
        ) from error
    if not names:
        raise StepError(f"{index} names no shards.", "Choose another revision of the model.")
    return sorted(names)


def _others(files: Sequence[HubFile], index: str, code: bool) -> tuple[HubFile, ...]:
    return tuple(f for f in files if f.path == index or _describes(PurePosixPath(f.path), code))


def _describes(path: PurePosixPath, code: bool) -> bool:
    """Tell whether a file is configuration, tokenizer, licence or (if trusted) code."""
    if path.suffix == ".py":
        return code
    if path.name.endswith(".index.json"):
        return False  # the chosen one is kept by name; another one would confuse converters
    if len(path.parts) > 1:
        template = path.parts[0] == _TEMPLATES and path.suffix == ".jinja"
        return template or _POOLING.fullmatch(str(path)) is not None
    return path.suffix in _TEXT or bool(_PAPERS.fullmatch(path.name)) or _tokenizer(path.name)


def _tokenizer(name: str) -> bool:
    # tokenizer.model.v3 and the like; not tokenizer.safetensors or an image
    return re.fullmatch(r"tokenizer\.model\.v\d+", name) is not None


def _no_weights(files: Sequence[HubFile], wanted: Sequence[str]) -> UsageError:
    if any(file.path == _ADAPTER for file in files):
        return UsageError(
            f"This is a LoRA adapter ({_ADAPTER}), not a model.",
            "Name its base model too, and it is merged: 'model: {base: ..., lora: [...]}'.",
        )
    own = other_layout((file.path for file in files), wanted[0])
    if own.startswith("consolidated") and own.endswith(".safetensors"):
        return UsageError(
            f"The model is in Mistral's own layout alone ({own}).",
            "Say 'format: mistral' on the model, if the tool chain's converter reads it.",
        )
    if own and wanted == ("mistral",):
        return UsageError(
            f"The model is in the layout of transformers alone ({own}).",
            "Leave 'format: mistral' out.",
        )
    if own.endswith(".pth"):
        return UsageError(
            f"The model is in Meta's original layout alone ({own}).",
            "Name its repository in the layout of transformers, or convert it with transformers' "
            "convert_llama_weights_to_hf.py; old tool chains read a folder as 'format: pth'.",
        )
    known = [name for kind in wanted for name in _FORMATS[kind]]
    nested = [PurePosixPath(file.path) for file in files if file.path.endswith(tuple(known))]
    if found := sorted({str(path.parent) for path in nested if path.name in known}):
        return UsageError(
            f"There are no weights to convert here, but in folders: {', '.join(found[:8])}.",
            f"Say which is meant, as in 'subfolder: {found[0]}'.",
        )
    names = " or ".join(known)
    heavy = sorted((f for f in files if not _describes(PurePosixPath(f.path), True)), key=_size)
    there = ", ".join(f.path for f in reversed(heavy[-5:])) or "no large files"
    return UsageError(
        f"The repository has no weights to convert: none of {names}.",
        f"It has {there}; name a file of it, or choose another repository.",
    )


def _size(file: HubFile) -> int:
    return file.size


def _no_match(files: Sequence[HubFile], pattern: str) -> UsageError:
    paths = [file.path for file in files]
    near = difflib.get_close_matches(pattern, paths, n=1)
    hint = f"Did you mean {near[0]!r}?" if near else f"It has {', '.join(paths[:8]) or 'no files'}."
    return UsageError(f"The repository has no file that matches {pattern!r}.", hint)
