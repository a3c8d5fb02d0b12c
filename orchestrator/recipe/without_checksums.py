"""Recipes for stand-in models: miniatures that take the place of the real ones.

``run --no-limits`` makes the files of an unchanged recipe from other weights than those it
was written for. What the recipe states about the real bytes is then not held against them.
"""

from __future__ import annotations

from typing import Any, TypeVar

from orchestrator.recipe import Recipe
from orchestrator.recipe.source_fields import Source

_S = TypeVar("_S", bound=Source)

NOTE = (
    "The limits, checksums and smoke texts of the recipe were not held against these files "
    "or what they were made from: this run was for stand-in models (--no-limits)."
)


def relaxed(recipe: Recipe) -> Recipe:
    """The recipe without the checksums of its inputs.

    Checksums of packages and addresses stay: they say what is downloaded, not what a model
    must be. Files of the Hub are still held against the Hub's own digests.
    """
    model = _free(recipe.model)
    parts = {"base": model.base, "delta": model.delta}
    changes: dict[str, object] = {n: _free(one) for n, one in parts.items() if one is not None}
    changes["lora"] = tuple(map(_free, model.lora))
    if model.mergekit is not None:
        freed_models = {name: _free(one) for name, one in model.mergekit.models.items()}
        changes["mergekit"] = model.mergekit.model_copy(update={"models": freed_models})
    update: dict[str, object] = {"model": model.model_copy(update=changes)}
    if recipe.adapters:
        update["adapters"] = {name: _free(one) for name, one in recipe.adapters.items()}
    if recipe.imatrix is not None:
        given = {"corpus": recipe.imatrix.corpus, "file": recipe.imatrix.file}
        freed: dict[str, object] = {n: _free(one) for n, one in given.items() if one is not None}
        freed["more"] = {name: _free(one) for name, one in recipe.imatrix.more.items()}
        update["imatrix"] = recipe.imatrix.model_copy(update=freed)
    read = [name for name in recipe.verify.sections if name in recipe.verify.texts]
    texts = {name: _freed(getattr(recipe.verify, name)) for name in read}
    if texts:
        update["verify"] = recipe.verify.model_copy(update=texts)
    return recipe.model_copy(update=update)


def _freed(section: Any) -> Any:
    """A section of ``verify`` without the checksums of its texts."""
    more = getattr(section, "more", None)
    changes = {"more": {name: _free(one) for name, one in more.items()}} if more else {}
    return section.model_copy(update={"corpus": _free(section.corpus), **changes})


def _free(source: _S) -> _S:
    changes: dict[str, object] = {"files": {}}
    if source.hub is not None:
        changes["sha256"] = None
    return source.model_copy(update=changes)
