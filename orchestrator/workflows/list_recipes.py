"""The recipes that come along: what each is made from, and which files it makes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.base import installed_data
from orchestrator.base.errors import EnvironmentProblem
from orchestrator.recipe.extends import read_tree


@dataclass(frozen=True)
class Listed:
    """One recipe; ``download`` as it is written, such as ``13.5 GB``, empty if not known."""

    name: str
    family: str
    source: str
    download: str
    files: tuple[str, ...]
    description: str
    recipe: Path


def every() -> list[Listed]:
    """The recipes that come along, by name.

    Raises:
        EnvironmentProblem: The installation has lost its data.
        RecipeError: One of them cannot be read.
    """
    found = installed_data.recipes()
    if not found:
        raise EnvironmentProblem(
            f"this installation holds no recipes: {installed_data.RECIPES} is not there",
            "Reinstall orchestrate-gguf.",
        )
    return [_listed(name, path) for name, path in found.items()]


def _listed(name: str, path: Path) -> Listed:
    data = read_tree(path).data
    files = (one.get("name") or one.get("type", "") for one in data.get("quantize", ()))
    local = _comes_along(data["model"])
    return Listed(
        name=name,
        family=str(data.get("family", "")),
        source=_source(data["model"]),
        download=str(data.get("download", "nothing" if local else "")),
        files=tuple(map(str, files)),
        description=str(data.get("description", "")),
        recipe=path,
    )


def _comes_along(model: Mapping[str, Any]) -> bool:
    return all("path" in part for part in _merged(model) or [model])


def _merged(model: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The sources that are merged; none where there is only one."""
    sides = [model[part] for part in ("base", "delta") if part in model]
    others = model.get("mergekit", {}).get("models", {})
    return [*sides, *model.get("lora", ()), *others.values()]


def _source(model: Mapping[str, Any]) -> str:
    if merged := _merged(model):
        return " + ".join(dict.fromkeys(map(_source, merged)))
    if "hub" in model:
        return str(model["hub"])
    if "pypi" in model:
        return f"{model['pypi']['package']} {model['pypi']['version']} of PyPI"
    if "path" in model and not Path(model["path"]).exists():
        return "your own files"
    return "comes along" if "path" in model else str(model.get("url", ""))
