"""The recipes of models that are more or other than a text decoder, as they are, on miniatures
that a local Hub serves with the real names, revisions and file layouts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.modelfiles import gguf
from tests.miniatures import repositories
from tests.support.model_families import Ran, run, served
from tests.support.typed_commands import RECIPES
from tests.support.warm_store import link

NAMES = (
    "smolvlm-256m",
    "qwen3.5-0.8b",
    "olmoe-1b-7b",
    "bge-small-en-v1.5",
    "bge-reranker-v2-m3",
)
PROGRAMS = ("llama-mtmd-cli", "llama-embedding")
# As in llama.h; the embedding of the first token.
FIRST_TOKEN = 2


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    """All recipes as one plan."""
    place = tmp_path_factory.mktemp("kinds")
    for program in PROGRAMS:
        link(place / "store", "llama.cpp", programs=[program])
    for hub in served(place, repositories.OTHERS):
        yield run(place, hub, RECIPES, NAMES, "-j", "2", "-t", "2")


def header(made: Ran, recipe: str, file: str) -> gguf.GGUF:
    return gguf.read(made.place / "dist" / recipe / file)


def source(made: Ran, recipe: str) -> str:
    return str(made.report(recipe)["source"]["message"])


def test_every_recipe_is_made_and_measured(made: Ran) -> None:
    assert made.said.code == 0, made.said.all
    for name in NAMES:
        assert {row["status"] for row in made.report(name)["files"]} == {"pass"}
    for name in NAMES[:3]:
        assert made.checks(name, "Q8_0")["kld"]["numbers"]["mean"] < 0.01
        assert made.checks(name, "Q8_0")["smoke" if name != NAMES[0] else "image"]["numbers"]


def test_a_vision_models_projector_and_template_are_there(made: Ran) -> None:
    assert len(header(made, "smolvlm-256m", "mmproj-smolvlm-256m-F16.gguf").tensors) == 38
    text = header(made, "smolvlm-256m", "smolvlm-256m-Q8_0.gguf")
    assert "tokenizer.chat_template" in text.metadata
    fetched = made.snapshot("HuggingFaceTB/SmolVLM-256M-Instruct")
    assert {"preprocessor_config.json", "chat_template.json"} < fetched
    assert not [name for name in fetched if "onnx" in name]


def test_a_head_and_a_projector_lie_beside_the_text_files(made: Ran) -> None:
    name = "qwen3.5-0.8b"
    assert source(made, name) == (
        "All 103 tensors of the source are in the files (33 of them in mmproj, 15 of them in mtp)."
    )
    head = {one.name for one in header(made, name, f"mtp-{name}-F16.gguf").tensors}
    assert {"blk.4.nextn.eh_proj.weight", "token_embd.weight"} < head
    text = header(made, name, f"{name}-Q4_K_M.gguf")
    assert not [one.name for one in text.tensors if one.name.startswith("blk.4.")]
    assert text.metadata["tokenizer.ggml.pre"] == "qwen35"
    assert "<|vision_start|>" in str(text.metadata["tokenizer.chat_template"])
    assert made.checks(name, "Q4_K_M")["image"]["numbers"]["text"]


def test_a_mixtures_experts_become_one_tensor_of_each_kind(made: Ran) -> None:
    assert source(made, "olmoe-1b-7b") == "All 69 tensors of the source are in the file."
    file = header(made, "olmoe-1b-7b", "olmoe-1b-7b-Q4_K_M.gguf")
    shapes = {one.name: one.shape for one in file.tensors}
    for kind in ("gate", "up", "down"):
        assert shapes[f"blk.1.ffn_{kind}_exps.weight"] == (256, 256, 8)
    assert file.metadata["olmoe.expert_count"] == 8
    assert file.metadata["olmoe.expert_used_count"] == 2


def test_an_embedding_model_joins_tokens_as_its_repository_says(made: Ran) -> None:
    name = "bge-small-en-v1.5"
    assert "pooler.dense.weight (a layer that embeddings do without)" in source(made, name)
    assert header(made, name, f"{name}-Q8_0.gguf").metadata["bert.pooling_type"] == FIRST_TOKEN
    assert made.row(name, "Q8_0")["measures"]["embedding"]["mean_cosine"] > 0.999
    fetched = made.snapshot("BAAI/bge-small-en-v1.5")
    assert "1_Pooling/config.json" in fetched
    assert not [one for one in fetched if one.endswith((".bin", ".onnx"))]


def test_a_reranker_has_its_classifier_and_is_measured_by_scores(made: Ran) -> None:
    name = "bge-reranker-v2-m3"
    assert source(made, name) == "All 41 tensors of the source are in the file."
    tensors = {one.name for one in header(made, name, f"{name}-Q8_0.gguf").tensors}
    assert {"cls.weight", "cls.bias", "cls.output.weight", "cls.output.bias"} < tensors
    measured = made.row(name, "Q8_0")["measures"]["embedding"]
    assert measured["rank_agreement"] > 0.95
    assert "mean_cosine" not in measured
    assert not [one for one in made.snapshot("BAAI/bge-reranker-v2-m3") if "assets" in one]


def test_each_recipe_fetches_the_weights_that_it_names_alone(made: Ran) -> None:
    weights = {
        "Qwen/Qwen3.5-0.8B": {"model.safetensors-00001-of-00001.safetensors"},
        "BAAI/bge-reranker-v2-m3": {"model.safetensors"},
        "allenai/OLMoE-1B-7B-0924-Instruct": {
            f"model-{at:05}-of-00003.safetensors" for at in (1, 2, 3)
        },
    }
    for repo, wanted in weights.items():
        found = {name for name in made.snapshot(repo) if Path(name).suffix == ".safetensors"}
        assert found == wanted
