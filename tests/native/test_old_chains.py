"""The llama.cpp of 2023, for real: what it makes, and what it is not believed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from orchestrator.base.digest import file_sha256
from orchestrator.base.process import run_process
from orchestrator.base.step_values import Outcome
from orchestrator.engine.artifact_store import Store
from orchestrator.modelfiles import ggml
from orchestrator.toolchain import load
from tests.standin import harness, models
from tests.standin.harness import Ran
from tests.support.warm_store import CACHE

TINY = models.TINY / "llama"
CORPUS = models.TINY.parent / "corpus" / "perplexity.txt"
PERPLEXITY = {"corpus": {"path": str(CORPUS)}, "context": 128, "chunks": 4}
SMOKE = {"prompt": "Once upon a time", "expect": "named", "tokens": 12}

# The same from every build without fused multiply-adds.
DIGESTS = {
    "F16": "9c6e29ceb144c3862e1d4b54c4cf409a667e4ee1ae0850c09398dd0c9abc12f0",
    "Q4_0": "54f9e284065c07a0",
    "Q4_1": "841225196a32327e",
    "Q5_0": "8acd7f750dfad1ef",
    "Q5_1": "37a9317dea1493cc",
    "Q8_0": "3b899f0600ed72c2",
    "Q2_K": "e9e59c686366c0a5",
    "Q3_K_S": "8f2a5074e0114fe6",
    "Q3_K_M": "7fdb03d1510621c1",
    "Q3_K_L": "7c6adfb217610054",
    "Q4_K_S": "28e2ca080640061d",
    "Q4_K_M": "71c2163888a269f8",
    "Q5_K_S": "cd125a7e31ec8873",
    "Q5_K_M": "dbc41f0f7baf3213",
    "Q6_K": "3e04cb11c2985fbd",
}


def make(folder: Path, chain: str, model: Path, **fields: Any) -> Ran:
    fields = {"verify": {"kld": None}, **fields}
    recipe = harness.write_recipe(folder, chain, model, **fields)
    store = Store(folder / "store", print)
    return harness.run(recipe, load.load(chain), store, Store(CACHE, print))


def verified(**more: Any) -> dict[str, Any]:
    return {"kld": None, "smoke": SMOKE, "perplexity": PERPLEXITY, **more}


def test_august_2023_makes_the_same_bytes_of_every_type(tmp_path: Path) -> None:
    types = [name for name in DIGESTS if name != "F16"]
    ran = make(tmp_path, "llama.cpp-ggjt-v3", TINY, quantize=types)
    found = {name: file_sha256(ran.file(name)) for name in DIGESTS}
    assert {name: digest[: len(DIGESTS[name])] for name, digest in found.items()} == DIGESTS
    assert not [one for one in ran.results if one.facts.get("fallbacks")]


def test_august_2023_is_verified_with_its_own_tools(tmp_path: Path) -> None:
    ran = make(tmp_path, "llama.cpp-ggjt-v3", TINY, quantize=["Q4_0"], verify=verified())
    full, small = ran.measures("F16"), ran.measures("Q4_0")
    assert small["header"]["census"] == {"F32": 5, "Q4_0": 15, "Q6_K": 1}
    assert small["header"]["structure"]["layout"] == "ggjt-v3"
    assert (
        full["header"]["structure"]["layout"] == "ggjt-v1"
    )  # as convert.py always marks its files
    assert "named" in small["smoke"]["text"]
    assert not small["smoke"]["text"].startswith("Once")
    assert full["perplexity"]["chunks"] == 4
    assert full["perplexity"]["value"] < small["perplexity"]["value"] < 1.05 * 1.4617


def test_august_2023_is_told_epsilon_and_key_value_groups(tmp_path: Path) -> None:
    verify = {"kld": None, "perplexity": PERPLEXITY}
    stated = {"norm_eps": 1e-1, "gqa": 1}
    ran = make(
        tmp_path, "llama.cpp-ggjt-v3", TINY, quantize=["Q8_0"], verify=verify, runtime=stated
    )
    assert ran.measures("F16")["perplexity"]["value"] > 1.5


def test_its_build_says_its_own_commit(tmp_path: Path) -> None:
    ran = make(tmp_path, "llama.cpp-ggjt-v3", TINY, quantize=["Q4_0"])
    argv = [str(ran.tool("quantize")), str(ran.file("F16")), "q", "2", "1"]
    assert "(604b8bd)" in run_process.run(argv, cwd=tmp_path, log=tmp_path / "log").text


def test_threads_do_not_change_its_bytes(tmp_path: Path) -> None:
    ran = make(tmp_path, "llama.cpp-ggjt-v3", TINY, quantize=["Q4_K_M"])
    argv = [str(ran.tool("quantize")), str(ran.file("F16")), "q", "15", "3"]
    run_process.run(argv, cwd=tmp_path, log=tmp_path / "log")
    assert file_sha256(tmp_path / "q") == file_sha256(ran.file("Q4_K_M"))


def test_a_row_more_makes_k_quants_fall_back_which_is_refused(tmp_path: Path) -> None:
    model = models.write_llama(tmp_path / "model", added=1)
    failed = make(tmp_path, "llama.cpp-ggjt-v3", model, quantize=["Q4_K_M"]).failed()
    assert "2 tensors would silently get another type" in failed.error
    assert "tok_embeddings.weight" in failed.error
    assert "output.weight" in failed.error


def test_fallbacks_can_be_accepted(tmp_path: Path) -> None:
    model = models.write_llama(tmp_path / "model", added=1)
    wanted = [{"type": "Q4_K_M", "allow_fallback": True}, "Q4_0"]
    ran = make(tmp_path, "llama.cpp-ggjt-v3", model, quantize=wanted)
    types = {one.name: one.type for one in ggml.read(ran.file("Q4_K_M"), "llama").tensors}
    assert types["tok_embeddings.weight"] == "Q4_0"
    assert types["output.weight"] == "F16"
    assert ran.of("quantize test-model to Q4_K_M").facts["fallbacks"]
    assert not ran.of("quantize test-model to Q4_0").facts["fallbacks"]


@pytest.mark.parametrize(
    ("chain", "shape", "sentence"),
    [
        ("llama.cpp-ggjt-v3", {"wide": 704}, "256 x 704"),
        ("llama.cpp-ggjt-v3", {"wide": 600}, "feed-forward layer of 600"),
        ("llama.cpp-ggjt-v1", {"wide": 600}, "feed-forward layer of 600"),
    ],
)
def test_shapes_that_do_not_fit_are_explained(
    chain: str, shape: dict[str, int], sentence: str, tmp_path: Path
) -> None:
    model = models.write_llama(tmp_path / "model", **shape)
    types = ["Q4_K_M"] if chain.endswith("v3") else ["Q4_0"]
    assert sentence in make(tmp_path, chain, model, quantize=types).failed().error


def test_a_text_shorter_than_one_context_is_no_perplexity(tmp_path: Path) -> None:
    """The tool prints nothing then and exits with 0."""
    (tmp_path / "short.txt").write_text("Hello.", encoding="utf-8")
    short = {**PERPLEXITY, "corpus": {"path": str(tmp_path / "short.txt")}}
    verify = {"kld": None, "perplexity": short}
    ran = make(tmp_path, "llama.cpp-ggjt-v3", TINY, quantize=["Q4_0"], verify=verify)
    assert "shorter than one context" in ran.of("perplexity of").error


def test_april_2023_reads_shards_and_stops_after_its_chunks(tmp_path: Path) -> None:
    model = models.write_llama(
        tmp_path / "model", layers=32, width=64, wide=256, heads=2, added=1, shards=2
    )
    setting = {**PERPLEXITY, "context": 32, "chunks": 3}
    smoke = {**SMOKE, "expect": ".", "tokens": 4}
    verify = verified(perplexity=setting, smoke=smoke)
    ran = make(tmp_path, "llama.cpp-ggjt-v1", model, quantize=["Q4_0", "Q4_1"], verify=verify)
    assert not [one.error for one in ran.results if one.outcome is not Outcome.DONE and one.error]
    small = ran.measures("Q4_0")
    assert small["header"]["structure"]["layout"] == "ggjt-v1"
    assert small["perplexity"]["chunks"] == 3
    assert small["header"]["census"] == {"F32": 65, "Q4_0": 226}
    quantized = [one for one in ggml.read(ran.file("Q4_0"), "llama").tensors if one.type == "Q4_0"]
    assert {8 * one.nbytes / one.n_elements for one in quantized} == {5.0}
    assert small["smoke"]["text"]


def test_april_2023_says_why_it_cannot_compute_a_small_model(tmp_path: Path) -> None:
    verify = {"kld": None, "smoke": SMOKE}
    ran = make(tmp_path, "llama.cpp-ggjt-v1", TINY, quantize=["Q4_0"], verify=verify)
    assert "32, 40, 60 or 80 layers, not of 2" in ran.of("measure test-llama Q4_0: load").error
    assert ran.of("quantize test-llama to Q4_0").outcome is Outcome.DONE


def imported(folder: Path, file: Path, **fields: Any) -> Ran:
    """A run of today's llama.cpp on an old GGML file."""
    recipe = harness.write_recipe(folder, "llama.cpp", file, **{"quantize": ["Q8_0"], **fields})
    text = recipe.read_text("utf-8").replace(f"path: {file}", f"path: {file}\n  format: ggml")
    recipe.write_text(text, encoding="utf-8")
    store = Store(folder / "imported", print)
    return harness.run(recipe, load.load("llama.cpp"), store, Store(CACHE, print))


def test_a_file_of_august_2023_becomes_a_gguf_that_says_the_same(tmp_path: Path) -> None:
    old = make(tmp_path, "llama.cpp-ggjt-v3", TINY, quantize=["Q4_0"], verify=verified())
    ran = imported(tmp_path, old.file("F16"), verify=verified())
    assert not [one.error for one in ran.results if one.outcome is Outcome.FAILED]
    now = ran.measures("Q8_0")
    assert now["perplexity"]["value"] == pytest.approx(
        old.measures("F16")["perplexity"]["value"], 0.01
    )
    assert now["smoke"]["text"] == old.measures("F16")["smoke"]["text"]


def test_a_quantized_file_of_april_2023_cannot_become_a_gguf(tmp_path: Path) -> None:
    old = make(tmp_path, "llama.cpp-ggjt-v1", TINY, quantize=["Q4_0"])
    failed = imported(tmp_path, old.file("Q4_0"), verify={"kld": None}).failed()
    assert "GGJTv1 file of type MOSTLY_Q4_0 cannot become a GGUF" in failed.error
