"""Repositories that no recipe can be written for, each with what it is and what to do."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from orchestrator.base.errors import UsageError
from orchestrator.base.near_match import near
from orchestrator.toolchain.families import Families
from orchestrator.toolchain.load import ToolChain
from orchestrator.workflows.drafting.model_config import Config

_SHOWN = 4
_SCORES = re.compile(r"For(Sequence|Token)Classification|Reward")


def adapter(repo: str, base: str, obstacles: Sequence[str]) -> UsageError:
    """It holds an adapter that is not merged, or whose base is no repository."""
    if obstacles:
        return UsageError(
            f"{repo} holds an adapter (adapter_config.json) that is not merged: "
            f"{'; '.join(obstacles)}",
            "Merge it into its base model with peft's merge_and_unload, and name the result.",
        )
    return UsageError(
        f"{repo} holds an adapter (adapter_config.json), and its base {base[:200]!r} is no "
        "repository",
        f"Write a recipe that names the base: 'model: {{base: ..., lora: [{{hub: {repo}, "
        "revision: main}]}'.",
    )


def quantized(repo: str, method: str, chain: ToolChain) -> UsageError:
    """Its weights are quantized in a way that the converter does not read."""
    return UsageError(
        f"The weights of {repo} are quantized already ({method}), in a way that {chain.name} "
        f"does not convert (it does: {', '.join(chain.quantized_inputs)})",
        "Name the repository of the original model; or load this one with transformers, call its "
        "dequantize() and save the result.",
    )


def quantized_only(repo: str, files: Sequence[str]) -> UsageError:
    """It holds GGUF files, none of which can be quantized without loss upon loss."""
    return UsageError(
        f"{repo} holds only GGUF files, and none that is unquantized and in one piece "
        f"({_some(files)})",
        "Name the repository that they were made from; 'orchestrate adopt FILE.gguf' writes the "
        "recipe that would make one of them.",
    )


def unread(repo: str, chain: str) -> UsageError:
    """It holds GGUF files, and the tool chain is older than they are."""
    return UsageError(
        f"{repo} holds only GGUF files, which {chain} does not read",
        "Name the repository that they were made from.",
    )


def misnamed(repo: str, file: str, kind: str) -> UsageError:
    """Its file is called unquantized and is not."""
    return UsageError(
        f"{file} of {repo} is called unquantized, but most of it is {kind or 'nothing'}",
        "Name the repository that its files were made from.",
    )


def no_config(repo: str, names: Collection[str]) -> UsageError:
    """It has no config.json: say what it looks like instead."""
    known = {
        "model_index.json": "a pipeline of diffusers, which is no language model",
        "adapter_model.safetensors": "an adapter without its configuration",
    }
    like = [said for name, said in known.items() if name in names]
    what = f"it looks like {like[0]}" if like else f"it has {_some(sorted(names))}"
    return UsageError(
        f"{repo} has no config.json, so it cannot be converted: {what}",
        "Name a model repository in the layout of transformers.",
    )


def architecture(repo: str, config: Config, families: Families, chain: str) -> UsageError:
    """The converter does not know it."""
    if not config.architectures:
        kind = f" (its model_type is {config.model_type!r})" if config.model_type else ""
        return UsageError(
            f"The config.json of {repo} names no architecture{kind}",
            "The converter goes by 'architectures'; choose a repository that states it.",
        )
    wanted = config.architectures[0]
    if _SCORES.search(wanted):
        return UsageError(
            f"{chain} does not convert {wanted}, the architecture of {repo}: such models give "
            "scores to texts, which the converter has no place for in models of this kind",
            "A file made of it under the name of a model that writes text would give no scores.",
        )
    return UsageError(
        f"{chain} does not convert {wanted}, the architecture of {repo}"
        f"{near(wanted, families.architectures)}",
        f"It knows {len(families.architectures)} architectures: architectures.yaml in its data "
        "lists them. A newer commit may know more.",
    )


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return (", ".join(names[:_SHOWN]) or "no files") + more
