"""Recipes: YAML in, validated frozen values out, or every problem with its place.

::

    recipe = load(Path("recipes/llama-7b.yaml"), load_and_plan.vocabulary)
"""

from orchestrator.recipe.loading import (
    Document,
    Recipe,
    RecipeError,
    Vocabulary,
    load,
    load_many,
    portable,
    schema_text,
)

__all__ = [
    "Document",
    "Recipe",
    "RecipeError",
    "Vocabulary",
    "load",
    "load_many",
    "portable",
    "schema_text",
]
