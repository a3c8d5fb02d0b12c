"""Ask the Hub about a model: a few small files and the headers of its weights.

No weight is fetched: a model of 140 GB costs some requests, and 48 KiB a weight file.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from functools import partial
from math import prod

from orchestrator.drafting import config as configs
from orchestrator.drafting import licence, refusal
from orchestrator.drafting.config import Config
from orchestrator.drafting.found import Found, Licence, Weights
from orchestrator.errors import StepError, UsageError
from orchestrator.families import Families
from orchestrator.formats import gguf, safetensors
from orchestrator.formats.reader import Reader
from orchestrator.sources.selection import HubFile, Selection, select

_REPO = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
# A configuration or tokenizer of more bytes is no such thing.
_LARGEST_TEXT = 64 << 20
# Unquantized GGUF files by how publishers name them, the most exact first.
_PLAIN_GGUF = ("bf16", "f16", "fp16", "f32", "fp32")
_BYTES = {"f32": 4}


def survey(repo: str, revision: str, chain: str, families: Families) -> Found:
    """Everything that a recipe for a repository needs to know.

    Args:
        repo: ORGANISATION/NAME.
        revision: A branch, a tag or a full commit.
        chain: Name of the tool chain, for messages.
        families: What that converts.

    Raises:
        UsageError: No such repository or revision, or it holds no model to convert.
        EnvironmentProblem: No access, no network.
        StepError: A file of it is damaged.
    """
    from orchestrator.sources import hub  # noqa: PLC0415 - its library is heavy
    from orchestrator.sources.hub_card import card  # noqa: PLC0415 - its library is heavy

    if not _REPO.fullmatch(repo):
        raise UsageError(f"{repo!r} is not a repository name", "Write it as ORGANISATION/NAME.")
    about = card(repo, revision)
    files = hub.listing(repo, about.commit)
    read = partial(_text_file, repo, about.commit, files)
    terms = licence.read(about.metadata, repo, about.commit, gated=about.gated)
    place = (repo, about.commit, revision)
    selection = _selection(files, read, repo)
    if selection is None:
        return _from_gguf(place, files, families, terms, chain)
    config = configs.read(read("config.json"), repo)
    architecture = _known(config, families)
    if not architecture:
        raise refusal.architecture(repo, config, families, chain)
    family = families.architectures[architecture]
    return Found(
        *place,
        file="",
        architecture=architecture,
        family=family,
        silent=family in families.silent,
        chat=_chats(files, read),
        code=config.code,
        quantized=config.quantized,
        vocabulary=config.vocabulary,
        licence=terms,
        weights=_weights(repo, about.commit, selection, config),
    )


def _known(config: Config, families: Families) -> str:
    """The first of a model's names that the converter knows, or an empty one."""
    return next((one for one in config.architectures if one in families.architectures), "")


def _text_file(repo: str, commit: str, files: Sequence[HubFile], path: str) -> bytes:
    """The content of a small file of the repository."""
    from orchestrator.sources import hub  # noqa: PLC0415 - its library is heavy

    size = next((file.size for file in files if file.path == path), 0)
    if size > _LARGEST_TEXT:
        raise StepError(
            f"{path} of {repo} has {size} bytes, too many for what its name says.",
            "Do not use this repository.",
        )
    return hub.read_file(repo, commit, path, listed=files)


def _selection(files: Sequence[HubFile], read: partial[bytes], repo: str) -> Selection | None:
    """The weights to convert; None when there are only GGUF files."""
    names = {file.path for file in files}
    try:
        found = select(files, read_index=read)
    except UsageError:
        found = None
    if found is not None and "config.json" in names:
        return found
    if "adapter_config.json" in names:
        stated = configs.parse(read("adapter_config.json")) or {}
        base = stated.get("base_model_name_or_path", "")
        raise refusal.adapter(repo, base if _REPO.fullmatch(str(base)) else "")
    if any(name.endswith(".gguf") for name in names):
        return None
    if "config.json" not in names:
        raise refusal.no_config(repo, names)
    return select(files, read_index=read)  # raises: it says what is there instead


def _chats(files: Sequence[HubFile], read: partial[bytes]) -> bool:
    """Whether there is a chat template, in one of the places that transformers looks at."""
    names = {file.path for file in files}
    if "chat_template.jinja" in names or "chat_template.json" in names:
        return True
    name = "tokenizer_config.json"
    stated = configs.parse(read(name)) if name in names else None
    return bool(stated and stated.get("chat_template"))


def _weights(repo: str, commit: str, selection: Selection, config: Config) -> Weights:
    size = sum(file.size for file in selection.weights)
    count = len(selection.weights)
    if selection.weight_format == "safetensors":
        paths = [file.path for file in selection.weights]
        return _from_headers(repo, commit, paths, size, packed=bool(config.quantized))
    # Pickled weights say nothing before they are fetched; their size nearly does.
    dtype = config.dtype or "f16"
    parameters = size // _BYTES.get(dtype, 2)
    return Weights(selection.weight_format, count, size, parameters, False, dtype, config.rows)


def _from_headers(
    repo: str, commit: str, paths: Sequence[str], size: int, *, packed: bool
) -> Weights:
    from orchestrator.sources import hub  # noqa: PLC0415 - its library is heavy

    tensors = [
        tensor
        for path, (start, total) in hub.safetensors_headers(repo, commit, paths).items()
        for tensor in safetensors.parse_header(start, total, path).tensors
    ]
    rows = {one.shape[-1] for one in tensors if len(one.shape) == 2 and min(one.shape) > 1}
    kinds = Counter[str]()
    for one in tensors:
        kinds[one.dtype.lower()] += one.n_elements
    dtype = _most(kinds)
    # Methods that pack several weights into a whole number hide how many there are.
    exact = not packed or dtype.startswith(("f", "b"))
    return Weights(
        "safetensors", len(paths), size, kinds.total(), exact, dtype, tuple(sorted(rows))
    )


def _most(kinds: Counter[str]) -> str:
    """The type of most numbers."""
    return kinds.most_common(1)[0][0] if kinds else ""


def _plain_gguf(names: Sequence[str]) -> str:
    """The file that is called unquantized; empty when there is none in one piece."""
    for kind in _PLAIN_GGUF:
        pattern = re.compile(rf"(.*[-._/])?{kind}\.gguf", re.IGNORECASE)
        for name in sorted(names):
            if pattern.fullmatch(name):
                return name
    return ""


def _from_gguf(
    place: tuple[str, str, str],
    files: Sequence[HubFile],
    families: Families,
    terms: Licence,
    chain: str,
) -> Found:
    """A repository of GGUF files: one that is not quantized can be where a recipe starts."""
    from orchestrator.sources import remote  # noqa: PLC0415 - its library is heavy

    repo, commit, _ = place
    names = [file.path for file in files if file.path.endswith(".gguf")]
    name = _plain_gguf(names)
    if not name:
        raise refusal.quantized_only(repo, names)
    source = {"kind": "hub", "repo": repo, "commit": commit, "repo_type": "model", "file": name}
    with remote.opened(source, {}) as (stream, size):
        header = gguf.parse(Reader(stream, name, size))
    architecture = str(header.metadata.get("general.architecture", ""))
    family = families.of_gguf(architecture)
    if not family:
        config = Config((architecture,), "", "", (), 0, False, "")
        raise refusal.architecture(repo, config, families, chain)
    kinds = Counter[str]()
    for one in header.tensors:
        kinds[one.type.lower()] += prod(one.shape)
    dtype = _most(kinds)
    if dtype not in _PLAIN_GGUF:
        raise refusal.misnamed(repo, name, dtype)
    tokens = header.metadata.get("tokenizer.ggml.tokens")
    rows = {one.shape[0] for one in header.tensors if len(one.shape) > 1}
    return Found(
        *place,
        file=name,
        architecture=architecture,
        family=family,
        silent=family in families.silent,
        chat="tokenizer.chat_template" in header.metadata,
        code=False,
        quantized="",
        vocabulary=tokens.count if isinstance(tokens, gguf.ArrayInfo) else 0,
        licence=terms,
        weights=Weights("gguf", 1, size, header.n_elements, True, dtype, tuple(sorted(rows))),
    )
