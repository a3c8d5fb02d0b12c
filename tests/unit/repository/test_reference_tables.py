"""What recipes state as published, held against what shapes alone give."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.measures import registry
from orchestrator.modelfiles.ggml_types import Layout
from orchestrator.recipe import Recipe, load_many
from orchestrator.runs import load_and_plan
from tests.support.ggml_sizes import Dimensions, bloom_size, llama_size

RECIPES = Path(__file__).resolve().parents[3] / "recipes" / "ggml"
LLAMA_TOKENS = 176_574  # bytes of all words
BLOOM_TOKENS = 2_000_000


def llama(width: int, wide: int, layers: int, rows: int = 32000) -> Dimensions:
    return Dimensions(rows, width, wide, layers, LLAMA_TOKENS)


SEVEN = llama(4096, 11008, 32)
CASES: list[tuple[str, Dimensions, Layout]] = [
    ("llama-7b", SEVEN, "ggjt-v1"),
    ("llama-13b", llama(5120, 13824, 40), "ggjt-v1"),
    ("llama-30b", llama(6656, 17920, 60), "ggjt-v1"),
    ("llama-65b", llama(8192, 22016, 80), "ggjt-v1"),
    ("llama-7b-v3", SEVEN, "ggjt-v3"),
    ("chimera-7b", llama(4096, 11008, 32, rows=32001), "ggjt-v1"),
    ("chimera-inst-7b", llama(4096, 11008, 32, rows=32001), "ggjt-v1"),
    ("phoenix-7b", Dimensions(250880, 4096, 16384, 30, BLOOM_TOKENS), "bloomz"),
]


def load(name: str) -> Recipe:
    # Meta's own files are nobody's to put beside the recipes.
    [recipe] = load_many([RECIPES / f"{name}.yaml"], load_and_plan.vocabulary, check_files=False)
    return recipe


@pytest.mark.parametrize(("name", "size", "layout"), CASES)
def test_published_sizes_are_what_the_shapes_give(
    name: str, size: Dimensions, layout: Layout
) -> None:
    reference = load(name).verify.reference
    assert reference is not None
    tolerance = registry.named("header").number("size").tolerance
    assert tolerance is not None
    assert {"F16", "Q4_0"} <= reference.size.keys()
    for kind, published in reference.size.items():
        found = bloom_size(size, kind) if layout == "bloomz" else llama_size(size, kind, layout)
        # Else every report of the real model would warn of its own reference.
        assert abs(found / published - 1) <= tolerance, kind


def test_files_that_others_published_are_those_sizes_too() -> None:
    for name in ("chimera-7b", "chimera-inst-7b", "phoenix-7b"):
        recipe = load(name)
        [published] = recipe.published
        assert published["type"] == "Q4_0"
        reference = recipe.verify.reference
        assert reference is not None
        stated = f"{reference.size['Q4_0'] / 2**30:.1f} GiB"
        assert published["size"] == stated
