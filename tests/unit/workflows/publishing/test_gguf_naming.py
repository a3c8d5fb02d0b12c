"""File names as the recipe wants them, by default those of the GGUF naming convention."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.base.errors import UsageError
from orchestrator.modelfiles import gguf
from orchestrator.planning.plan import Plan
from orchestrator.planning.resolved_source import Resolved
from orchestrator.workflows.publishing.gguf_naming import USUAL, Name, distinct, model_of, name_of
from tests.support.gguf_pairs import Model, write_gguf
from tests.support.model_files import KV


def made_from(source: Resolved | None, *bases: str, delta: Resolved | None = None) -> Plan:
    """A plan as far as names ask it."""
    publish = SimpleNamespace(base_model=bases)
    recipe = SimpleNamespace(name="my-recipe", publish=publish)
    sources = SimpleNamespace(model=source, delta=delta)
    return cast("Plan", SimpleNamespace(recipe=recipe, sources=sources))


def hub(repo: str, form: str = "hf", file: str = "") -> Resolved:
    return Resolved({"kind": "hub", "repo": repo, "file": file}, format=form)


def pypi(file: str) -> Resolved:
    return Resolved({"kind": "pypi", "package": "p", "version": "1", "file": file}, format="gguf")


@pytest.mark.parametrize(
    ("source", "name"),
    [
        (hub("HuggingFaceTB/SmolLM2-135M-Instruct"), "SmolLM2-135M-Instruct"),
        (hub("HuggingFaceTB/SmolLM2-135M"), "SmolLM2-135M"),
        (hub("owner/Qwen2.5-0.5B-Instruct-GGUF", "gguf", "x.gguf"), "Qwen2.5-0.5B-Instruct"),
        (pypi("pkg/SmolLM2-135M-Instruct.Q4_1.gguf"), "SmolLM2-135M-Instruct"),
        (pypi("data/gemma-3-270m-q4_k_m.gguf"), "gemma-3-270m"),
        (Resolved({"kind": "path", "files": {"config.json": ""}}, format="hf"), "my-recipe"),
        (Resolved({"kind": "path", "files": {"a-1B-f16.gguf": ""}}, format="gguf"), "a-1B"),
        (hub("owner/..."), "my-recipe"),
    ],
)
def test_a_model_is_called_like_what_it_was_made_from(source: Resolved, name: str) -> None:
    assert model_of(made_from(source)) == name


def test_the_stated_base_model_and_the_difference_name_it() -> None:
    assert model_of(made_from(pypi("x/y.gguf"), "meta/Llama-3-8B")) == "Llama-3-8B"
    merged = made_from(None, delta=hub("org/vicuna-7b-delta-v1.1"))
    assert model_of(merged) == "vicuna-7b-delta-v1.1"


def header(path: Path, **told: str) -> gguf.GGUF:
    fields = {f"general.{key}": KV("str", value) for key, value in told.items()}
    return gguf.read(write_gguf(path / "x.gguf", Model(fields=fields)))


def test_the_metadata_name_nothing_but_a_missing_size(tmp_path: Path) -> None:
    told = header(tmp_path, name="Working Title", basename="x", finetune="y", size_label="2.8B")

    def named(pattern: str, model: str) -> str:
        return name_of(pattern, model, "Q4_K_M", told, ".gguf").file

    assert named(USUAL, "phi-2") == "phi-2-2.8B-Q4_K_M.gguf"
    assert named(USUAL, "bloomz-7b1") == "bloomz-7b1-Q4_K_M.gguf"
    assert named(USUAL, "Mixtral-8x7B-v0.1") == "Mixtral-8x7B-v0.1-Q4_K_M.gguf"
    assert named("{model}.{type}.gguf", "Hermes-3B") == "Hermes-3B.Q4_K_M.gguf"
    assert named("chat-{size}-{type}", "Hermes-3B") == "chat-2.8B-Q4_K_M.gguf"


def test_a_size_that_is_not_known_leaves_no_mark(tmp_path: Path) -> None:
    made = name_of("chat-{size}-{type}", "x", "Q4_0", header(tmp_path), ".gguf")
    assert made.file == "chat-Q4_0.gguf"


@given(
    model=st.text(st.characters(exclude_categories=["Cs"]), max_size=300),
    encoding=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True),
)
def test_whatever_a_repository_is_called_the_name_is_one_of_a_file(
    model: str, encoding: str
) -> None:
    called = model_of(made_from(hub(f"owner/{model}")))
    made = name_of(USUAL, called, encoding, None, ".gguf")
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*\.gguf", made.file)
    assert len(made.part(1, 99999)) < 255


def test_two_files_never_get_one_name() -> None:
    names: dict[str, Any] = {"a.gguf": Name("x-Q4_0", "Q4_0"), "b.gguf": Name("X-Q4_0", "Q4_0")}
    with pytest.raises(UsageError, match=r"a\.gguf and b\.gguf would both be published as"):
        distinct(names)
    distinct({"a.gguf": Name("x-Q4_0", "Q4_0"), "b.gguf": Name("x-Q4_0_imatrix", "Q4_0_imatrix")})


def test_parts_are_numbered_as_llama_cpp_wants_it() -> None:
    assert Name("x-Q4_0", "Q4_0").part(2, 12) == "x-Q4_0-00002-of-00012.gguf"
