"""Repositories that hold only GGUF files: one that is not quantized can start a recipe."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from orchestrator.modelfiles import gguf
from orchestrator.modelfiles.untrusted_reader import Reader
from orchestrator.sources.choose_model_files import HubFile
from orchestrator.toolchain.families import Families
from orchestrator.toolchain.load import ToolChain
from orchestrator.workflows.drafting import unsupported_repository
from orchestrator.workflows.drafting.model_config import Config
from orchestrator.workflows.drafting.survey_findings import Found, Licence, Weights, tally

# Unquantized files by how publishers name them, the most exact first.
_PLAIN = ("bf16", "f16", "fp16", "f32", "fp32")

# What lies beside a model that sees or hears: the part that does it is no language model.
_BESIDE = re.compile(r"(^|[-._/])mmproj[-._]", re.IGNORECASE)


@dataclass(frozen=True)
class Place:
    """A repository at a commit, the revision that was asked for, and its licence."""

    repo: str
    commit: str
    asked: str
    licence: Licence


def survey(place: Place, files: Sequence[HubFile], chain: ToolChain, families: Families) -> Found:
    """What the header of the unquantized file says; costs some ranges of it.

    Args:
        place: The repository.
        files: Its listing.
        chain: The tool chain that is to read it.
        families: What that converts.

    Raises:
        UsageError: There is no such file, its architecture is not known, or the tool chain
            reads no GGUF files.
        EnvironmentProblem: No access, no network.
        FormatError: It is no sound GGUF file.
    """
    if "gguf" not in chain.inputs:
        raise unsupported_repository.unread(place.repo, chain.name)
    names = [file.path for file in files if file.path.endswith(".gguf")]
    name = plain(names)
    if not name:
        raise unsupported_repository.quantized_only(place.repo, names)
    header = _header(place, name)
    weights = _weights(header)
    if weights.dtype not in _PLAIN:
        raise unsupported_repository.misnamed(place.repo, name, weights.dtype)
    architecture = str(header.metadata.get("general.architecture", ""))
    family = families.of_gguf(architecture)
    if not family:
        config = Config((architecture or "(none)",), "", "", (), 0, False, "")
        raise unsupported_repository.architecture(place.repo, config, families, chain.name)
    tokens = header.metadata.get("tokenizer.ggml.tokens")
    return Found(
        repo=place.repo,
        commit=place.commit,
        asked=place.asked,
        file=name,
        architecture=architecture,
        family=family,
        silent=family in families.silent,
        encodes="feature-extraction" if family in families.encoders else "",
        chat="tokenizer.chat_template" in header.metadata,
        code=False,
        quantized="",
        vocabulary=tokens.count if isinstance(tokens, gguf.ArrayInfo) else 0,
        licence=place.licence,
        weights=weights,
    )


def plain(names: Sequence[str]) -> str:
    """The file that is called unquantized; empty when there is none in one piece."""
    for kind in _PLAIN:
        pattern = re.compile(rf"(.*[-._/])?{kind}\.gguf", re.IGNORECASE)
        for name in sorted(names):
            if pattern.fullmatch(name) and not _BESIDE.search(name):
                return name
    return ""


def _header(place: Place, name: str) -> gguf.GGUF:
    from orchestrator.sources import range_requests  # noqa: PLC0415 - its library is heavy

    source = {"kind": "hub", "repo": place.repo, "commit": place.commit, "repo_type": "model"}
    with range_requests.opened({**source, "file": name}, {}) as (stream, size):
        return gguf.parse(Reader(stream, name, size))


def _weights(header: gguf.GGUF) -> Weights:
    tensors = header.tensors
    dtype, parameters = tally((one.type, prod(one.shape)) for one in tensors)
    rows = {one.shape[0] for one in tensors if len(one.shape) > 1}
    return Weights("gguf", 1, header.file_size, parameters, True, dtype, tuple(sorted(rows)))
