"""Inspection, and the steps that measure, on small files and stand-ins for the tools."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.base.errors import StepError
from orchestrator.base.step_values import Step, Task
from orchestrator.modelfiles import header_facts
from orchestrator.steps import full_file_logits, measure
from orchestrator.toolchain import load
from tests.support.model_files import (
    GGMLSpec,
    GGUFSpec,
    Tensor,
    ggml_bytes,
    gguf_bytes,
    whole_model,
)

WRITE = "import sys; open(sys.argv[1], 'wb').write(bytes.fromhex(sys.argv[2])); print('PPL 5.5')"
VALUES = {"perplexity": r"PPL (?P<v>\S+)"}
PINNED = load.load("llama.cpp").model_dump(mode="json")["verbs"]


def file_of(folder: Path, *tensors: Tensor) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "model.gguf").write_bytes(gguf_bytes(GGUFSpec(tensors=tensors)))
    return folder


def saying(text: str, **verb: Any) -> dict[str, Any]:
    code = f"print({text!r})".replace("{", "{{").replace("}", "}}")  # argv is a template
    return {"argv": [sys.executable, "-c", code], **verb}


def task(
    place: Path,
    verbs: Mapping[str, Any],
    params: Mapping[str, Any],
    inputs: Mapping[str, Path],
) -> Task:
    for name in ("work", "scratch"):
        (place / name).mkdir()
    corpus = place / "corpus"
    corpus.mkdir()
    (corpus / "text.txt").write_text("words")
    step = Step("measure", "measure x", "0" * 64, params, context={"verbs": dict(verbs)})
    given = {"corpus": corpus, **inputs}
    return Task(step, given, place / "work", place / "scratch", place / "log", 1)


def params(measure_name: str, **options: Any) -> dict[str, Any]:
    """Parameters of the step of one measure of ``model.gguf``."""
    return {"measure": measure_name, "file": "model.gguf", **options}


def test_tensors_are_compared_by_name_and_shape(tmp_path: Path) -> None:
    a, b = Tensor("a", (32, 2), "F16"), Tensor("b", (4,))
    full = header_facts.header(file_of(tmp_path / "full", a, b) / "model.gguf", "gguf")
    other = (Tensor("a", (32, 3), "Q4_0"), Tensor("c", (4,)))
    found = header_facts.header(file_of(tmp_path / "found", *other) / "model.gguf", "gguf")
    structure = header_facts.facts(found, full)["structure"]
    assert structure["missing"] == ["b"]
    assert structure["extra"] == ["c"]
    assert structure["reshaped"] == [{"name": "a", "shape": [32, 3], "full": [32, 2]}]


def test_trailing_dimensions_of_one_are_no_difference(tmp_path: Path) -> None:
    full = header_facts.header(
        file_of(tmp_path / "a", Tensor("a", (32, 1, 1))) / "model.gguf", "gguf"
    )
    found = header_facts.header(file_of(tmp_path / "b", Tensor("a", (32,))) / "model.gguf", "gguf")
    assert header_facts.facts(found, full)["structure"]["reshaped"] == []


def test_the_census_and_the_bits_are_counted(tmp_path: Path) -> None:
    tensors = (Tensor("a", (32, 2), "Q4_0"), Tensor("b", (32,)), Tensor("c", (32,)))
    path = file_of(tmp_path / "x", *tensors) / "model.gguf"
    facts = header_facts.facts(header_facts.header(path, "gguf"), None)
    assert facts["census"] == {"F32": 2, "Q4_0": 1}
    assert (facts["tensors"], facts["parameters"]) == (3, 128)
    assert facts["bits_per_weight"] == 8 * (2 * 18 + 2 * 128) / 128
    assert facts["size"] == path.stat().st_size
    assert facts["structure"]["compared"] is False


@pytest.mark.parametrize(("kind", "refused"), [("Q4_0", True), ("F16", False)])
def test_old_quantized_files_must_have_the_layout_of_their_tool_chain(
    tmp_path: Path, kind: str, refused: bool
) -> None:
    tensors = [replace(one, shape=(32, 2), type=kind) for one in whole_model("llama")]
    path = tmp_path / "old.bin"
    path.write_bytes(ggml_bytes(GGMLSpec(version=3, tensors=tensors)))
    found = header_facts.header(path, "ggml", "ggjt-v3")
    assert (found.version, found.layout) == (3, "ggjt-v3")
    header_facts.expect_layout(found, "ggjt-v3", "old.bin")
    if refused:
        with pytest.raises(StepError, match=r"old\.bin is a ggjt-v3 file, not a ggjt-v1 one"):
            header_facts.expect_layout(found, "ggjt-v1", "old.bin")
    else:
        header_facts.expect_layout(found, "ggjt-v1", "old.bin")


def test_a_continuation_is_told_from_a_printed_prompt(tmp_path: Path) -> None:
    model = file_of(tmp_path / "m", Tensor("a", (4,)))
    verbs = {"complete": saying(" Paris is the capital of France.\n\n")}
    wanted = params("smoke", prompt="Paris is", tokens=3)
    facts = measure.run(task(tmp_path, verbs, wanted, {"model": model}))
    assert facts["text"] == "the capital of France."
    assert facts["peak"] > 0


def test_nothing_loads_a_file_whose_header_is_wrong(tmp_path: Path) -> None:
    model, header = file_of(tmp_path / "m", Tensor("a", (4,))), tmp_path / "header"
    header.mkdir()
    found = {"tensors": 1, "structure": {"missing": ["b"], "extra": [], "reshaped": []}}
    (header / "measures.json").write_text(json.dumps(found))
    verbs = {"load": saying("fine")}
    inputs = {"model": model, "header": header}
    assert measure.run(task(tmp_path, verbs, params("load"), inputs)) == {}


def test_a_file_that_upstream_cannot_load_is_an_error(tmp_path: Path) -> None:
    model = file_of(tmp_path / "m", Tensor("a", (4,)))
    errors = [{"match": "cannot (?P<why>.*)", "say": "it cannot {why}"}]
    verbs = {"load": saying("cannot find b", errors=errors)}
    with pytest.raises(StepError, match="it cannot find b"):
        measure.run(task(tmp_path, verbs, params("load"), {"model": model}))


@pytest.mark.parametrize("printed", ['[{"n_gen": 0}]', "[5]", '{"n_gen": 1}', "null"])
def test_a_benchmark_of_another_shape_is_one_sentence(tmp_path: Path, printed: str) -> None:
    model = file_of(tmp_path / "m", Tensor("a", (4,)))
    wanted = params("speed", prompt=4, generate=4, repetitions=1)
    verbs = {"bench": saying(printed, output="json", results=PINNED["bench"]["results"])}
    with pytest.raises(StepError, match="benchmark's JSON lacks"):
        measure.run(task(tmp_path, verbs, wanted, {"model": model}))


def test_speeds_are_read_from_the_fields_that_the_data_names(tmp_path: Path) -> None:
    model = file_of(tmp_path / "m", Tensor("a", (4,)))
    wanted = params("speed", prompt=4, generate=2, repetitions=1)
    printed = (
        '[{"pp": 4, "tg": 0, "ns": 8e6, "speed": 500, "sd": 1},'
        ' {"pp": 0, "tg": 2, "ns": 8e6, "speed": 250, "sd": 2}]'
    )
    rest = {"nanoseconds": "ns", "tokens_per_second": "speed", "stddev": "sd"}
    results = {"prompt": {"tokens": "pp", **rest}, "generation": {"tokens": "tg", **rest}}
    verbs = {"bench": saying(printed, output="json", results=results)}

    speed = measure.run(task(tmp_path, verbs, wanted, {"model": model}))

    assert speed["prompt"] == {"ms_per_token": 2, "tokens_per_second": 500, "stddev": 1}
    assert speed["generation"] == {"ms_per_token": 4, "tokens_per_second": 250, "stddev": 2}


def test_a_perplexity_that_is_no_number_is_an_error(tmp_path: Path) -> None:
    model = file_of(tmp_path / "m", Tensor("a", (4,)))
    wanted = params("perplexity", context=8, chunks=1)
    verbs = {"logits": saying("PPL nan", values=VALUES)}
    with pytest.raises(StepError, match="no perplexity that is a number"):
        measure.run(task(tmp_path, verbs, wanted, {"model": model}))


def saved(chunks: int, rows: int) -> str:
    """Logits of a vocabulary of 3 tokens with a context of 6, as hexadecimal digits."""
    header = b"_logits_" + b"".join(n.to_bytes(4, "little") for n in (6, 3, chunks))
    return (header + bytes(4 * 6 * chunks) + bytes(2 * 8 * rows)).hex()


def run_logits(place: Path, content: str) -> dict[str, Any]:
    model = file_of(place / "m", Tensor("a", (4,)))
    verb = {"argv": [sys.executable, "-c", WRITE, "{save}", content], "values": VALUES}
    verb["saved"] = PINNED["logits"]["saved"]
    params = {"file": "model.gguf", "context": 6, "chunks": -1, "save": True}
    return full_file_logits.run(task(place, {"logits": verb}, params, {"model": model}))


def test_whole_logits_are_described_by_their_header(tmp_path: Path) -> None:
    facts = run_logits(tmp_path, saved(chunks=2, rows=4))
    assert (facts["perplexity"], facts["chunks"], facts["vocabulary"]) == (5.5, 2, 3)


@pytest.mark.parametrize("content", ["", "5f6c", saved(2, 3), saved(2, 5), "00" * 200])
def test_logits_of_another_length_than_their_header_says_fail(tmp_path: Path, content: str) -> None:
    with pytest.raises(StepError, match="saved logits"):
        run_logits(tmp_path, content)


def test_a_corpus_of_several_files_must_be_named(tmp_path: Path) -> None:
    model = file_of(tmp_path / "m", Tensor("a", (4,)))
    wanted = params("perplexity", context=8, chunks=1)
    verbs = {"logits": saying("PPL 5", values=VALUES)}
    made = task(tmp_path, verbs, wanted, {"model": model})
    (made.inputs["corpus"] / "other.txt").write_text("more")
    with pytest.raises(StepError, match="2 files, not one"):
        measure.run(made)


def test_divergence_is_read_with_the_same_top_as_a_share_of_one(tmp_path: Path) -> None:
    model, logits = file_of(tmp_path / "m", Tensor("a", (4,))), tmp_path / "logits"
    logits.mkdir()
    (logits / "logits.bin").write_bytes(b"")
    (logits / "perplexity.json").write_text('{"context": 512, "chunks": 8}')
    values = {**VALUES, "mean_kld": r"mean (?P<v>\S+)", "same_top": r"top (?P<v>\S+) %"}
    verbs = {
        "divergence": saying("PPL 5.5 mean 0.25 top 96.5 %", values=values),
        "logits": PINNED["logits"],
    }
    wanted = params("kld", context=512, chunks=8)

    facts = measure.run(task(tmp_path, verbs, wanted, {"model": model, "logits": logits}))

    assert facts["mean"] == 0.25
    assert facts["same_top"] == 0.965
    assert facts["perplexity"]["value"] == 5.5
