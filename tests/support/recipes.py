"""Recipes for tests: writing them down, loading them, and reading what is wrong with them."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from orchestrator.base.errors import UsageError
from orchestrator.recipe import Recipe, RecipeError, Vocabulary, load
from orchestrator.toolchain.verb_option import Option

CHAIN = Vocabulary(
    types={
        **{name: name for name in ("F16", "Q4_0", "Q4_K_S", "Q4_K_M", "Q8_0", "IQ4_XS", "COPY")},
        "Q4_K": "Q4_K_M",
    },
    tensor_types=("q4_0", "q6_K", "q8_0"),
    outtypes=("f16", "f32", "q8_0"),
    families=("llama", "chimera", "bloomz", "falcon", "bert"),
    encoders=("bert",),
    backends=("cpu", "cuda"),
    profiles=("portable", "native"),
    options={
        "convert": {
            "tokenizer_pre": Option(type="text", pattern="[a-z0-9.-]+", about="a pre-tokenizer"),
            "fast": Option(about="a switch"),
        },
        "imatrix": {"merged": Option(about="a switch")},
        "quantize": {"spared": Option(type="texts", pattern="[a-z.]+", about="tensors")},
    },
    named=("tokenizer_pre",),
)

MINIMAL = """\
name: x
family: llama
toolchain: llama.cpp
model: {hub: a/b, revision: main}
quantize: [Q4_0]
"""


def allowed(chain: str, _folder: Path) -> Vocabulary:
    """The stand-in for vendor/: one tool chain."""
    if chain != "llama.cpp":
        raise UsageError(f"unknown tool chain {chain!r}", "Known: llama.cpp.")
    return CHAIN


def write(folder: Path, text: str, name: str = "x.yaml") -> Path:
    """A recipe file."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(dedent(text), encoding="utf-8")
    return path


def loaded(folder: Path, text: str, name: str = "x.yaml") -> Recipe:
    """The recipe that a text is."""
    return load(write(folder, text, name), allowed)


def wrong(path: Path) -> list[str]:
    """What is wrong with a recipe: its problems without the folder's name."""
    with pytest.raises(RecipeError) as caught:
        load(path, allowed)
    assert str(caught.value) == "\n".join(map(str, caught.value.problems))
    return [line.replace(f"{path.parent}/", "") for line in str(caught.value).splitlines()]


def problems(folder: Path, text: str) -> list[str]:
    """What is wrong with a text, as ``line:column: key: sentence``."""
    return [line.removeprefix("x.yaml:") for line in wrong(write(folder, text))]


def one(folder: Path, text: str) -> str:
    """The only thing that is wrong with a text."""
    found = problems(folder, text)
    assert len(found) == 1, found
    return found[0]
