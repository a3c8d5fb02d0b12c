"""Recipes that ``orchestrate new`` wrote in a test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from orchestrator.recipe import Recipe
from orchestrator.runs import load_and_plan
from tests.hub import Repo
from tests.support.command_line import Said
from tests.support.hub_models import repository
from tests.support.model_files import KV, GGUFSpec, Tensor, gguf_bytes

NAME = "Org-1/Some_Model.v2"
FILE = Path("some_model.v2.yaml")
FREE = {"license": "apache-2.0"}

New = Callable[..., Said]


def written(said: Said, path: Path = FILE) -> Recipe:
    assert (said.code, said.err) == (0, "")
    [recipe] = load_and_plan.load([path])
    return recipe


def gguf_repository(folder: Path, *names: str, kind: str = "F16", of: str = "bloom") -> Repo:
    """A repository of GGUF files, whose tensor is of this type whatever they are called."""
    repo = repository(folder, config=None, tensors=[])
    fields = {"general.architecture": KV("str", of)}
    data = gguf_bytes(GGUFSpec(fields, [Tensor("token_embd.weight", (512, 4), kind)]))
    for name in names:
        (folder / name).write_bytes(data)
    return repo
