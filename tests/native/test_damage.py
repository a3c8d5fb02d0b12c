"""Damage planted in the tiny llama, and the checks that find it: docs/explanation/damage.md.

All models are converted and compared with transformers by one process, whose imports would
otherwise be most of the time; perplexities are by real llama.cpp.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from orchestrator.base.step_values import Step, Task
from orchestrator.measures import reference_logits
from orchestrator.measures.check_status import Status
from orchestrator.modelfiles import gguf, header_consistency, source_configs, tensor_values
from orchestrator.modelfiles.format_error import FormatError
from orchestrator.runs.judge_measures import Expectation, judge
from orchestrator.steps import measure
from orchestrator.toolchain import load
from orchestrator.toolchain.call_verb import environment_python
from tests.support.measures import measured
from tests.support.planted_damage import (
    FILE,
    Plant,
    both,
    config,
    cut,
    exchanged,
    flipped,
    metadata,
    weights,
)

ROOT = Path(__file__).resolve().parents[2]
TINY = ROOT / "recipes" / "tiny"
SOURCE = TINY / "models" / "llama"
CONTEXT = 256
SOUND = "nothing at all"
# Checks by their words in the documentation.
WORDS = {
    "configs": "configs",
    "perplexity_expected": "perplexity",
    "perplexity_bound": "bound",
    "reference_logits": "transformers",
    "reference_tokens": "tokens",
}
CHATML = "{% for m in messages %}<|im_start|>{{ m['content'] }}<|im_end|>{% endfor %}"
EIGHT: dict[str, Any] = {"num_attention_heads": 8, "num_key_value_heads": 8, "head_dim": 32}

# In the model folder, before it is converted.
IN_SOURCE: Mapping[str, Plant] = {
    SOUND: both(),
    "rope_theta 10": config(rope_theta=10.0),
    "rope_theta 500000": config(rope_theta=500000.0),
    "8 heads of 32 for 4 of 64": config(**EIGHT),
    "gate and up exchanged in one layer": weights(exchanged, "gate", "up"),
    "a tensor of zeros": weights(np.zeros_like, "gate"),
    "rows and columns permuted": weights(np.transpose, "query 0"),
    "tensors exchanged between layers": weights(exchanged, "query 0", "query 1"),
    "embeddings rolled by one row": weights(lambda one: np.roll(one, 1, axis=0), "embeddings"),
    "vocabulary reversed": weights(lambda *two: [one[::-1] for one in two], "embeddings", "output"),
    "eps 0.01 for 0.000001": config(rms_norm_eps=0.01),
    "eps 0.00001 for 0.000001": config(rms_norm_eps=0.00001),
    "one bit of a weight flipped": weights(lambda one: flipped(one, 0x0010), "down"),
    "the highest bit of an exponent flipped": weights(lambda one: flipped(one, 0x4000), "down"),
    "add_bos off": config("tokenizer_config.json", add_bos_token=False),
    "an end token that other configs do not have": config(eos_token_id=5),
    "a wrong end token in every config": both(
        *(config(file, eos_token_id=5) for file in ("config.json", "generation_config.json")),
        config("tokenizer_config.json", eos_token=None),
    ),
    "context length 8": config(max_position_embeddings=8),
    "a chat template of another model": config("tokenizer_config.json", chat_template=CHATML),
    "a cut file": cut,
}
# In the converted file, as a wrong conversion would leave it.
BY_CONVERSION: Mapping[str, Plant] = {
    SOUND: both(),
    "rope_theta 10": metadata(rope__freq_base=("f", 10.0)),
    "rope_theta 500000": metadata(rope__freq_base=("f", 500000.0)),
    "8 heads of 32 for 4 of 64": metadata(
        head_count=("I", 8),
        head_count_kv=("I", 8),
        key_length=("I", 32),
        value_length=("I", 32),
        dimension_count=("I", 32),
    ),
    "gate and up exchanged in one layer": IN_SOURCE["gate and up exchanged in one layer"],
    "a tensor of zeros": IN_SOURCE["a tensor of zeros"],
    "rows and columns permuted": IN_SOURCE["rows and columns permuted"],
    "rows permuted": weights(lambda one: np.roll(one, 1, axis=0), "query 0"),
    "tensors exchanged between layers": IN_SOURCE["tensors exchanged between layers"],
    "embeddings rolled by one row": IN_SOURCE["embeddings rolled by one row"],
    "vocabulary reversed": IN_SOURCE["vocabulary reversed"],
    "eps 0.01 for 0.000001": metadata(layer_norm_rms_epsilon=("f", 0.01)),
    "eps 0.00001 for 0.000001": metadata(layer_norm_rms_epsilon=("f", 0.00001)),
    "one bit of a weight flipped": IN_SOURCE["one bit of a weight flipped"],
    "the highest bit of an exponent flipped": IN_SOURCE["the highest bit of an exponent flipped"],
    "add_bos off": metadata(add_bos_token=("?", False)),
    "a wrong end token": metadata(eos_token_id=("I", 5)),
    "context length 8": metadata(context_length=("I", 8)),
    "a cut file": cut,
}
BATCH = """
import json, sys
from pathlib import Path
src, data, jobs, told = sys.argv[1:]
sys.path[:0] = [src, data]
import convert_hf_to_gguf as converter
from reference_logits import compared

found = {}
for name, job in json.loads(Path(jobs).read_text()).items():
    try:
        if job["convert"]:
            sys.argv = ["x", "--outfile", job["file"], "--model-name", "tiny-llama", job["source"]]
            converter.main()
        found[name] = compared(Path(job["source"]), job["file"], 1)
    except (Exception, SystemExit) as error:
        found[name] = {"error": f"{type(error).__name__}: {error}"}
Path(told).write_text(json.dumps(found))
"""

Tools = Mapping[str, Path]
Found = Mapping[str, Any]


@pytest.fixture(scope="module")
def references(toolchain_inputs: Tools, tmp_path_factory: pytest.TempPathFactory) -> Found:
    """Every damaged model as a folder with its file, and what the comparison said of it."""
    place = tmp_path_factory.mktemp("damage")
    jobs = {}
    for index, (name, plant) in enumerate(IN_SOURCE.items()):
        source = place / f"source-{index}" / "tiny-llama"
        shutil.copytree(SOURCE, source)
        plant(source)
        jobs[f"source: {name}"] = {"source": source, "file": source.parent / FILE, "convert": True}
    first = compared(toolchain_inputs, place, jobs)
    jobs = {}
    for index, (name, plant) in enumerate(BY_CONVERSION.items()):
        folder = place / f"converted-{index}"
        folder.mkdir()
        shutil.copyfile(place / "source-0" / FILE, folder / FILE)
        plant(folder)
        jobs[f"conversion: {name}"] = {"source": SOURCE, "file": folder / FILE, "convert": False}
    return {**first, **compared(toolchain_inputs, place, jobs)}


def compared(tools: Tools, place: Path, jobs: Mapping[str, Mapping[str, Any]]) -> Found:
    (place / "jobs.json").write_text(json.dumps(jobs, default=str))
    arguments = [tools["toolchain"] / "src", load.load("llama.cpp").folder]
    env = {**os.environ, "LLAMA_CPP_LIB_PATH": str(tools["toolchain"] / "bin")}
    subprocess.run(
        [environment_python(tools["environment"]), "-c", BATCH, *arguments, "jobs.json", "told"],
        cwd=place,
        env={**env, "HF_HUB_OFFLINE": "1"},
        check=True,
        capture_output=True,
        timeout=300,
    )
    told = json.loads((place / "told").read_text())
    return {name: {**job, "reference": told[name]} for name, job in jobs.items()}


@pytest.fixture(scope="module")
def seen(
    references: Found, toolchain_inputs: Tools, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, set[str]]:
    """Which checks object to each damaged model."""
    place = tmp_path_factory.mktemp("measured")
    sound = perplexity(Path(references[f"source: {SOUND}"]["file"]), toolchain_inputs, place)
    return {
        name: objections(one, toolchain_inputs, place, sound["value"])
        for name, one in references.items()
    }


def perplexity(file: Path, tools: Tools, place: Path) -> dict[str, Any]:
    chain = load.load("llama.cpp")
    verbs = {"logits": chain.verbs["logits"].model_dump(mode="json")}
    params = {"measure": "perplexity", "file": file.name, "context": CONTEXT, "chunks": 2}
    folder = place / str(len(list(place.iterdir())))
    for part in ("work", "scratch"):
        (folder / part).mkdir(parents=True)
    corpus = folder / "corpus"
    corpus.mkdir()
    shutil.copy(TINY / "corpus" / "perplexity.txt", corpus)
    step = Step("measure", "perplexity", "0" * 64, params, context={"verbs": verbs})
    inputs = {"model": file.parent, "corpus": corpus, **tools}
    return measure.run(
        Task(step, inputs, folder / "work", folder / "scratch", folder / "log", threads=1)
    )


def objections(one: Found, tools: Tools, place: Path, sound: float) -> set[str]:
    file, reference = Path(one["file"]), one["reference"]
    try:
        header = gguf.read(file)
    except (FormatError, FileNotFoundError):
        return {"refused"}  # no converter read the model, or no reader the file
    found = {"tensors"} if list(tensor_values.scan(file)) else set()
    positions = header_consistency.context_length(header) or 0
    if header_consistency.problems(header) or positions < CONTEXT:
        return found | {"plan"}
    facts = measured(
        perplexity=perplexity(file, tools, place), kld=None, reference_logits=reference
    )
    wanted = Expectation(
        asked={"perplexity": {"expected": sound}},
        is_full=True,
        contradictions=source_configs.facts(Path(one["source"]), file).get("contradictions", ()),
    )
    checks = [one for one in judge(facts, wanted) if one.status in (Status.FAIL, Status.WARN)]
    return found | {WORDS[one.name] for one in checks}


def documented() -> dict[str, set[str]]:
    """The table of planted damages in the documentation, as :func:`seen` has it."""
    text = (ROOT / "docs" / "explanation" / "damage.md").read_text("utf-8")
    table = text.partition("| Planted damage |")[2].partition("\n\n")[0]
    found = {}
    for line in table.splitlines()[2:]:
        name, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        for place, cell in zip(("source", "conversion"), cells, strict=True):
            if cell != "-":
                found[f"{place}: {name}"] = set(cell.split(", ")) - {"nothing"}
    return found


def test_what_finds_each_damage_is_as_the_documentation_says(seen: dict[str, set[str]]) -> None:
    assert seen == documented()


def test_limits_lie_far_between_sound_and_damaged_models(references: Found) -> None:
    sound = [one["reference"]["mean"] for name, one in references.items() if SOUND in name]
    compared = (one["reference"].get("mean", 0) for one in references.values())
    damaged = [mean for mean in compared if mean > reference_logits.MOST]

    assert max(sound) < reference_logits.MOST / 1000
    assert min(damaged) > reference_logits.MOST * 100
