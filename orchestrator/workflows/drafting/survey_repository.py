"""Ask the Hub about a model: a few small files and the headers of its weights.

No weight is fetched: a model of 140 GB costs some requests, and 48 KiB a weight file.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from urllib.parse import unquote

from orchestrator.base.errors import StepError, UsageError
from orchestrator.base.step_values import JSON
from orchestrator.modelfiles import safetensors
from orchestrator.modelfiles.merging import lora
from orchestrator.sources.choose_model_files import (
    HubFile,
    Selection,
    inside,
    select,
    select_adapter,
)
from orchestrator.toolchain.families import Families
from orchestrator.toolchain.load import ToolChain
from orchestrator.workflows.drafting import (
    gguf_only_repository,
    licence_of_card,
    model_config,
    unsupported_repository,
)
from orchestrator.workflows.drafting.model_config import Config
from orchestrator.workflows.drafting.survey_findings import (
    REPOSITORY,
    Adapter,
    Found,
    Weights,
    tally,
)

# A configuration or tokenizer of more bytes is no such thing.
_LARGEST_TEXT = 64 << 20
_PAGE = re.compile(
    r"https?://(?:huggingface\.co|hf\.co)/(?!datasets/|spaces/)(?P<repo>[^/?#]+/[^/?#]+)"
    r"(?:/(?:(?P<tree>tree)|blob|resolve|commit)/(?P<revision>[^/?#]+)(?P<rest>[^?#]*))?[/?#]?.*"
)
_USUAL = "main"
_CARD, _LARGEST_CARD = "README.md", 1 << 20
_BYTES = {"f32": 4}
# The Hub's tags of what encoders do.
_RANKS, _EMBEDS = "text-ranking", ("sentence-similarity", "feature-extraction")


def named(text: str, revision: str) -> tuple[str, str, str]:
    """The repository, the revision and the folder that are meant by a name, or by a page.

    A page of a branch or a commit names that, unless a ``revision`` is given, and its folder;
    what is no page may have the folder behind the repository's name.
    """
    page = _PAGE.fullmatch(text)
    if page is None:
        owner, name, folder = [*text.split("/", 2), "", ""][:3]
        repo = f"{owner}/{name}"
        if not folder or not REPOSITORY.fullmatch(repo):
            return text, revision or _USUAL, ""
        return repo, revision or _USUAL, folder.rstrip("/")
    folder = unquote(page["rest"] or "").strip("/") if page["tree"] else ""
    return page["repo"], revision or page["revision"] or _USUAL, folder


def survey(
    repo: str, revision: str, chain: ToolChain, families: Families, folder: str = ""
) -> Found:
    """Everything that a recipe for a repository needs to know.

    Args:
        repo: ORGANISATION/NAME.
        revision: A branch, a tag or a full commit.
        chain: The tool chain that is to convert it.
        families: What that converts.
        folder: The folder of the repository that the model is in.

    Raises:
        UsageError: No such repository, revision or folder, or it holds no model to convert.
        EnvironmentProblem: No access, no network.
        StepError: A file of it is damaged.
    """
    from orchestrator.sources.hub import download  # noqa: PLC0415 - its library is heavy
    from orchestrator.sources.hub.repository_info import card  # noqa: PLC0415 - its library is heavy

    if not REPOSITORY.fullmatch(repo):
        raise UsageError(f"{repo!r} is not a repository name", "Write it as ORGANISATION/NAME.")
    about = card(repo, revision)
    listed = download.listing(repo, about.commit)
    files, start = inside(listed, folder), f"{folder}/" if folder else ""
    read = partial(_text_file, repo, about.commit, listed, start)
    stated = about.metadata or _front_matter(files, read, repo)
    terms = licence_of_card.read(stated, repo, about.commit, gated=about.gated)
    selection = _whole(files, read, repo, about.commit, start)
    if isinstance(selection, tuple):
        adapter = Adapter(repo, about.commit, revision)
        return _adapted(survey(*selection, chain, families), adapter, free=terms.free)
    if selection is None:
        place = gguf_only_repository.Place(repo, about.commit, revision, terms)
        return gguf_only_repository.survey(place, files, chain, families)
    config = model_config.read(read("config.json"), repo)
    architecture = _known(config, families)
    if not architecture:
        raise unsupported_repository.architecture(repo, config, families, chain.name)
    if chain.quantized_inputs and config.quantized not in ("", *chain.quantized_inputs):
        raise unsupported_repository.quantized(repo, config.quantized, chain)
    family = families.architectures[architecture]
    encodes = _encodes(stated, architecture, files, encoder=family in families.encoders)
    return Found(
        repo=repo,
        commit=about.commit,
        asked=revision,
        file="",
        architecture=architecture,
        family=family,
        silent=family in families.silent or bool(encodes),
        encodes=encodes,
        chat=_chats(files, read),
        code=config.code,
        quantized=config.quantized,
        vocabulary=config.vocabulary,
        licence=terms,
        weights=_weights(repo, about.commit, selection.within(start), config),
        folder=folder,
        options=tuple(_options(chain, files, read)),
    )


def _options(chain: ToolChain, files: Sequence[HubFile], read: partial[bytes]) -> Iterator[str]:
    """The options of the converter that files like these want, as its data says."""

    def texts(pattern: str) -> list[str]:
        found = [file.path for file in files if fnmatch.fnmatchcase(file.path, pattern)]
        return [read(path).decode("utf-8", "replace") for path in found]

    for name, option in chain.verbs["convert"].options.items():
        if option.wanted and all(one.met(texts) for one in option.wanted):
            yield name


def _adapted(base: Found, adapter: Adapter, *, free: bool) -> Found:
    """A base with an adapter, passed on as freely as the stricter of the two."""
    if base.adapter or base.file:
        raise unsupported_repository.adapter(
            adapter.repo, base.repo, [f"its base {base.repo} is no whole model"]
        )
    licence = replace(base.licence, free=base.licence.free and free)
    return replace(base, adapter=adapter, licence=licence)


def _front_matter(files: Sequence[HubFile], read: partial[bytes], repo: str) -> Mapping[str, JSON]:
    """The metadata of a card, for Hubs that do not tell it; empty when it cannot be read."""
    from orchestrator.sources.hub import card_metadata  # noqa: PLC0415 - its library is heavy

    size = next((file.size for file in files if file.path == _CARD), 0)
    if not 0 < size <= _LARGEST_CARD:
        return {}
    try:
        return card_metadata.metadata(read(_CARD).decode("utf-8", "replace"), f"{_CARD} of {repo}")
    except StepError:
        return {}


def _known(config: Config, families: Families) -> str:
    """The first of a model's names that the converter knows, or an empty one."""
    return next((one for one in config.architectures if one in families.architectures), "")


def _encodes(
    card: Mapping[str, JSON], architecture: str, files: Sequence[HubFile], *, encoder: bool
) -> str:
    """What the model does if it is one for embeddings or scores, by the Hub's tag; else empty."""
    tag = str(card.get("pipeline_tag"))
    if encoder and architecture.endswith("ForSequenceClassification"):
        return _RANKS
    if tag in (_RANKS, *_EMBEDS):
        return tag
    sentences = any(file.path == "modules.json" for file in files)
    return "sentence-similarity" if sentences else "feature-extraction" if encoder else ""


def _text_file(repo: str, commit: str, files: Sequence[HubFile], start: str, path: str) -> bytes:
    """The content of a small file of the repository, by its path in the model's folder."""
    from orchestrator.sources.hub import download  # noqa: PLC0415 - its library is heavy

    path = start + path
    size = next((file.size for file in files if file.path == path), 0)
    if size > _LARGEST_TEXT:
        raise StepError(
            f"{path} of {repo} has {size} bytes, too many for what its name says.",
            "Do not use this repository.",
        )
    return download.read_file(repo, commit, path, listed=files)


def _whole(
    files: Sequence[HubFile], read: partial[bytes], repo: str, commit: str, start: str
) -> Selection | tuple[str, str] | None:
    """As :func:`_selection`; of a folder only a model as transformers has it."""
    found = _selection(files, read, repo, commit, start)
    if start and not isinstance(found, Selection):
        raise UsageError(
            f"{start} of {repo} holds no model in the layout of transformers",
            "Write the recipe by hand: GGUF files and adapters are named in other ways.",
        )
    return found


def _selection(
    files: Sequence[HubFile], read: partial[bytes], repo: str, commit: str, start: str
) -> Selection | tuple[str, str] | None:
    """The weights to convert, or an adapter's base; None when there are only GGUF files.

    A base is a repository and a revision.
    """
    from orchestrator.sources.hub import download  # noqa: PLC0415 - its library is heavy

    names = {file.path for file in files}
    chosen = partial(
        select,
        files,
        read_index=read,
        quantized=lambda name: download.is_quantized(repo, commit, start + name),
    )
    try:
        found = chosen()
    except UsageError:
        found = None
    if found is not None and "config.json" in names:
        return found
    if lora.CONFIG in names:
        stated = model_config.parse(read(lora.CONFIG)) or {}
        select_adapter(files)
        base, obstacles = str(stated.get("base_model_name_or_path")), [*lora.obstacles(stated)]
        if obstacles or not REPOSITORY.fullmatch(base):
            raise unsupported_repository.adapter(repo, base, obstacles)
        return base, str(stated.get("revision") or _USUAL)
    if any(name.endswith(".gguf") for name in names):
        return None
    if "config.json" not in names and (found or "params.json" not in names):
        raise unsupported_repository.no_config(repo, names)
    return chosen()  # raises: it says what is there instead


def _chats(files: Sequence[HubFile], read: partial[bytes]) -> bool:
    """Whether there is a chat template, in one of the places that transformers looks at."""
    names = {file.path for file in files}
    if "chat_template.jinja" in names or "chat_template.json" in names:
        return True
    name = "tokenizer_config.json"
    stated = model_config.parse(read(name)) if name in names else None
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
    from orchestrator.sources.hub import download  # noqa: PLC0415 - its library is heavy

    tensors = [
        tensor
        for path, (start, total) in download.safetensors_headers(repo, commit, paths).items()
        for tensor in safetensors.parse_header(start, total, path).tensors
    ]
    rows = {one.shape[-1] for one in tensors if len(one.shape) == 2 and min(one.shape) > 1}
    dtype, parameters = tally((one.dtype, one.n_elements) for one in tensors)
    # Methods that pack several weights into a whole number hide how many there are.
    exact = not packed or dtype.startswith(("f", "b"))
    return Weights("safetensors", len(paths), size, parameters, exact, dtype, tuple(sorted(rows)))
